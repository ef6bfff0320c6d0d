"""Runs functions in forked processes, so that what was imported once need not be imported again.

TensorFlow must only have been imported before a fork: what it has started does not survive one.
"""

import json
import os
import signal
import sys
import tempfile
import traceback

BUG = 99  # status of a process that ended by an exception
_SECONDS = 600  # after which a process that hangs is ended


def import_all():
  """Imports what the commands import, once for all that is forked; nothing of it is used."""
  os.environ.setdefault("KERAS_BACKEND", "tensorflow")
  os.environ["PERCEPTUAL_LOG"] = "plain"  # campaigns look for lines that begin with `error: `
  from perceptual.commands import command_line

  command_line.configure_runtime()
  from perceptual.commands import cli  # noqa: F401
  from perceptual.comparison import run  # noqa: F401
  from perceptual.data.judged import (  # noqa: F401
    prepare_graded,
    prepare_judged,
    prepare_teacher,
    prepared,
  )
  from perceptual.data.labelled import own_images  # noqa: F401
  from perceptual.evaluation import leaderboard_figures, leaderboard_page  # noqa: F401
  from perceptual.experiments import config, runs  # noqa: F401
  from perceptual.export import saved_model  # noqa: F401
  from perceptual.studies import execution  # noqa: F401


def in_child(function, log=None):
  """Runs a function in a forked process; returns its exit status.

  Args:
    function: takes nothing. An exception is status `BUG`.
    log: a file to which what the process prints is added; None for the one that the environment
      variable FAULTS_LOG names, or none.
  """
  process = os.fork()
  if process:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
  status = BUG
  try:
    signal.alarm(_SECONDS)
    with open(log or os.environ.get("FAULTS_LOG", os.devnull), "a") as file:
      os.dup2(file.fileno(), 1)
      os.dup2(file.fileno(), 2)
    function()
    status = 0
  except SystemExit as error:
    status = error.code or 0
  except BaseException:
    traceback.print_exc()
  finally:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else 1)


def answer_of_child(function, log=None):
  """Returns `(status, answer)` of a function that returns plain data, called as by `in_child`.

  The answer is None if it fails.
  """
  with tempfile.NamedTemporaryFile("w+") as file:
    def write():
      json.dump(function(), file)
      file.flush()

    status = in_child(write, log)
    file.seek(0)
    return status, json.load(file) if status == 0 else None
