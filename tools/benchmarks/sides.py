"""The sides of a benchmark, each in a process of its own, measured in turns.

In one process the thread pools of two frameworks fight for the CPUs, and the speed of a machine
drifts while it is measured. So each framework has a process, only one of them works at a time, and
rounds go over all tasks again and again: a ratio of medians then compares the same minutes.
"""

import argparse
import contextlib
import importlib.util
import json
import multiprocessing
import os
import statistics
import sys
import time
import traceback

# Read by the frameworks while they are imported.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}

_PATIENCE = 30  # seconds until a process that does not end is ended


class Side:
  """A process that holds tasks: functions without arguments, by name.

  To be used in a `with` statement, at the end of which the process ends.
  """

  def __init__(self, make, *arguments, environment=None):
    """Starts the process.

    Args:
      make: a function at the top level of a module, called in the process with `arguments`; it
        imports its framework and returns the tasks, `{name: function}`.
      *arguments: what it is given; plain data.
      environment: variables of the process's environment, besides this one's.
    """
    context = multiprocessing.get_context("spawn")
    self._connection, theirs = context.Pipe()
    variables = {**ENVIRONMENT, **(environment or {})}
    with _environment(variables):
      self._process = context.Process(
          target=_serve, args=(theirs, make, arguments), daemon=True)
      self._process.start()
    theirs.close()

  def __enter__(self):
    return self

  def __exit__(self, *error):
    self._connection.close()  # at which the process ends
    self._process.join(_PATIENCE)
    self._process.terminate()

  def tasks(self, start=""):
    """Returns the tasks whose names begin so, as `in_turns` takes them."""
    return {name: (self, name) for name in self._answer("names", None) if name.startswith(start)}

  def result(self, task):
    """Returns what a task returns, called once."""
    return self._answer("result", task)

  def seconds(self, task, budget):
    """Returns the seconds of a call: the median of as many calls as fit the budget, at least one.

    Args:
      task: its name.
      budget: seconds.
    """
    return self._answer("seconds", task, budget)

  def _answer(self, *question):
    try:
      self._connection.send(question)
      succeeded, answer = self._connection.recv()
    except (EOFError, BrokenPipeError):
      sys.exit("error: the process of one side of the benchmark has ended, perhaps for memory.")
    if not succeeded:
      sys.exit(f"error: one side of the benchmark failed:\n{answer}")
    return answer


def in_turns(tasks, *, rounds, seconds):
  """Measures tasks of several sides in turns.

  Args:
    tasks: `{label: (side, name of the task)}`.
    rounds: how often to go over all of them.
    seconds: the budget of a task in a round.

  Returns:
    `{label: seconds of a call}`, medians over the rounds. Each task is called twice before, so that
    compiling, tracing and allocating are not measured.
  """
  for side, task in tasks.values():
    side.result(task)
    side.result(task)
  found = {label: [] for label in tasks}
  for _ in range(rounds):
    for label, (side, task) in tasks.items():
      found[label].append(side.seconds(task, seconds))
  return {label: statistics.median(times) for label, times in found.items()}


def parser(doc, *, rounds, seconds):
  """Returns an `argparse` parser with the options of every benchmark, whose help is a docstring."""
  made = argparse.ArgumentParser(
      description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
  made.add_argument("--rounds", type=int, default=rounds,
                    help="how often to go over all tasks (default %(default)s)")
  made.add_argument("--seconds", type=float, default=seconds,
                    help="seconds of a task in a round (default %(default)s)")
  made.add_argument("--json", metavar="FILE", help="where to write the figures as JSON, too")
  return made


def require_torch():
  """Ends the program with a line about it, if PyTorch is not installed."""
  if importlib.util.find_spec("torch") is None:
    sys.exit("error: PyTorch is not installed, against which this measures; its CPU build is "
             "enough (pip install 'perceptual[torch]').")


def write_json(path, figures):
  """Writes plain data to a file, if one is wanted."""
  if path:
    with open(path, "w", encoding="utf-8") as file:
      json.dump(figures, file, indent=2)
      file.write("\n")


def _serve(connection, make, arguments):
  """Answers questions until the other end is closed."""
  tasks = None
  while True:
    try:
      kind, task, *options = connection.recv()
    except EOFError:
      return
    try:
      if tasks is None:
        tasks = make(*arguments)
      connection.send((True, _ANSWERS[kind](tasks, task, *options)))
    except Exception:
      connection.send((False, traceback.format_exc()))


def _names(tasks, _):
  return list(tasks)


def _result(tasks, name):
  return tasks[name]()


def _median_seconds(tasks, name, budget):
  times = []
  while not times or sum(times) < budget:
    start = time.perf_counter()
    tasks[name]()
    times.append(time.perf_counter() - start)
  return statistics.median(times)


_ANSWERS = {"names": _names, "result": _result, "seconds": _median_seconds}


@contextlib.contextmanager
def _environment(variables):
  """Variables of the environment for the processes started meanwhile."""
  before = dict(os.environ)
  os.environ.update(variables)
  try:
    yield
  finally:
    os.environ.clear()
    os.environ.update(before)
