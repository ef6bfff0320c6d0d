"""One way to a metric: every kind of source, and one clear line for what is none."""

import copy
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import perceptual
from perceptual import models, weights
from perceptual.data.labelled import demo
from perceptual.errors import UserError
from perceptual.export import saved_model
from perceptual.metrics import bundled, classical, fixed_features
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import taps
from perceptual.training import checkpoint_files, model_dir
from perceptual.weights import catalogue

_PUBLISHED = [row.name for row in perceptual.list_metrics() if row.kind == "network"]
_OPTIONS = {"width": 0.0625, "num_classes": 3}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
  """A run directory as `perceptual train` leaves one, of a network that was not trained."""
  folder = model_dir.ModelDir(tmp_path_factory.mktemp("runs") / "tiny")
  folder.make()
  folder.write_network("resnet4", _OPTIONS)
  keras.utils.set_random_seed(1)
  model = models.build("resnet4", **_OPTIONS)
  checkpoint = tf.train.Checkpoint(
      weights=model_dir.keyed_by_path(model.weights), step=tf.Variable(7))
  checkpoint_files.write(checkpoint, folder.checkpoint("best_score"), 7)
  return folder.path


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
  folder = tmp_path_factory.mktemp("exports") / "metric"
  saved_model.export(perceptual.load_metric(trained, float_range="-1,1"), folder)
  return folder


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(0).integers(0, 256, [3, 2, 33, 40, 3], np.uint8)


def _floats(images, low=-1.0, high=1.0):
  return (low + (high - low) * images / 255).astype(np.float32)


# What can be loaded.


@pytest.mark.parametrize("name", classical.METRICS)
def test_classical_metrics_have_names(name, images):
  options = {"scales": 2} if name == "ms-ssim" else {}
  metric = perceptual.load_metric(name, **options)
  np.testing.assert_array_equal(metric(*images[:2]), classical.build(name, **options)(*images[:2]))
  assert metric.source == {"source": name, "float_range": None, **options}


@pytest.mark.parametrize("source", [None, "perceptual"])
def test_without_a_source_it_is_the_bundled_metric(source, images):
  metric = perceptual.load_metric(source)
  np.testing.assert_array_equal(metric(*images[:2]), bundled.metric()(*images[:2]))
  assert metric.source == {"source": "perceptual", "float_range": None}


def test_the_bundled_metric_takes_a_distance_and_taps():
  first, *_ = perceptual.load_metric().taps
  metric = perceptual.load_metric(distance="mean_pool", taps=[first])
  assert metric.distance.name == "mean_pool" and metric.taps == (first,)


@pytest.fixture(scope="module")
def weights_dir(tmp_path_factory):
  """Converted weights of SqueezeNet, of random values."""
  entry, rng, state = catalogue.get("squeezenet1_1"), np.random.default_rng(0), {}
  for layer in (layer for layer in entry.build().layers if layer.weights):
    height, width, inputs, outputs = layer.kernel.shape
    module = entry.modules[layer.name]
    scale = np.float32(np.sqrt(2 / (height * width * inputs)))
    state[f"{module}.weight"] = scale * rng.standard_normal(
        (outputs, inputs, height, width), np.float32)
    state[f"{module}.bias"] = np.zeros(outputs, np.float32)
  folder = tmp_path_factory.mktemp("weights")
  np.savez(folder / "published.npz", **state)
  weights.convert(folder / "published.npz", "squeezenet1_1", folder)
  return folder


def test_a_published_network_is_a_metric_by_its_name(weights_dir, images, monkeypatch):
  metric = perceptual.load_metric(
      "squeezenet1_1", taps=["fire3", "fire5"], distance="mean_pool", weights=weights_dir)
  expected = FeatureMetric(weights.load("squeezenet1_1", weights_dir), name="x",
                    taps=["fire3", "fire5"], distance="mean_pool")
  np.testing.assert_array_equal(metric(*images[:2]), expected(*images[:2]))
  assert metric.name == "squeezenet1_1" and metric.trunk.trainable_variables == []
  monkeypatch.setenv("PERCEPTUAL_WEIGHTS", str(weights_dir))
  assert len(perceptual.load_metric("squeezenet1_1").taps) == len(
      taps.list_taps(models.build("squeezenet1_1", num_classes=0)))


@pytest.mark.parametrize("name", _PUBLISHED)
def test_every_published_network_says_how_to_get_its_weights(name, tmp_path):
  with pytest.raises(UserError, match=f"perceptual convert --network={name} ") as caught:
    perceptual.load_metric(name, weights=tmp_path)
  assert "\n" not in str(caught.value)


def test_fixed_features_have_names(images):
  metric = perceptual.load_metric("gaussian-resnet3", seed=2, distance="style", float_range="0,255")
  expected = fixed_features.gaussian("resnet3", seed=2, distance="style", float_range=(0.0, 255.0))
  np.testing.assert_array_equal(metric(*images[:2]), expected(*images[:2]))
  assert metric.source == {"source": "gaussian-resnet3", "float_range": "0,255", "seed": 2,
                           "distance": "style"}
  crops, _ = demo.crops("train", per_photograph=3)
  metric = perceptual.load_metric("kmeans-alexnet", images=crops, taps=["relu1"])
  assert metric.name == "kmeans-alexnet" and metric.taps == ("relu1",)


def test_a_training_folder(trained, images):
  metric = perceptual.load_metric(trained)
  assert metric.trained == {"checkpoint": "best_score", "step": 7}
  model = model_dir.load_network(trained)[0]
  np.testing.assert_array_equal(metric(*images[:2]), FeatureMetric(model, name="x")(*images[:2]))
  other = perceptual.load_metric(str(trained), distance="style", taps=["reduction_2"])
  assert other.distance.name == "style" and other.taps == ("reduction_2",)


def test_a_path_is_kept_whole_so_that_it_is_found_from_elsewhere(trained, monkeypatch, tmp_path):
  monkeypatch.chdir(trained.parent)
  source = perceptual.load_metric(trained.name).source
  monkeypatch.chdir(tmp_path)
  assert json.loads(json.dumps(source)) == source
  perceptual.load_metric(**source)


def test_an_export_behaves_as_what_was_exported(trained, exported, images):
  eager, metric = perceptual.load_metric(trained), perceptual.load_metric(exported)
  reference, candidate, _ = images
  np.testing.assert_allclose(metric(reference, candidate), eager(reference, candidate), rtol=1e-5)
  for method in ("per_tap", "spatial_map"):
    found = getattr(metric, method)(reference, candidate)
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        found, getattr(eager, method)(reference, candidate))
  assert list(metric.per_tap(reference, candidate)) == list(metric.taps) == list(eager.taps)
  assert list(metric.features(reference)) == list(eager.taps)
  for distance, expected in zip(metric.two_afc(*images), eager.two_afc(*images)):
    np.testing.assert_allclose(distance, expected, rtol=1e-5)
  assert metric.lower_is_better is True and metric.name == "resnet4"


def test_an_export_is_found_by_a_hub_handle(exported, images):
  found = perceptual.load_metric(f"file://{exported}")
  np.testing.assert_array_equal(
      found(*images[:2]), perceptual.load_metric(exported)(*images[:2]))


def test_an_export_is_read_once_and_its_copies_share_it(exported, images, monkeypatch):
  read, load = [], tf.saved_model.load
  monkeypatch.setattr(tf.saved_model, "load", lambda folder: read.append(folder) or load(folder))
  metric = perceptual.load_metric(exported)
  copied = copy.copy(metric)
  np.testing.assert_array_equal(copied(*images[:2]), metric(*images[:2]))
  assert (read, copied.source) == ([str(exported)], metric.source)


def test_an_export_keeps_the_range_it_was_declared_for(exported, images):
  metric = perceptual.load_metric(exported)
  expected = metric(*images[:2])
  np.testing.assert_allclose(metric(*_floats(images[:2])), expected, rtol=1e-4)
  halves = _floats(images[:2]).astype(np.float16)
  np.testing.assert_allclose(metric(*halves), expected, rtol=1e-2)
  perceptual.load_metric(exported, float_range="-1,1")
  with pytest.raises(UserError, match="for float images from -1 to 1, not '0,255'"):
    perceptual.load_metric(exported, float_range="0,255")


@pytest.mark.parametrize("source", [None, "ssim", "trained", "exported"])
def test_images_are_what_the_documentation_says(source, images, request):
  if source in ("trained", "exported"):
    source = request.getfixturevalue(source)
  metric = perceptual.load_metric(source)
  low, high = metric.preprocessing.float_range
  expected = metric(*images[:2])
  np.testing.assert_allclose(metric(*_floats(images[:2], low, high)), expected, rtol=1e-3)
  grey = images[:2, ..., :1]
  np.testing.assert_allclose(metric(*grey), metric(*np.repeat(grey, 3, -1)), rtol=1e-6)
  for bad, message in [
      (np.repeat(grey, 4, -1), "reference: shape .* lay RGBA over a background first"),
      (images[:2, 0], "reference: shape"), (_floats(images[:2], low, 300), "reference: values"),
      (images[:2].astype(np.int32), "reference: dtype int32")]:
    with pytest.raises(UserError, match=message):
      metric(*bad)
  with pytest.raises(UserError, match="must have one size"):
    metric(images[0], images[1, :, :, :36])
  with pytest.raises(UserError, match="one dtype"):
    metric(images[0], _floats(images[1], low, high))


@pytest.mark.parametrize("source", [None, "mse", "psnr", "trained"])
def test_two_afc_gives_the_distances_of_both(source, images, request):
  metric = perceptual.load_metric(
      request.getfixturevalue(source) if source == "trained" else source)
  sign = 1 if metric.lower_is_better else -1
  for distance, candidate in zip(metric.two_afc(*images), images[1:]):
    np.testing.assert_allclose(distance, sign * metric(images[0], candidate), rtol=1e-5)


@pytest.mark.parametrize("float_range", ["0,1", "0,255", "-1,1"])
def test_the_range_of_floats_is_declared(float_range, images):
  metric = perceptual.load_metric("mse", float_range=float_range)
  low, high = map(float, float_range.split(","))
  np.testing.assert_allclose(
      metric(*_floats(images[:2], low, high)), metric(*images[:2]), rtol=1e-5)


def test_networks_are_frozen_and_their_hash_is_as_before(trained):
  metric = perceptual.load_metric(trained)
  assert metric.trunk.trainable_variables == []
  fresh = FeatureMetric(model_dir.load_network(trained)[0], name="resnet4")
  assert metric.trunk_key == fresh.trunk_key


def test_features_kept_give_the_distance(trained, images):
  metric = perceptual.load_metric(trained)
  features = [metric.features(batch) for batch in images[:2]]
  np.testing.assert_allclose(metric.from_features(*features), metric(*images[:2]), rtol=1e-5)


# What can not.


@pytest.mark.parametrize(("source", "options", "message"), [
    ("lpips", {},
     r"Unknown metric 'lpips'\. Did you mean lpips-alex, lpips-vgg or lpips-squeeze\? `perceptua"),
    ("LPIPS-Alex", {}, "Unknown metric 'LPIPS-Alex'. Did you mean lpips-alex\\?"),
    ("ms_ssim", {}, "Unknown metric 'ms_ssim'. Did you mean ms-ssim or ssim\\?"),
    ("no/such/folder", {}, "There is no folder 'no/such/folder', and no metric of that name"),
    ("", {}, "Unknown metric ''"),
    ("a\0b", {}, "Unknown metric"),
    ("~nouser/x", {}, "There is no folder '~nouser/x'"),
    (3, {}, "A metric is a name, such as lpips-alex, or the path of a folder, not 3"),
    (["ssim"], {}, "or the path of a folder, not \\['ssim'\\]"),
    (None, {"taps": 5}, "taps must be a list of names, not 5"),
    (None, {"taps": "reduction_1"}, "taps must be a list of names, not 'reduction_1'"),
    (None, {"distance": ["local"]}, "distance must be a name, not \\['local'\\]"),
    (None, {"distance": "local+far"}, "Unknown distance 'local\\+far'"),
    (None, {"dtype": "float16"}, "Unknown dtype 'float16'. Available: float32, mixed_float16"),
    ("lpips-alex", {"lpips": "no"}, "lpips must be true or false, not 'no'"),
    ("lpips-alex", {"weights": 5}, "weights must be a path, not 5"),
    ("ssim", {"channels": ["rgb"]}, "channels must be a name, not \\['rgb'\\]"),
    ("psnr:luma", {}, "options after the colon are OPTION=VALUE, separated by commas, not 'luma'"),
    ("psnr:crop=1,crop=2", {}, "crop is given twice"),
    ("psnr:crop=1", {"crop": 2}, "crop is given twice: after the colon, and beside it"),
    ("psnr:crop=x", {}, "crop must be a whole number, not 'x'"),
    ("psnr:crop=-1", {}, "crop must be a whole number of at least 0, not -1"),
    ("psnr:size=4", {}, "Unknown option of psnr 'size'. Available: float_range, channels, crop"),
    ("kmeans-alexnet:images=x", {}, "images of kmeans-alexnet is an array, which text cannot say"),
    ("gaussian-alex", {}, "Unknown network 'alex'. Available: resnet2"),
    ("kmeans-vgg16", {}, "Unknown metric 'kmeans-vgg16'. "),
    ("psnr, l2", {}, "names several metrics: name each by itself, as in --metric=psnr --metric=l2"),
    ("vgg16", {"version": "0.1"}, "Unknown option of vgg16 'version'. Available: distance, taps"),
    ("kmeans-alexnet", {"image": 3}, "Unknown option of kmeans-alexnet 'image'. Available: images"),
    ("ssim", {"distance": "local"}, "Unknown option of ssim 'distance'. Available: channels, crop"),
    ("mse", {"taps": []}, "Unknown option of mse 'taps'. Available: none"),
    ("lpips-alex", {"net": "vgg"},
     "Unknown option of lpips-alex 'net'. Available: version, lpips, weights"),
    ("lpips-alex", {"version": "7"}, "Unknown version of LPIPS '7'"),
    (None, {"checkpoint": "last"}, "Unknown option of perceptual 'checkpoint'. Available: dis"),
    (None, {"distance": "far"}, "Unknown distance 'far'"),
    (None, {"float_range": "0,2"}, "Unknown float range '0,2'"),
    ("l2", {"float_range": (0, 2)}, "Unknown float range"),
    ("file:///no/such/handle", {}, "file:///no/such/handle is not an exported metric: "),
])
def test_an_unknown_metric_or_option_is_one_line(source, options, message):
  with pytest.raises(UserError, match=message) as caught:
    perceptual.load_metric(source, **options)
  assert "\n" not in str(caught.value)


def test_a_missing_weight_says_how_to_get_it(tmp_path):
  with pytest.raises(UserError, match=r"unless you ask\. .* perceptual convert") as caught:
    perceptual.load_metric("lpips-alex", weights=tmp_path)
  assert "\n" not in str(caught.value)


def _folder(path, *names):
  path.mkdir()
  for name in names:
    (path / name).write_text("{}")
  return path


def test_folders_of_something_else_and_half_ones_are_refused(tmp_path, trained, exported):
  cases = [
      (_folder(tmp_path / "empty"), "neither an export .* nor a run directory"),
      (_folder(tmp_path / "half_run", "network.json"), "network.json is damaged"),
      (_folder(tmp_path / "half_export", "saved_model.pb"), "is not an exported metric: "),
  ]
  without_checkpoint = model_dir.ModelDir(tmp_path / "begun")
  without_checkpoint.make()
  without_checkpoint.write_network("resnet4", _OPTIONS)
  cases.append((without_checkpoint.path, "has no checkpoint 'best_score'. Available: none yet"))
  without_variables = _folder(tmp_path / "without_variables")
  (without_variables / "saved_model.pb").write_bytes((exported / "saved_model.pb").read_bytes())
  cases.append((without_variables, "is not an exported metric: "))
  for folder, message in cases:
    with pytest.raises(UserError, match=message) as caught:
      perceptual.load_metric(folder)
    assert "\n" not in str(caught.value)
  with pytest.raises(UserError, match="has no checkpoint 'first'"):
    perceptual.load_metric(trained, checkpoint="first")


def test_a_saved_model_of_something_else_is_refused(tmp_path):
  tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
  with pytest.raises(UserError, match="but not a metric written by `perceptual export`"):
    perceptual.load_metric(tmp_path / "module")


# The package.


def test_the_package_imports_nothing_until_it_is_asked():
  root = pathlib.Path(perceptual.__file__).parents[1]
  code = ("import sys, perceptual\n"
          "heavy = {'keras', 'tensorflow', 'numpy'} & set(sys.modules)\n"
          "assert not heavy, heavy\n"
          "assert {'load_metric', 'PerceptualLoss', 'metrics'} <= set(dir(perceptual))")
  subprocess.run([sys.executable, "-c", code], cwd=root, check=True)


@pytest.mark.parametrize("name", perceptual.__all__)
def test_everything_promised_is_there(name):
  assert getattr(perceptual, name) is not None


def test_an_unknown_attribute_is_no_module():
  with pytest.raises(AttributeError, match="no attribute 'nothing'"):
    _ = perceptual.nothing


@pytest.mark.parametrize(("missing", "source", "message"), [
    ("tensorflow_hub", "https://example.org/metric", "A TF Hub handle needs TensorFlow Hub, which "
     'is not installed: pip install "perceptual[hub]"'),
    ("tensorflow", "export", "An exported metric needs TensorFlow, which is not installed: "
     'pip install "perceptual[tensorflow]"'),
])
def test_an_export_without_what_it_needs_says_what_to_install(
    monkeypatch, missing, source, message):
  monkeypatch.setitem(sys.modules, missing, None)
  with pytest.raises(UserError) as caught:
    perceptual.loading.ExportedMetric(source)
  assert str(caught.value) == message
