"""Runs a command of perceptual on several workers of this machine, over loopback.

    tools/launch_local.sh 2 train --gin_file=gin/runs/demo.gin --model_dir=runs/two

Each worker gets TF_CONFIG and --distribution_strategy=multi_worker_mirrored. The output of the
first is shown; that of the others goes to worker-1.log and so on, in the folder LOGS (by default
the working directory). If one fails, the others end by themselves. SIGTERM and Ctrl-C ask all to
save and stop, as does the end of the terminal. The exit status is that of the first; unless that
failed, all have ended, and one that ended otherwise is named.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys

_USAGE = "usage: tools/launch_local.sh WORKERS COMMAND [--flag=value ...], with 1 to 99 workers"
_STOPPED = 75  # `perceptual.errors.STOPPED`: a run has stopped on request


def main(arguments):
  """Runs the workers; returns the exit status of the first."""
  if len(arguments) < 2 or not re.fullmatch("[1-9][0-9]?", arguments[0]):
    print(_USAGE, file=sys.stderr)
    return 2
  count, logs = int(arguments[0]), [None]
  for index in range(1, count):
    logs.append(pathlib.Path(os.environ.get("LOGS", "."), f"worker-{index}.log"))
  with contextlib.ExitStack() as stack:
    try:
      files = [log and stack.enter_context(log.open("wb")) for log in logs]
    except OSError as error:
      print(f"error: {error.filename} cannot be written: LOGS must name a folder.", file=sys.stderr)
      return 1
    return _run(arguments[1:], logs, files)


def _run(command, logs, files):
  workers, asked = [], []

  def ask_to_stop(*received):
    asked.append(received)
    for worker in workers:
      worker.terminate()

  for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, ask_to_stop)
  addresses = _free_addresses(len(logs))
  for index, file in enumerate(files):
    cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    workers.append(subprocess.Popen(
        [os.environ.get("PYTHON", sys.executable), "-m", "perceptual", *command,
         "--distribution_strategy=multi_worker_mirrored"],
        stdin=subprocess.DEVNULL, stdout=file, stderr=file and subprocess.STDOUT,
        env={**os.environ, "TF_CONFIG": json.dumps(cluster)},
        preexec_fn=_ignore_ctrl_c))
  if asked:  # while they were being started
    ask_to_stop()
  status = workers[0].wait()
  if status in (0, _STOPPED):  # so are the others, soon
    for worker, log in zip(workers[1:], logs[1:]):
      if worker.wait() != status:
        print(f"{log.stem} ended with status {_as_shells_say(worker.returncode)}: {log}",
              file=sys.stderr)
  return _as_shells_say(status)


def _ignore_ctrl_c():
  """Leaves it to the launcher to ask a worker to stop: a terminal sends SIGINT to all of them."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)


def _free_addresses(count):
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for each in sockets:
      each.bind(("127.0.0.1", 0))
    return [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]


def _as_shells_say(status):
  return 128 - status if status < 0 else status


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
