"""Published files: found where PyTorch and lpips keep them, told by their hashes, or downloaded."""

import dataclasses
import hashlib
import io
import pathlib
import sys

import numpy as np
import pytest

from perceptual import errors
from perceptual.weights import catalogue, published_files, state_dicts


def _npz(**arrays):
  stream = io.BytesIO()
  np.savez(stream, **arrays)
  return stream.getvalue()


TRUNK_FILE = b"the weights of a network"
HEADS = {"lin0.model.1.weight": np.ones((1, 64, 1, 1), "float32")}
TRUNK = dataclasses.replace(
    catalogue.get("alexnet"),
    path=f"alexnet-owt-{hashlib.sha256(TRUNK_FILE).hexdigest()[:8]}.pth")
ENTRIES = {
    "trunk": (TRUNK, TRUNK_FILE),
    "heads": (dataclasses.replace(
        catalogue.get("lpips-alex-v0.1"),
        published_sha256=state_dicts.tensors_hash(HEADS)), _npz(**HEADS)),
}


@pytest.fixture(params=ENTRIES)
def published(request):
  """(entry, the bytes of its file)."""
  return ENTRIES[request.param]


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
  """A machine without any file of weights; returns where those of each role would be."""
  for variable in ("TORCH_HOME", "XDG_CACHE_HOME"):
    monkeypatch.delenv(variable, raising=False)
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  site = tmp_path / "site"
  (site / "lpips").mkdir(parents=True)
  (site / "lpips" / "__init__.py").write_text("raise ImportError('lpips is not to be imported')")
  monkeypatch.syspath_prepend(str(site))
  return {"trunk": tmp_path / "home/.cache/torch/hub/checkpoints",
          "heads": site / "lpips" / "weights"}


def _put(path, content):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)
  return path


def test_files_are_found_where_pytorch_and_lpips_keep_them(published, machine):
  entry, content = published
  assert published_files.find(entry) is None
  path = _put(machine[entry.role] / entry.path, content)
  assert published_files.find(entry) == path
  assert "lpips" not in sys.modules


@pytest.mark.parametrize(("variable", "below"), [
    ("TORCH_HOME", "hub/checkpoints"), ("XDG_CACHE_HOME", "torch/hub/checkpoints")])
def test_pytorchs_cache_may_be_elsewhere(tmp_path, monkeypatch, variable, below):
  monkeypatch.setenv(variable, str(tmp_path / "there"))
  path = _put(tmp_path / "there" / below / TRUNK.path, TRUNK_FILE)
  assert published_files.find(TRUNK) == path


def test_the_cache_is_where_pytorch_has_it(monkeypatch, tmp_path):
  hub = pytest.importorskip("torch.hub")
  monkeypatch.setattr(hub, "_hub_dir", None)
  path = _put(pathlib.Path(hub.get_dir()) / "checkpoints" / TRUNK.path, TRUNK_FILE)
  assert published_files.find(TRUNK) == path


def test_another_file_of_that_name_is_passed_over(published, machine):
  entry, _ = published
  path = _put(machine[entry.role] / entry.path, _npz(x=np.ones(3)))
  with pytest.warns(UserWarning, match=rf"^Ignored: {path} is not the published {entry.file}"):
    assert published_files.find(entry) is None


def test_what_is_not_found_says_where_it_was_looked_for(machine, monkeypatch):
  entries = [catalogue.get(name) for name in ("alexnet", "lpips-alex-v0.1")]
  assert str(published_files.not_found(entries)) == (
      f"Not on this machine: alexnet-owt-7be5be79.pth, looked for in {machine['trunk']}; alex.pth, "
      f"looked for in {machine['heads']}. Add --download to fetch what is missing from "
      "download.pytorch.org and raw.githubusercontent.com, or convert files that you have: "
      "--trunk=FILE --heads=FILE.")
  monkeypatch.setattr(published_files.importlib.util, "find_spec", lambda name: None)
  assert ("alex.pth, looked for in the lpips package, which is not installed. Add" in
          str(published_files.not_found(entries[1:])))


def test_addresses_are_the_publishers_or_a_mirrors():
  trunk, heads = catalogue.get("vgg16"), catalogue.get("lpips-vgg-v0.0")
  assert published_files.url(trunk) == "https://download.pytorch.org/models/vgg16-397923af.pth"
  assert published_files.url(heads) == (
      "https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/"
      "lpips/weights/v0.0/vgg.pth")
  assert published_files.url(heads, "https://mirror/w/") == "https://mirror/w/v0.0/vgg.pth"
  for mirror in ("file:///etc", "ftp://x", "mirror"):
    with pytest.raises(errors.UserError, match="A mirror is an address"):
      published_files.url(trunk, mirror)


def test_every_published_file_can_be_told_by_its_hash():
  entries = [catalogue.get(name) for name in catalogue.names()]
  assert all(entry.hash_prefix or entry.published_sha256 for entry in entries)
  assert catalogue.get("inception_v3").hash_prefix == "0cc3c7bd"


def test_a_file_is_downloaded_and_removed_again(published, server, tmp_path):
  entry, content = published
  server.files[entry.path] = content
  path = published_files.fetch(entry, weights_dir=tmp_path / "w", mirror=server.address)
  assert (path.name, path.read_bytes()) == (entry.file, content)
  again = published_files.fetch(entry, weights_dir=tmp_path / "w", mirror=server.address)
  assert again == path and server.ranges == {entry.path: [None]}, "what is there is not fetched"
  _put(tmp_path / "w" / "alexnet.json", b"{}")
  published_files.remove(path)
  assert [file.name for file in (tmp_path / "w").iterdir()] == ["alexnet.json"]


def test_a_download_of_other_contents_is_refused_and_nothing_kept(published, server, tmp_path):
  entry, _ = published
  server.files[entry.path] = _npz(x=np.ones(3))
  with pytest.raises(errors.UserError, match=f"is not the published {entry.file}: its ") as caught:
    published_files.fetch(entry, weights_dir=tmp_path / "w", mirror=server.address)
  assert "\n" not in str(caught.value)
  assert [path for path in (tmp_path / "w").rglob("*") if path.is_file()] == []


def test_heads_that_are_no_state_dict_are_refused_and_nothing_kept(server, tmp_path):
  entry, _ = ENTRIES["heads"]
  server.files[entry.path] = b"<html>Sign in</html>"
  with pytest.raises(errors.UserError, match="is not a PyTorch checkpoint"):
    published_files.fetch(entry, weights_dir=tmp_path / "w", mirror=server.address)
  assert [path for path in (tmp_path / "w").rglob("*") if path.is_file()] == []
