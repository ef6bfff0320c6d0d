"""Every Python snippet of README.md and docs/ runs; every link to a file leads somewhere.

The snippets of a page run in order in one namespace, in a folder with what they speak of. One that
cannot run here says so, with the reason, where its reader sees it: ```python no-run: the reason
"""

import dataclasses
import re
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import models, weights
from perceptual.data.images import image_files
from perceptual.export import saved_model
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.training import checkpoint_files, model_dir
from perceptual.weights import catalogue
from tools import build_files

_PAGES = [build_files.ROOT / "README.md", *sorted((build_files.ROOT / "docs").glob("*.md"))]
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@dataclasses.dataclass(frozen=True)
class Snippet:
  """A fenced block of Python: what stands behind the fence's word `python`, and the code."""

  page: str
  line: int
  note: str
  code: str


def _snippets(text, page):
  return [
      Snippet(page, text.count("\n", 0, match.start()) + 2,
              match[1].removeprefix("python").strip(), match[2])
      for match in _FENCE.finditer(text) if match[1].split()[:1] == ["python"]]


# Pages for another framework, whose snippets run in a process of it: what they use.
_OF_FRAMEWORKS = {"pytorch.md": """
import torch
images = torch.rand(4, 2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
reference, candidate, source, target = images
model = torch.nn.Conv2d(3, 3, 3, padding=1)
""", "jax.md": """
import jax
reference, candidate, source, target = jax.random.uniform(jax.random.key(0), [4, 2, 32, 32, 3])
params = jax.numpy.ones([3])
model = lambda params, images: params * images
"""}

_ALL = {page: _snippets(page.read_text("utf-8"), page.name) for page in _PAGES}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where the snippets run: run directory, exports, weights and images that they name."""
  path = tmp_path_factory.mktemp("docs")
  keras.utils.set_random_seed(0)
  _train(path / "runs/mine")
  options = {"num_classes": 100}
  saved_model.export(
      FeatureMetric(models.build("resnet6", **options), name="resnet6", options=options,
             taps=["reduction_1", "reduction_2"]), path / "exports/resnet6")
  for copy in ("exports/mine", "runs/quickstart/metric"):
    shutil.copytree(path / "exports/resnet6", path / copy)
  _convert_lpips(path / "weights")
  for name in ("photographs/a.png", "restored/a.png"):
    (path / name).parent.mkdir()
    (path / name).write_bytes(image_files.encode_png(np.full([32, 32, 3], len(name), np.uint8)))
  return path


def _train(path):
  """Writes a run directory as `perceptual train` leaves one, of a network that saw nothing."""
  options = {"width": 0.0625, "num_classes": 3}
  model, folder = models.build("resnet4", **options), model_dir.ModelDir(path)
  folder.make()
  folder.write_network("resnet4", options)
  for name in ("best_score", "best_accuracy"):
    checkpoint = tf.train.Checkpoint(
        weights=model_dir.keyed_by_path(model.weights), step=tf.Variable(1))
    checkpoint_files.write(checkpoint, folder.checkpoint(name), 1)


def _convert_lpips(folder):
  """Writes weights of LPIPS-Alex, of random values."""
  rng = np.random.default_rng(0)
  for name in ("alexnet", "lpips-alex-v0.1"):
    entry, state = catalogue.get(name), {}
    for layer in (layer for layer in entry.build().layers if layer.weights):
      height, width, inputs, outputs = layer.kernel.shape
      module = entry.modules[layer.name]
      state[f"{module}.weight"] = rng.random((outputs, inputs, height, width), np.float32) / 100
      if layer.use_bias:
        state[f"{module}.bias"] = np.zeros(outputs, np.float32)
    source = folder.parent / f"{name}.npz"
    np.savez(source, **state)
    weights.convert(source, name, folder)


@pytest.fixture
def namespace():
  """The names that snippets use without making them."""
  import tensorflow_hub as hub

  images = np.random.default_rng(0).integers(0, 256, [3, 4, 64, 64, 3], np.uint8)
  images[0, 0, 0] = 0, 255, 128  # the page on ranges quotes an error that names both
  floats = (images / 255).astype("float32")
  image = keras.Input([None, None, 3])
  return {
      "np": np, "tf": tf, "keras": keras, "hub": hub, "perceptual": perceptual,
      "reference": images[0], "candidate": images[1], "candidate_0": images[1],
      "candidate_1": images[2], "judge": np.array([0.0, 0.2, 0.8, 1.0]),
      "source": floats[0], "target": floats[1],
      "model": keras.Model(image, keras.layers.Conv2D(
          3, 3, padding="same", activation="sigmoid")(image)),
  }


@pytest.mark.parametrize(
    "page", [page for page, found in _ALL.items() if found and page.name not in _OF_FRAMEWORKS],
    ids=lambda page: page.name)
def test_the_snippets_of_a_page_run(page, folder, namespace, monkeypatch):
  monkeypatch.chdir(folder)
  monkeypatch.setenv("PERCEPTUAL_WEIGHTS", str(folder / "weights"))
  for snippet in _ALL[page]:
    if not snippet.note:
      # Blank lines before it, so that an error names the line of the page.
      source = "\n" * (snippet.line - 1) + snippet.code
      exec(compile(source, str(page), "exec"), namespace)


@pytest.mark.parametrize(("on_another_backend", "name"), [
    ("torch", "pytorch.md"), ("jax", "jax.md")], indirect=["on_another_backend"], scope="session")
def test_the_snippets_of_a_page_of_a_framework_run(on_another_backend, name, folder, monkeypatch):
  monkeypatch.chdir(folder)
  monkeypatch.setenv("PERCEPTUAL_WEIGHTS", str(folder / "weights"))
  snippets = _ALL[build_files.ROOT / "docs" / name]
  on_another_backend("\n".join(
      [_OF_FRAMEWORKS[name], *(snippet.code for snippet in snippets if not snippet.note)]))


def test_a_snippet_that_does_not_run_says_why():
  notes = [(s.page, s.line, s.note) for found in _ALL.values() for s in found if s.note]
  assert [note for note in notes if not re.fullmatch(r"no-run: .{10,}", note[2])] == []
  assert len(notes) < sum(map(len, _ALL.values())) / 4


def test_snippets_are_found_as_they_are_meant():
  text = "a\n```python\nx = 1\n```\n```\nno = code\n```\n```python no-run: it is slow\ny\n```\n"
  assert _snippets(text, "p") == [
      Snippet("p", 3, "", "x = 1\n"), Snippet("p", 9, "no-run: it is slow", "y\n")]


def test_the_error_that_the_page_on_ranges_quotes_is_the_one_raised(
    folder, namespace, monkeypatch, capsys):
  monkeypatch.chdir(folder)
  page = build_files.ROOT / "docs" / "input-ranges.md"
  for snippet in _ALL[page]:
    exec(snippet.code, namespace)
  said = capsys.readouterr().out.strip()
  assert said and f"# {said}" in page.read_text("utf-8")


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
  links = [link for link in _LINK.findall(page.read_text("utf-8")) if "://" not in link]
  assert [link for link in links if not (page.parent / link).exists()] == []
