"""`perceptual convert`: weights from PyTorch's files, by the command."""

import numpy as np
import pytest

from perceptual import errors
from perceptual.commands import command_line, convert
from perceptual.weights import catalogue, store

HEADS = (64, 192, 384, 256, 256)


def _run(*arguments):
  convert.main(convert.FLAGS(["perceptual convert", *arguments]))


@pytest.fixture(autouse=True)
def unparsed():
  yield
  convert.FLAGS.unparse_flags()
  for flag in ("network", "trunk", "heads", "weights_dir", "version", "overwrite", "dry_run"):
    convert.FLAGS[flag].unparse()


@pytest.fixture
def heads(tmp_path):
  path = tmp_path / "alex.npz"
  np.savez(path, **{f"lin{i}.model.1.weight": np.ones((1, channels, 1, 1), "float32")
                    for i, channels in enumerate(HEADS)})
  return path


@pytest.fixture
def trunk(tmp_path):
  path = tmp_path / "alexnet.npz"
  np.savez(path, **{f"{module}.{suffix}": np.zeros(shape, "float32")
                    for module, kernel in (
                        ("features.0", (64, 3, 11, 11)), ("features.3", (192, 64, 5, 5)),
                        ("features.6", (384, 192, 3, 3)), ("features.8", (256, 384, 3, 3)),
                        ("features.10", (256, 256, 3, 3)))
                    for suffix, shape in (("weight", kernel), ("bias", kernel[:1]))})
  return path


def test_trunk_and_heads_in_one_command(trunk, heads, tmp_path, capsys):
  _run("--network=lpips-alex", f"--trunk={trunk}", f"--heads={heads}", "--version=0.0",
       f"--weights_dir={tmp_path / 'w'}")
  written = sorted(path.name for path in (tmp_path / "w").iterdir())
  assert written == ["alexnet.json", "alexnet.weights.h5", "lpips-alex-v0.0.json",
                     "lpips-alex-v0.0.weights.h5"]
  lines = capsys.readouterr().out.splitlines()
  assert len(lines) == 2 and "2,469,696 weights of alexnet" in lines[0]
  assert "1,152 weights of lpips-alex-v0.0, BSD-2-Clause" in lines[1]


def test_heads_alone_and_the_folder_of_the_environment(heads, tmp_path, monkeypatch):
  monkeypatch.setenv(store.ENVIRONMENT_VARIABLE, str(tmp_path / "w"))
  with pytest.warns(UserWarning, match="not what was published"):
    _run("--network=lpips-alex", f"--heads={heads}")
  assert store.has("lpips-alex-v0.1") and not store.has("alexnet")


def test_a_network_alone(trunk, tmp_path):
  _run("--network=alexnet", f"--trunk={trunk}", f"--weights_dir={tmp_path / 'w'}")
  assert store.has("alexnet", tmp_path / "w")


def test_a_dry_run_checks_and_writes_nothing(trunk, heads, tmp_path, capsys):
  _run("--network=lpips-alex", f"--trunk={trunk}", "--dry_run", f"--weights_dir={tmp_path / 'w'}")
  assert capsys.readouterr().out == (
      f"Dry run: {trunk} fits; would write {tmp_path / 'w' / 'alexnet.weights.h5'}.\n")
  assert not (tmp_path / "w").exists()
  with pytest.raises(errors.UserError, match="does not fit squeezenet1_1"):
    _run("--network=squeezenet1_1", f"--trunk={heads}", "--dry_run")


def test_if_one_file_does_not_fit_none_is_written(trunk, tmp_path):
  with pytest.raises(errors.UserError, match=r"does not fit lpips-alex-v0\.1: missing: lin0"):
    _run("--network=lpips-alex", f"--trunk={trunk}", f"--heads={trunk}",
         f"--weights_dir={tmp_path / 'w'}")
  assert not (tmp_path / "w").exists()


def test_other_weights_are_replaced_only_if_asked(trunk, tmp_path):
  arguments = ("--network=alexnet", f"--trunk={trunk}", f"--weights_dir={tmp_path / 'w'}")
  _run(*arguments)
  with np.load(trunk) as state:
    np.savez(trunk, **{name: value + 1 for name, value in state.items()})
  with pytest.raises(errors.UserError, match="pass overwrite"):
    _run(*arguments)
  _run(*arguments, "--overwrite")


@pytest.mark.parametrize("arguments, error, message", [
    (["--network=lpips-alexnet", "--trunk=x"], errors.UserError,
     "Unknown network 'lpips-alexnet'. Available: lpips-alex, lpips-vgg, lpips-squeeze, alexnet"),
    (["--network=alexnet", "--heads=x"], command_line.UsageError, "alexnet has no heads"),
    (["--network=alexnet"], command_line.UsageError, "Nothing to convert: --trunk=FILE is needed."),
    (["--network=lpips-vgg"], command_line.UsageError,
     "Nothing to convert: --trunk=FILE is needed, or --heads=FILE."),
    (["--network=alexnet", "file.pth"], command_line.UsageError, "Unexpected argument 'file.pth'"),
    (["--network=alexnet", "--trunk=absent.pth"], errors.UserError,
     "absent.pth cannot be read: No such file or directory."),
])
def test_a_wrong_command_says_what_is_right(arguments, error, message):
  with pytest.raises(error) as caught:
    _run(*arguments)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


def test_the_command_in_the_message_about_missing_weights_is_right(trunk, heads, tmp_path,
                                                                   monkeypatch):
  monkeypatch.chdir(tmp_path)
  files = {"trunk": trunk, "heads": heads}
  for name in ("alexnet", "lpips-alex-v0.0"):
    entry = catalogue.get(name)
    files[entry.role].rename(entry.file)
  _, _, command = store.how_to_get(["alexnet", "lpips-alex-v0.0"], "w").partition(
      "run: perceptual convert ")
  _run(*command.split())
  assert store.has("alexnet", "w") and store.has("lpips-alex-v0.0", "w")
