"""`perceptual doctor`: what is installed and missing, on screen and as JSON."""

import json

import pytest

from perceptual.commands import cli, installation
from perceptual.common import folders, packages
from perceptual.version import __version__


def _run(capsys, *arguments):
  """Returns the exit status, and what was printed."""
  with pytest.raises(SystemExit) as caught:
    cli.main(["doctor", *arguments])
  return caught.value.code or 0, *capsys.readouterr()


def test_what_is_there_is_told_as_data(capsys, tmp_path, monkeypatch):
  monkeypatch.setenv(folders.WEIGHTS_VARIABLE, str(tmp_path))
  for name in ("alexnet.json", "alexnet.weights.h5", "vgg16.json"):
    (tmp_path / name).touch()
  status, out, err = _run(capsys, "--json")
  assert (status, err) == (0, "")
  found = json.loads(out)
  assert found["perceptual"] == __version__
  assert found["backend"]["name"] == "tensorflow"
  assert "CPU 0" in found["backend"]["devices"]
  assert found["weights"] == {"folder": str(tmp_path), "names": ["alexnet"]}
  names = [package["name"] for package in found["packages"]]
  assert len(set(names)) == len(names)
  optional = [package["name"] for package in found["packages"] if package["extra"]]
  assert optional == sorted(optional) == names[-len(optional):]
  assert {"absl-py", "pillow", "torch", "tf-models-official"} <= set(names)
  versions = {package["name"]: package["version"] for package in found["packages"]}
  assert versions["numpy"].count(".") == 2
  assert set(versions) >= {package.pip for package in packages.OPTIONAL.values()}


def test_workers_are_told_where_they_are_named(capsys, monkeypatch):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  assert "TF_CONFIG" not in _run(capsys)[1]
  monkeypatch.setenv("TF_CONFIG", '{"cluster": {}}')
  assert '\nworkers   TF_CONFIG={"cluster": {}}\n' in _run(capsys)[1]
  assert json.loads(_run(capsys, "--json")[1])["tf_config"] == '{"cluster": {}}'


def test_what_is_missing_has_its_command(capsys, monkeypatch):
  installed = packages.is_installed
  monkeypatch.setattr(packages, "is_installed",
                      lambda module: module != "onnx" and installed(module))
  status, out, _ = _run(capsys)
  assert status == 0
  line = next(line for line in out.splitlines() if line.startswith("onnx "))
  assert line.split()[1] == "missing"
  assert line.endswith('pip install "perceptual[export]"')


def test_without_a_backend_the_status_is_1(capsys, monkeypatch):
  def fail():
    raise ImportError("libcuda.so.1: cannot open shared object file")

  monkeypatch.setitem(installation._DEVICES, "tensorflow", fail)
  status, out, _ = _run(capsys)
  assert status == 1
  assert "backend   none: tensorflow cannot be imported: libcuda.so.1: cannot open" in out
