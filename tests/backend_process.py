"""A process of Keras on another backend, which runs programs of tests one after the other.

Importing a framework takes longer than most of these programs, so they share one process. It is
started without KERAS_BACKEND: the import of `perceptual.torch` or `perceptual.jax` chooses.
"""

import contextlib
import importlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback

_ROOT = pathlib.Path(__file__).parents[1]
# Programs run once, so that time spent on optimizing what is compiled is lost.
_FLAGS = {"XLA_FLAGS": " ".join([
    "--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"])}


class BackendProcess:
  """The process, of which each program has its own names, arguments, directory and environment."""

  def __init__(self, backend):
    """Starts it. Arguments: backend: `torch` or `jax`."""
    self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - until close()
    environment = {**os.environ, **_FLAGS, "PYTHONPATH": str(_ROOT)}
    environment.pop("KERAS_BACKEND", None)
    self._process = subprocess.Popen(
        [sys.executable, __file__, backend], env=environment, text=True, stderr=self._errors,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

  def run(self, code, *arguments):
    """Returns what a program prints; fails with its traceback if it raises.

    Args:
      code: the program.
      *arguments: what it finds in `sys.argv` after the first.
    """
    asked = {"code": code, "arguments": [*map(str, arguments)], "folder": os.getcwd(),
             "environment": {name: value for name, value in os.environ.items()
                             if name.startswith("PERCEPTUAL_")}}
    try:
      self._process.stdin.write(f"{json.dumps(asked)}\n")
      self._process.stdin.flush()
      answer = json.loads(self._process.stdout.readline())
    except (OSError, ValueError):
      self._errors.seek(0)
      raise AssertionError(f"the process has ended: {self._errors.read()}") from None
    assert answer["error"] is None, answer["error"]
    return answer["printed"]

  def close(self):
    """Ends it."""
    self._process.stdin.close()
    self._process.wait()
    self._errors.close()


def _serve(backend):
  """Answers lines of standard input until it ends."""
  answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
  os.dup2(2, 1)  # what libraries print on their own must not come among the answers
  importlib.import_module(f"perceptual.{backend}")
  for line in sys.stdin:
    answers.write(f"{json.dumps(_answer(**json.loads(line)))}\n")
    answers.flush()


def _answer(code, arguments, folder, environment):
  """Returns what a program prints, and its traceback if it raises."""
  os.chdir(folder)
  for name in [name for name in os.environ if name.startswith("PERCEPTUAL_")]:
    del os.environ[name]
  os.environ.update(environment)
  sys.argv = ["-c", *arguments]
  error, printed = None, io.StringIO()
  with contextlib.redirect_stdout(printed):
    try:
      exec(compile(code, "<program of a test>", "exec"), {"__name__": "__main__"})
    except BaseException:
      error = traceback.format_exc()
  return {"printed": printed.getvalue(), "error": error}


if __name__ == "__main__":
  _serve(sys.argv[1])
