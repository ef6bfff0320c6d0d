"""Commands that are run in the process of the tests."""

import pytest

from perceptual.commands import cli, command_line


@pytest.fixture
def run(capsys, monkeypatch):
  """Runs a command; returns its exit status, its output and its last line on stderr.

  The process is not configured for the command: it would be another one for the tests that follow.
  """
  monkeypatch.setattr(command_line, "configure_runtime", lambda: None)

  def call(*arguments):
    with pytest.raises(SystemExit) as caught:
      cli.main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err.removesuffix("\n").rpartition("\n")[2]

  yield call

  from perceptual.experiments import config

  config.gin.clear_config()
