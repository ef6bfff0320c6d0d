"""`perceptual convert`: weights from PyTorch's files, by the command."""

import dataclasses
import functools
import hashlib
import http.server
import importlib.util
import shutil
import threading
import types

import numpy as np
import pytest

from perceptual import errors, loading
from perceptual.commands import command_line, convert
from perceptual.common import folders, packages
from perceptual.comparison import onnx_runtime
from perceptual.weights import catalogue, state_dicts, store

HEADS = (64, 192, 384, 256, 256)


def _run(*arguments):
  convert.main(convert.FLAGS(["perceptual convert", *arguments]))


@pytest.fixture(autouse=True)
def unparsed():
  yield
  convert.FLAGS.unparse_flags()
  for flag in convert.FLAGS:
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


def test_lpips_is_written_for_onnx_runtime_too(trunk, heads, tmp_path, monkeypatch):
  for name in ("onnx", "onnxruntime", "tf2onnx"):
    pytest.importorskip(name, reason=f"{name} is not installed: tools/test.sh --all")
  monkeypatch.setenv(folders.WEIGHTS_VARIABLE, str(tmp_path))
  files = [f"--trunk={trunk}", f"--heads={heads}"]
  _run("--network=lpips-alex", *files)
  pair = np.random.default_rng(0).integers(0, 256, (2, 2, 40, 50, 3), dtype=np.uint8)
  np.testing.assert_allclose(onnx_runtime.find("lpips-alex")(*pair),
                             loading.load_metric("lpips-alex")(*pair), rtol=2e-6)
  monkeypatch.setattr(packages, "is_installed", lambda name: name == "onnxruntime")
  _run("--network=lpips-alex", *files, "--overwrite")
  assert onnx_runtime.find("lpips-alex") is None, "one of earlier weights would lie"


def test_heads_alone_and_the_folder_of_the_environment(heads, tmp_path, monkeypatch):
  monkeypatch.setenv(folders.WEIGHTS_VARIABLE, str(tmp_path / "w"))
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


@pytest.fixture
def published(trunk, heads, tmp_path, monkeypatch):
  """Where the published files of lpips-alex should be: in caches that are empty, on a mirror."""
  monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
  installed = {"lpips": types.SimpleNamespace(submodule_search_locations=[str(tmp_path / "lpips")]),
               "tf2onnx": None}
  find_spec = importlib.util.find_spec
  monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: (
      installed[name] if name in installed else find_spec(name, package)))
  monkeypatch.setenv("no_proxy", "127.0.0.1")
  monkeypatch.chdir(tmp_path)
  hash_prefix = hashlib.sha256(trunk.read_bytes()).hexdigest()[:8]
  for name, change in (
      ("alexnet", {"path": f"alexnet-{hash_prefix}.pth"}),
      ("lpips-alex-v0.1",
       {"published_sha256": state_dicts.tensors_hash(state_dicts.read(heads))})):
    monkeypatch.setitem(
        catalogue._ENTRIES, name, dataclasses.replace(catalogue.get(name), **change))
  alexnet = catalogue.get("alexnet").path
  (tmp_path / "mirror" / "v0.1").mkdir(parents=True)
  shutil.copy(trunk, tmp_path / "mirror" / alexnet)
  shutil.copy(heads, tmp_path / "mirror" / "v0.1" / "alex.pth")
  return {"alexnet": tmp_path / "torch/hub/checkpoints" / alexnet,
          "lpips-alex-v0.1": tmp_path / "lpips/weights/v0.1/alex.pth"}


@pytest.fixture
def mirror(tmp_path):
  handler = functools.partial(
      http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "mirror"))
  with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()


def _copy(source, path):
  path.parent.mkdir(parents=True)
  shutil.copy(source, path)


def test_without_files_those_of_this_machine_are_found(published, trunk, heads, capsys):
  _copy(trunk, published["alexnet"])
  _copy(heads, published["lpips-alex-v0.1"])
  _run("--network=lpips-alex", "--weights_dir=w")
  assert all(store.has(name, "w") for name in published)
  found, again, wrote, *_ = capsys.readouterr().out.splitlines()
  assert found == f"Found {published['alexnet']}."
  assert again == f"Found {published['lpips-alex-v0.1']}."
  assert wrote.endswith(f"from {published['alexnet']}.")
  assert published["alexnet"].exists(), "it is PyTorch's"
  _run("--network=lpips-alex", "--weights_dir=w")
  assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == [
      "Already converted"] * 2


def test_what_is_not_found_is_not_downloaded_unless_asked(published, trunk, tmp_path):
  _copy(trunk, published["alexnet"])
  with pytest.raises(errors.UserError, match=r"^Not on this machine: alex\.pth, looked for in .*"
                                             "Add --download .* files that you have: --heads"):
    _run("--network=lpips-alex", "--weights_dir=w")
  assert not (tmp_path / "w").exists()


def test_what_is_not_found_is_downloaded(published, mirror, heads, tmp_path, capsys):
  _copy(heads, published["lpips-alex-v0.1"])
  _run("--network=lpips-alex", "--weights_dir=w", "--download", f"--mirror={mirror}")
  assert {path.name for path in (tmp_path / "w").iterdir()} >= {
      "alexnet.json", "alexnet.weights.h5", "lpips-alex-v0.1.json", "lpips-alex-v0.1.weights.h5"}
  file = published["alexnet"].name
  assert f"Downloaded {mirror}/{file}: its hash is right." in capsys.readouterr().out
  assert store.read_manifest(tmp_path / "w" / "alexnet.json")["source"]["file"] == file


def test_a_dry_run_downloads_nothing(published, tmp_path, capsys):
  _run("--network=lpips-alex", "--weights_dir=w", "--download", "--dry_run")
  first, second = capsys.readouterr().out.splitlines()
  assert first.startswith("Dry run: would download https://download.pytorch.org/models/alexnet-")
  assert second.endswith("/lpips/weights/v0.1/alex.pth.")
  assert not (tmp_path / "w").exists()


def test_a_download_that_is_not_what_was_published_changes_nothing(
    published, mirror, heads, tmp_path):
  shutil.copy(heads, tmp_path / "mirror" / published["alexnet"].name)
  with pytest.raises(errors.UserError, match="is not the published alexnet-"):
    _run("--network=lpips-alex", "--weights_dir=w", "--download", f"--mirror={mirror}")
  assert not [path for path in (tmp_path / "w").rglob("*") if path.is_file()]


@pytest.mark.parametrize("arguments, error, message", [
    (["--network=lpips-alexnet", "--trunk=x"], errors.UserError,
     "Unknown network 'lpips-alexnet'. Available: lpips-alex, lpips-vgg, lpips-squeeze, alexnet"),
    (["--network=alexnet", "--heads=x"], command_line.UsageError, "alexnet has no heads"),
    (["--network=alexnet", "--trunk=x", "--download"], command_line.UsageError,
     "leave --trunk and --heads out"),
    (["--network=alexnet", "--mirror=https://x"], command_line.UsageError, "give both"),
    (["--network=alexnet", "file.pth"], command_line.UsageError, "Unexpected argument 'file.pth'"),
    (["--network=alexnet", "--trunk=absent.pth"], errors.UserError,
     "absent.pth cannot be read: No such file or directory."),
])
def test_a_wrong_command_says_what_is_right(arguments, error, message):
  with pytest.raises(error) as caught:
    _run(*arguments)
  assert message in str(caught.value)
  assert "\n" not in str(caught.value)


def test_the_command_in_the_message_about_missing_weights_is_right(published, mirror):
  _, _, command = store.how_to_get(["alexnet", "lpips-alex-v0.1"], "w").partition(
      "run: perceptual convert ")
  _run(*command.split(), f"--mirror={mirror}")
  assert store.has("alexnet", "w") and store.has("lpips-alex-v0.1", "w")
