"""What every command does with a command line, shown on a small one."""

import json
import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from absl import flags

from perceptual import errors
from perceptual.commands import command_line
from perceptual.common import progress
from tools.build_files import ROOT

_DOC = """Count apples.

  apples --kind=green --basket=b one.png two.png
"""


@pytest.fixture(autouse=True)
def configured(monkeypatch):
  """Counts calls of `configure_runtime`, which would change this process for other tests."""
  calls = []
  monkeypatch.setattr(command_line, "configure_runtime", lambda: calls.append(1))
  return calls


@pytest.fixture
def apples():
  values = flags.FlagValues()
  flags.DEFINE_string("basket", None, "Where they lie.", flag_values=values)
  flags.DEFINE_enum("kind", "red", ["red", "green"], "Their colour.", flag_values=values)
  flags.DEFINE_multi_string("sort", [], "Their sorts.", flag_values=values)
  flags.DEFINE_integer("count", 3, "How many.", lower_bound=1, flag_values=values)
  flags.DEFINE_bool("dry_run", False, "Only say so.", flag_values=values)
  flags.DEFINE_string("label", "", "How they are marked; empty for not at all.", flag_values=values)
  flags.DEFINE_string("note", None, "What to " + "remember " * 20, flag_values=values)
  flags.mark_flag_as_required("basket", flag_values=values)
  return values


def _run(main, values, *arguments):
  """Returns the exit status of a binary."""
  with pytest.raises(SystemExit) as caught:
    command_line.run(main, values, _DOC, ["apples", *arguments])
  return caught.value.code or 0


def _raising(error):
  def main(argv):
    raise error
  return main


def test_flags_are_parsed_and_the_other_arguments_given_to_main(apples, configured):
  seen = []
  assert _run(seen.append, apples, "a.png", "--basket", "b", "c.png", "--nodry_run", "--sort=x",
              "--sort=y", "--", "--kind=green") == 0
  assert seen == [["apples", "a.png", "c.png", "--kind=green"]]
  assert (apples.basket, apples.sort, apples.kind) == ("b", ["x", "y"], "red")
  assert configured == [1]


def test_a_second_run_in_one_process_remembers_nothing_of_the_first(apples):
  assert _run(lambda argv: None, apples, "--basket=b", "--sort=x", "--count=7") == 0
  assert _run(lambda argv: None, apples, "--basket=c", "--sort=y") == 0
  assert (apples.basket, apples.sort, apples.count) == ("c", ["y"], 3)


def test_a_flag_that_may_be_empty_may_be_given_so(apples):
  assert _run(lambda argv: None, apples, "--basket=b", "--label=") == 0


def test_a_missing_optional_package_is_one_line_and_status_1(apples, capsys):
  assert _run(_raising(ModuleNotFoundError(name="matplotlib")), apples, "--basket=b") == 1
  assert capsys.readouterr().err == (
      'error: Matplotlib is needed and not installed: pip install "perceptual[report]"\n')
  with pytest.raises(ModuleNotFoundError):
    command_line.run(_raising(ModuleNotFoundError(name="os")), apples, _DOC,
                     ["apples", "--basket=b"])


def test_the_status_that_main_returns_is_the_exit_status(apples):
  assert _run(lambda argv: 7, apples, "--basket=b") == 7


def test_without_a_console_a_command_does_its_work(apples, monkeypatch):
  monkeypatch.setattr(sys, "stdout", None)
  monkeypatch.setattr(sys, "stderr", None)
  seen = []
  assert _run(lambda argv: seen.extend(progress.progress(argv[1:], description="counting")),
              apples, "--basket=b", "a.png") == 0
  assert seen == ["a.png"]


@pytest.mark.parametrize("ask", ["--help", "-h", "-help"])
def test_help_shows_the_docstring_and_every_flag(apples, configured, capsys, monkeypatch, ask):
  monkeypatch.setenv("COLUMNS", "60")
  assert _run(_raising(AssertionError), apples, "--kind=blue", ask) == 0
  out, err = capsys.readouterr()
  note = textwrap.fill("What to " + "remember " * 20, 60, initial_indent=" " * 6,
                       subsequent_indent=" " * 6)
  log = out[out.index("  --log=plain|time|json\n"):].rstrip()
  assert out == f"""{_DOC}
Flags:
  --basket=STRING
      Where they lie. (required)
  --kind=red|green
      Their colour. (default: red)
  --sort=STRING
      Their sorts. (may be repeated)
  --count=INT
      How many. (default: 3)
  --[no]dry_run
      Only say so. (default: false)
  --label=STRING
      How they are marked; empty for not at all.
  --note=STRING
{note}
{log}
"""
  assert err == "" and configured == []


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "Required but not given: --basket."),
    (["--basket"], "Missing value for flag --basket."),
    (["--basket=b", "--kin=red"], "Unknown flag --kin. Did you mean --kind?"),
    (["--basket=b", "--xyzzy"], "Unknown flag --xyzzy. Available: --basket, --kind, --sort, "
                                "--count, --dry_run, --label, --note, --log, --help."),
    (["--kind=blue", "--basket=b"], "Flag --kind=blue: value should be one of <red|green>."),
    (["--basket=b", "--count=0"], "Flag --count=0: 0 is not a positive integer."),
    (["--basket=b", "--count=x"], "Flag --count=x: 'x' is not an integer."),
    (["--basket=b", "--dry_run=maybe"], "Flag --dry_run=maybe: 'maybe' is not true or false."),
    (["--basket=b", "--nodry_run=1"], "--nodry_run=1 does not take an argument."),
    (["--basket="], "--basket= has no value: give one, or leave the flag out."),
    (["--basket", " "], "--basket= has no value: give one, or leave the flag out."),
    (["--basket=b", "--sort=x", "--sort="],
     "--sort= has no value: give one, or leave the flag out."),
    (["--basket=b", "--flagfile=none"], None),
])
def test_a_wrong_command_line_is_one_line_and_status_2(apples, capsys, arguments, message):
  assert _run(_raising(AssertionError), apples, *arguments) == 2
  out, err = capsys.readouterr()
  assert out == "" and err.count("\n") == 1
  assert message is None or err == f"error: {message} Try 'apples --help'.\n"


def test_arguments_where_none_belong_are_refused(apples, capsys):
  assert _run(command_line.refuse_arguments, apples, "--basket=b") == 0
  assert _run(command_line.refuse_arguments, apples, "--basket=b", "--dry_run", "yes") == 2
  assert "Unexpected argument 'yes'" in capsys.readouterr().err


def test_a_user_error_is_one_line_and_status_1(apples, capsys):
  assert _run(_raising(errors.UserError("no\nbasket ü\0\x1b[2J")), apples, "--basket=b") == 1
  assert capsys.readouterr() == ("", "error: no basket ü\\x00\\x1b[2J\n")


def test_a_user_error_raised_while_tracing_is_one_line_too(apples, capsys):
  import tensorflow as tf

  def main(argv):
    tf.function(_raising(errors.unknown("tap", "stage9", ["stem"])))(tf.zeros(()))

  assert _run(main, apples, "--basket=b") == 1
  assert capsys.readouterr().err == "error: Unknown tap 'stage9'. Available: stem.\n"


def test_an_interruption_is_one_line_and_status_130(apples, capsys):
  assert _run(_raising(KeyboardInterrupt()), apples, "--basket=b") == 130
  assert capsys.readouterr() == ("", "interrupted\n")


def test_an_interruption_says_where_the_same_command_goes_on(apples, capsys):
  def main(argv):
    with command_line.resumable():
      raise KeyboardInterrupt

  assert _run(main, apples, "--basket=b") == 130
  assert capsys.readouterr().err == "interrupted; give the same command again to go on\n"


def test_a_bug_keeps_its_traceback(apples):
  with pytest.raises(ZeroDivisionError):
    command_line.run(lambda argv: 1 / 0, apples, _DOC, ["apples", "--basket=b"])


def _python(code, **environment):
  return subprocess.Popen(
      [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment or None)


def test_a_reader_who_leaves_early_is_no_error():
  process = _python("""
      from absl import flags
      from perceptual.commands import command_line
      def main(argv):
        while True:
          print("a line of many")
      command_line.run(main, flags.FlagValues(), "Print without end.")
      """)
  assert process.stdout.readline() == "a line of many\n"
  process.stdout.close()
  assert process.wait() == 128 + signal.SIGPIPE
  assert process.stderr.read() == ""


@pytest.mark.parametrize("said", [
    "raise command_line.UsageError('x')", "raise KeyboardInterrupt", "print(1)"])
def test_nor_is_one_who_reads_nothing_that_is_said(said):
  reading, writing = os.pipe()
  os.close(reading)
  process = subprocess.run(
      [sys.executable, "-c", textwrap.dedent(f"""
          from absl import flags
          from perceptual.commands import command_line
          def main(argv):
            {said}
          command_line.run(main, flags.FlagValues(), "Say something.", ["apples"])
          """)], cwd=ROOT, stdout=writing, stderr=writing)
  os.close(writing)
  assert process.returncode == 128 + signal.SIGPIPE


def test_tensorflow_and_its_company_start_in_silence(tmp_path):
  (tmp_path / "found.gin").write_text("", "utf-8")
  set_by_conftest = {"TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "CUDA_VISIBLE_DEVICES"}
  environment = {name: os.environ[name] for name in os.environ if name not in set_by_conftest}
  process = _python(f"""
      from perceptual.commands import command_line
      command_line.configure_runtime()
      import keras, sys, tensorflow as tf
      assert not {{"jax", "matplotlib", "pandas", "sklearn"}} & {{*sys.modules}}
      import gin, orbit, tensorflow_datasets, tensorflow_hub
      from official.common import distribute_utils
      tf.config.list_physical_devices()
      gin.add_config_file_search_path("{tmp_path}")
      gin.parse_config_file("found.gin")
      print(int(tf.constant(1) + 1), keras.backend.backend())
      """, **environment)
  out, err = process.communicate()
  assert (out, err) == ("2 tensorflow\n", "")


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_start_too(backend):
  """They need what is left out of TensorFlow's start."""
  pytest.importorskip(backend)
  process = _python("""
      from perceptual.commands import command_line
      command_line.configure_runtime()
      import keras
      print(keras.backend.backend())
      """, KERAS_BACKEND=backend)
  assert process.communicate() == (f"{backend}\n", "")


def test_what_the_user_has_set_stays():
  process = _python("""
      import os
      from perceptual.commands import command_line
      command_line.configure_runtime()
      print(os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"],
            os.environ["KERAS_BACKEND"])
      """, TF_CPP_MIN_LOG_LEVEL="0", KERAS_BACKEND="jax")
  assert process.communicate() == ("0 1 jax\n", "")


def test_a_warning_is_one_line():
  process = _python("""
      import warnings
      from perceptual.commands import command_line
      command_line.configure_runtime()
      warnings.warn("superres/ has 3 examples,\\n10856 are published")
      """)
  assert process.communicate() == (
      "", "warning: superres/ has 3 examples, 10856 are published\n")


# Faults of the machine, and runs that end early.


@pytest.mark.parametrize(("error", "line"), [
    (OSError(28, "No space left on device", "/data/a.csv"),
     "error: /data/a.csv: No space left on device. What was complete before is untouched; the same "
     "command goes on from there.\n"),
    (PermissionError(13, "Permission denied", "/data"), "error: /data: Permission denied. What"),
    (OSError(27, "File too large"), "error: File too large. What was complete before is"),
])
def test_a_fault_of_the_machine_is_one_line_and_status_1(apples, capsys, error, line):
  assert _run(_raising(error), apples, "--basket=b") == 1
  err = capsys.readouterr().err
  assert err.startswith(line)
  assert err.count("\n") == 1


@pytest.mark.parametrize("device", ["", "_device_/job:localhost/replica:0/task:0/device:CPU:0"])
def test_a_fault_of_the_machine_as_tensorflow_tells_it(apples, capsys, device):
  tf = pytest.importorskip("tensorflow")
  error = tf.errors.ResourceExhaustedError(
      None, None, f"{{{{function_node __wrapped__SaveV2{device}}}}} /runs/a/step-4_temp/part; No "
      "space left on device [Op:SaveV2]")
  assert _run(_raising(error), apples, "--basket=b") == 1
  assert capsys.readouterr().err.startswith(
      "error: /runs/a/step-4_temp/part: No space left on device. What")


def test_a_missing_file_is_still_a_bug(apples):
  with pytest.raises(FileNotFoundError):
    command_line.run(_raising(FileNotFoundError(2, "No such file")), apples, _DOC,
                     ["apples", "--basket=b"])


def test_a_run_that_was_stopped_has_a_status_of_its_own(apples, capsys):
  assert _run(_raising(errors.Stopped()), apples, "--basket=b") == 75
  assert capsys.readouterr().err == ""


def test_sigterm_ends_a_command_that_is_process_1_of_a_container(apples, monkeypatch):
  """Where the kernel ignores signals that have no handler."""
  handled = []
  monkeypatch.setattr(signal, "signal", lambda number, handler: handled.append((number, handler)))
  assert _run(lambda argv: None, apples, "--basket=b") == 0
  assert handled == []
  monkeypatch.setattr(os, "getpid", lambda: 1)
  assert _run(lambda argv: None, apples, "--basket=b") == 0
  (number, handler), = handled
  assert number == signal.SIGTERM
  statuses = []
  monkeypatch.setattr(os, "_exit", statuses.append)
  handler(number, None)
  assert statuses == [143]


@pytest.mark.parametrize("chosen", ["flag", "variable"])
def test_every_command_can_log_as_json(apples, capsys, monkeypatch, chosen):
  monkeypatch.setenv("PERCEPTUAL_LOG", "json" if chosen == "variable" else "plain")
  flag = ["--log=json"] if chosen == "flag" else []
  before = sys.stderr
  assert _run(_raising(errors.UserError("no such basket")), apples, "--basket=b", *flag) == 1
  assert sys.stderr is before
  about = json.loads(capsys.readouterr().err)
  assert (about["level"], about["message"]) == ("ERROR", "no such basket")


def test_a_log_has_times_and_a_terminal_has_none(apples, capsys, monkeypatch):
  monkeypatch.delenv("PERCEPTUAL_LOG")
  assert _run(lambda argv: print("half", end="", file=sys.stderr), apples, "--basket=b") == 0
  assert re.fullmatch(r"\d{4}-\S+ INFO half\n", capsys.readouterr().err)
  monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
  assert _run(_raising(errors.UserError("none")), apples, "--basket=b") == 1
  assert capsys.readouterr().err == "error: none\n"


def test_an_unknown_format_of_logs_is_refused(apples, capsys, monkeypatch):
  monkeypatch.setenv("PERCEPTUAL_LOG", "xml")
  assert _run(_raising(None), apples, "--basket=b") == 1
  assert "Unknown PERCEPTUAL_LOG 'xml'. Available: plain, time, json." in capsys.readouterr().err
