"""What Keras runs on: the user's choice, or what is installed, or one line about what is not."""

import os
import subprocess
import sys

import pytest

from perceptual.common import backends, packages
from perceptual.errors import UserError
from tools.build_files import ROOT


@pytest.fixture
def choose(monkeypatch, tmp_path):
  """(installed, variable, required) -> what is chosen, as if Keras were not imported yet."""
  def call(installed=(), variable=None, required=None, purpose="Training"):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(packages, "is_installed", lambda module: module in installed)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", variable or "")
    chosen = backends.choose(required, purpose=purpose)
    assert os.environ["KERAS_BACKEND"] == chosen
    return chosen

  return call


@pytest.mark.parametrize(("installed", "chosen"), [
    (("jax", "torch", "tensorflow"), "tensorflow"), (("jax", "torch"), "torch"), (("jax",), "jax")])
def test_the_first_that_is_installed_is_taken(choose, installed, chosen):
  assert choose(installed) == chosen


def test_the_variable_wins(choose):
  assert choose(("jax", "torch", "tensorflow"), variable="jax") == "jax"


def test_what_is_required_is_taken_where_nothing_is_set(choose):
  assert choose(("tensorflow", "torch"), required="torch") == "torch"


@pytest.mark.parametrize(("text", "chosen"), [
    ('{"backend": "jax"}', "jax"), ('{"backend": "tensorflow"}', "torch"),  # which is not installed
    ("{}", "torch"), ("not JSON", "torch"), ("[]", "torch")])
def test_the_configuration_of_keras_is_followed_where_it_can_be(choose, tmp_path, text, chosen):
  (tmp_path / "keras.json").write_text(text, "utf-8")
  assert choose(("jax", "torch")) == chosen


@pytest.mark.parametrize(("arguments", "message"), [
    ({"purpose": None}, "Keras has no backend here. Install one: "
     'pip install "perceptual[tensorflow]", pip install "perceptual[torch]" or '
     'pip install "perceptual[jax]"'),
    ({"purpose": "Comparing by fsim"}, "Comparing by fsim needs a backend of Keras. Install one: "
     'pip install "perceptual[tensorflow]", pip install "perceptual[torch]" or '
     'pip install "perceptual[jax]"'),
    ({"variable": "jax"}, "KERAS_BACKEND is 'jax', and JAX is not installed: "
     'pip install "perceptual[jax]"'),
    ({"variable": "jax", "installed": ("tensorflow", "torch")},
     "KERAS_BACKEND is 'jax', and JAX is not installed: "
     'pip install "perceptual[jax]", or set KERAS_BACKEND to tensorflow or torch'),
    ({"variable": "pytorch"}, "KERAS_BACKEND must be tensorflow, torch or jax, not 'pytorch'."),
    ({"variable": "jax", "installed": ("jax", "tensorflow"), "required": "tensorflow"},
     "Training runs on TensorFlow, and KERAS_BACKEND is 'jax': set it to tensorflow."),
    ({"required": "torch"},
     'Training needs PyTorch, which is not installed: pip install "perceptual[torch]"'),
])
def test_what_cannot_be_is_one_line(choose, arguments, message):
  with pytest.raises(UserError) as caught:
    choose(**arguments)
  assert str(caught.value) == message


def test_an_imported_keras_stays_as_it_is(monkeypatch):
  import keras

  monkeypatch.setenv("KERAS_BACKEND", "none of them")
  assert backends.choose() == keras.backend.backend() == "tensorflow"
  assert backends.choose("tensorflow") == "tensorflow"
  with pytest.raises(UserError, match=r"^JAX's face runs on JAX, and Keras already runs on "):
    backends.choose("jax", purpose="JAX's face")


_WITHOUT = "import sys; sys.modules.update(dict.fromkeys({missing}))\n"


@pytest.mark.parametrize(("missing", "variable", "told"), [
    (["jax"], "jax", "KERAS_BACKEND is 'jax', and JAX is not installed"),
    (["tensorflow", "torch", "jax", "onnxruntime"], "", "Keras has no backend here. Install one: "),
    (["tensorflow", "torch", "jax"], "", "Keras has no backend here. Install one: pip install "),
])
@pytest.mark.parametrize("use", [
    "import perceptual; perceptual.load_metric()",
    "import perceptual; perceptual.PerceptualLoss",
    "from perceptual.metrics.lpips import lpips",
    "import perceptual.models",
    "import perceptual.metrics.distances",
])
def test_without_its_backend_every_entrance_says_what_to_install(missing, variable, told, use):
  process = _python(_WITHOUT.format(missing=missing) + use, variable)
  assert process.stderr.splitlines()[-1].startswith(f"perceptual.errors.UserError: {told}")


@pytest.mark.parametrize(("arguments", "told"), [
    (["compare", "a.png", "b.png"], "error: KERAS_BACKEND is 'jax', and JAX is not installed: "),
    (["models"], "error: KERAS_BACKEND is 'jax', and JAX is not installed: "),
    (["train", "--gin_file=x", "--model_dir=x"], "error: Training runs on TensorFlow, and "),
    (["learn", "--gin_file=x", "--data_dir=x", "--model_dir=x"], "error: Learning a metric runs "),
    (["evaluate", "--metric=ssim", "--dataset=graded", "--output_dir=x"],
     "error: KERAS_BACKEND is 'jax', and JAX is not installed: "),
    (["export", "--metric=ssim", "--export_dir=x"], "error: Exporting runs on TensorFlow, and "),
    (["prepare", "graded", "--source=demo", "--data_dir=x"], "error: Preparing data sets runs on "),
])
def test_a_command_without_its_backend_is_one_line(arguments, told):
  process = _python(_WITHOUT.format(missing=["jax"])
                    + f"from perceptual.commands import cli\ncli.main({arguments})", "jax")
  assert (process.returncode, process.stdout, process.stderr.count("\n")) == (1, "", 1)
  assert process.stderr.startswith(told)


def test_a_command_without_its_packages_is_one_line():
  process = _python(_WITHOUT.format(missing=["orbit"]) + (
      "from perceptual.commands import cli\n"
      "cli.main(['train', '--gin_file=x', '--model_dir=x'])"), "")
  assert (process.returncode, process.stderr) == (
      1, "error: Training needs tf-models-official, which is not installed: "
         'pip install "perceptual[train]"\n')


def _python(code, variable):
  return subprocess.run(
      [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "KERAS_BACKEND": variable},
      text=True, capture_output=True)
