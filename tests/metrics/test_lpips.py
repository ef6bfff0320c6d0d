"""LPIPS: the published numbers, per layer, on every backend; and what makes a metric of it."""

import json
import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from perceptual import errors, weights
from perceptual.export import saved_model
from perceptual.metrics import distances
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.metrics.lpips import NETS, lpips
from perceptual.models import linear_heads
from perceptual.models.taps import Tap
from perceptual.weights import catalogue

SMALL = "squeeze"  # the net that is quickest to make
TOLERANCE = 1e-4


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory):
  """A folder with weights of random values for every net, version 0.0."""
  folder = tmp_path_factory.mktemp("random_weights")
  rng = np.random.default_rng(0)
  for net, trunk in catalogue.LPIPS_TRUNKS.items():
    for name in (trunk.network, catalogue.lpips_heads(net, "0.0")):
      entry, state = catalogue.get(name), {}
      for layer in entry.build().layers:
        if layer.weights:
          height, width, inputs, outputs = layer.kernel.shape
          spread = np.sqrt(2 / (height * width * inputs))
          values = rng.normal(0, spread, (outputs, inputs, height, width)).astype("float32")
          state[f"{entry.modules[layer.name]}.weight"] = (
              np.abs(values) if entry.role == "heads" else values)
          if entry.role == "trunk":
            state[f"{entry.modules[layer.name]}.bias"] = np.zeros(outputs, "float32")
      path = folder / f"{name}.npz"
      np.savez(path, **state)
      weights.convert(path, name, folder)
  return folder


@pytest.fixture(scope="session")
def published(testdata, tmp_path_factory):
  """The folder of the conformance data, and one with its weights converted."""
  source = testdata / "conformance" / "lpips"
  folder = tmp_path_factory.mktemp("published_weights")
  for name, file in (
      ("alexnet", "torchvision_alexnet"), ("squeezenet1_1", "torchvision_squeezenet1_1"),
      ("lpips-alex-v0.1", "lpips_v0.1_alex_lin"),
      ("lpips-squeeze-v0.1", "lpips_v0.1_squeeze_lin")):
    weights.convert(source / f"{file}.npz", name, folder)
  return source, folder


@pytest.fixture
def small(random_weights):
  return lpips(SMALL, "0.0", weights=random_weights)


def pair(*size, seed=0):
  values = np.random.default_rng(seed).uniform(size=(2, 2, *size, 3)).astype("float32")
  return values[0], values[1]


def example(source, name):
  return np.asarray(Image.open(source / f"{name}.png"))[None]


# The published numbers.


@pytest.mark.parametrize("candidate", ["ex_p0", "ex_p1"])
@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_published_distances_of_every_layer(net, candidate, published):
  source, folder = published
  images = example(source, "ex_ref"), example(source, candidate)
  expected = json.loads((source / "expected.json").read_text())[f"{net}/{candidate}"]
  for learned, kind in ((True, "lin"), (False, "unweighted")):
    metric = lpips(net, lpips=learned, weights=folder)
    np.testing.assert_allclose(metric(*images), [expected[kind]], atol=TOLERANCE)
    per_tap = metric.per_tap(*images)
    assert tuple(per_tap) == metric.taps
    np.testing.assert_allclose(
        np.ravel(list(per_tap.values())), expected[f"{kind}_per_layer"], atol=TOLERANCE)


def test_the_readmes_numbers_of_the_lpips_package(published):
  source, folder = published
  metric = lpips("alex", weights=folder)
  values = [float(metric(example(source, "ex_ref"), example(source, name))[0])
            for name in ("ex_p0", "ex_p1")]
  assert [round(value, 3) for value in values] == [0.722, 0.138]


def test_every_way_to_give_an_image_gives_the_same(published):
  source, folder = published
  images = example(source, "ex_ref"), example(source, "ex_p0")
  expected = float(lpips("alex", weights=folder)(*images)[0])
  unit = [image / 255 for image in images]
  assert float(lpips(weights=folder)(*unit)[0]) == pytest.approx(expected, abs=1e-6)
  symmetric = lpips(weights=folder, float_range=(-1, 1))
  assert float(symmetric(*(2 * image - 1 for image in unit))[0]) == pytest.approx(
      expected, abs=1e-6)


# Every net, by an independent reading of its last steps in NumPy.


def reading(features, heads):
  """Maps of each layer before their mean, [batch, height, width] float64."""
  maps = {}
  for tap, maps_of_both in features.items():
    unit = [np.float64(x) / (np.linalg.norm(np.float64(x), axis=-1, keepdims=True) + 1e-10)
            for x in maps_of_both]
    maps[tap] = np.sum((unit[0] - unit[1])**2 * heads[tap], axis=-1)
  return maps


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("net", NETS)
def test_distances_and_maps_equal_their_reading(net, learned, random_weights):
  metric = lpips(net, "0.0", lpips=learned, weights=random_weights)
  images = pair(45, 38)
  heads = linear_heads.channel_weights(
      weights.load(catalogue.lpips_heads(net, "0.0"), random_weights))
  features = {tap: (np.array(metric.features(images[0])[tap]),
                    np.array(metric.features(images[1])[tap])) for tap in metric.taps}
  maps = reading(features, heads if learned else dict.fromkeys(heads, 1.0))
  per_tap = metric.per_tap(*images)
  assert list(per_tap) == list(maps) == list(catalogue.LPIPS_TRUNKS[net].channels)
  for tap, values in maps.items():
    np.testing.assert_allclose(per_tap[tap], values.mean(axis=(1, 2)), rtol=1e-4)
  np.testing.assert_allclose(
      metric(*images), sum(values.mean(axis=(1, 2)) for values in maps.values()), rtol=1e-4)
  spatial = sum(tf.image.resize(values[..., None], (45, 38))[..., 0] for values in maps.values())
  np.testing.assert_allclose(metric.spatial_map(*images), spatial, rtol=1e-3, atol=1e-5)


def test_maps_are_those_of_pytorchs_upsampling(small):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: no upsampling to compare")
  images = pair(47, 64)
  features = [small.features(image) for image in images]
  expected = 0
  for tap, heads in small.channel_weights.items():
    maps = distances.spatial_map(features[0][tap], features[1][tap], distances.linear(heads))
    expected = expected + torch.nn.functional.interpolate(
        torch.tensor(np.array(maps))[:, None], size=(47, 64), mode="bilinear",
        align_corners=False)[:, 0].numpy()
  np.testing.assert_allclose(small.spatial_map(*images), expected, rtol=1e-4, atol=1e-6)


def test_versions_differ_in_what_the_network_sees(random_weights):
  black, white = np.zeros((1, 32, 32, 3), "uint8"), np.full((1, 32, 32, 3), 255, "uint8")
  old = lpips(SMALL, "0.0", weights=random_weights).preprocessing
  np.testing.assert_array_equal(old(black), -np.ones(black.shape))
  np.testing.assert_array_equal(old(white), np.ones(white.shape))
  new = lpips(SMALL, "0.1", lpips=False, weights=random_weights).preprocessing
  shift, scale = np.array([-.030, -.088, -.188]), np.array([.458, .448, .450])
  for image, value in ((black, -1), (white, 1)):
    np.testing.assert_allclose(new(image)[0, 0, 0], (value - shift) / scale, rtol=1e-5)


# Properties.


@pytest.mark.parametrize("learned", [True, False])
def test_an_image_is_at_zero_from_itself_with_a_zero_gradient(learned, random_weights):
  metric = lpips(SMALL, "0.0", lpips=learned, weights=random_weights)
  for image in (pair(33, 40)[0], np.zeros((1, 32, 32, 3), "float32")):
    candidate = tf.constant(image)
    with tf.GradientTape() as tape:
      tape.watch(candidate)
      value = metric(image, candidate)
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(tape.gradient(value, candidate), 0)


def test_symmetric_and_independent_of_the_batch(small):
  first, second = pair(40, 33)
  forth = small(first, second)
  assert (np.array(forth) > 0).all()
  np.testing.assert_allclose(small(second, first), forth, rtol=1e-6)
  np.testing.assert_allclose(small(first[1:], second[1:]), forth[1:], rtol=1e-5)


# What a metric with learned weights is besides.


def test_the_fingerprint_names_net_version_and_heads(random_weights, small):
  fingerprint = small.fingerprint
  assert (fingerprint["name"], fingerprint["distance"]) == ("lpips-squeeze", "lin")
  assert fingerprint["options"] == {"version": "0.0", "lpips": True}
  plain = lpips(SMALL, "0.0", lpips=False, weights=random_weights).fingerprint
  assert plain["distance"] == "local"
  assert plain["weights_sha256"] != fingerprint["weights_sha256"]
  heavier = {tap: value * 2 for tap, value in small.channel_weights.items()}
  other = FeatureMetric(
      small.trunk, name="lpips-squeeze", taps=small.taps, channel_weights=heavier)
  assert other.fingerprint["weights_sha256"] not in (
      plain["weights_sha256"], fingerprint["weights_sha256"])


def test_an_export_holds_the_heads(tmp_path):
  # An LPIPS takes long to export: these are heads on a network of one layer.
  image = keras.Input((None, None, 3), name="image")
  model = keras.Model(image, {"tap": Tap(stride=1, name="tap")(image)})
  metric = FeatureMetric(model, name="n", channel_weights={"tap": [0.0, 1.0, 3.0]})
  saved_model.export(metric, tmp_path / "export")
  loaded = tf.saved_model.load(str(tmp_path / "export"))
  images = pair(4, 5)
  assert np.all(np.abs(metric(*images) - FeatureMetric(model, name="n")(*images)) > 0.1)
  np.testing.assert_allclose(loaded(*images), metric(*images), rtol=1e-5)
  np.testing.assert_allclose(loaded.per_tap(*images)["tap"], metric(*images), rtol=1e-5)
  np.testing.assert_allclose(
      loaded.spatial_map(*images), metric.spatial_map(*images), rtol=1e-5, atol=1e-7)


def test_a_graph_of_any_size_gives_the_same(small):
  images = [tf.TensorSpec([None, None, None, 3])] * 2
  function = tf.function(lambda a, b: (small(a, b), small.spatial_map(a, b)), images)
  for size in ((41, 35), (17, 64)):
    found = function(*pair(*size))
    np.testing.assert_allclose(found[0], small(*pair(*size)), rtol=1e-5)
    np.testing.assert_allclose(
        found[1], small.spatial_map(*pair(*size)), rtol=1e-4, atol=1e-6)
  with pytest.raises(tf.errors.InvalidArgumentError, match="at least 17 pixels"):
    function(*pair(16, 40))


@pytest.mark.parametrize("change, message", [
    (lambda given: given | {"relu9": np.ones(3)}, "those of the metric are relu1, fire3"),
    (lambda given: {"relu1": given["relu1"]}, "those of the metric are relu1, fire3"),
    (lambda given: given | {"fire3": np.ones(64)}, "Tap fire3 has 128 channels"),
    (lambda given: given | {"fire3": np.full(128, -1e-6)}, "tap fire3 must be finite and not neg"),
    (lambda given: given | {"fire3": np.full(128, np.nan)}, "tap fire3 must be finite and not neg"),
])
def test_channel_weights_that_do_not_fit_are_refused(change, message, small):
  with pytest.raises(errors.UserError, match=message) as error:
    FeatureMetric(small.trunk, name="n", taps=small.taps,
           channel_weights=change(small.channel_weights))
  assert "\n" not in str(error.value)


def test_channel_weights_go_with_local_alone(small):
  with pytest.raises(errors.UserError, match="go with the distance local, not with style"):
    FeatureMetric(small.trunk, name="n", taps=small.taps, distance="style",
           channel_weights=small.channel_weights)


# Bad input.


def refusal(*arguments, **options):
  with pytest.raises(errors.UserError) as error:
    lpips(*arguments, **options)
  assert "\n" not in str(error.value)
  return str(error.value)


def test_unknown_names_list_the_known():
  assert refusal("alexnet") == "Unknown net of LPIPS 'alexnet'. Available: alex, vgg, squeeze."
  assert "Unknown float range '-1,1'. Available: (0.0, 1.0)" in refusal(float_range="-1,1")
  assert refusal(version="0.2") == "Unknown version of LPIPS '0.2'. Available: 0.1, 0.0."


def test_missing_weights_say_what_to_get_and_what_to_run(tmp_path):
  assert refusal("vgg", weights=tmp_path) == (
      f"There are no weights of vgg16 and lpips-vgg-v0.1 in {tmp_path}, and nothing is downloaded "
      "unless you ask. They come from vgg16-397923af.pth (torchvision's vgg16, IMAGENET1K_V1) and "
      "vgg.pth (the lpips package's lpips/weights/v0.1/vgg.pth). To download and convert what this "
      "machine does not have yet, run: perceptual convert --network=lpips-vgg --download "
      f"--weights_dir={tmp_path}")


def test_only_what_is_missing_is_asked_for(random_weights):
  message = refusal("alex", "0.1", weights=random_weights)
  assert "no weights of lpips-alex-v0.1 in" in message and "alexnet-owt" not in message


def test_images_too_small_are_refused(small):
  with pytest.raises(errors.UserError, match="at least 17 pixels"):
    small(*pair(16, 40))


# The other backends of Keras.

# Prints nothing: reads jobs, and writes terms, map and gradient of each on its process's backend.
# JAX takes seconds to compile a gradient: of the published, with "_" in their key, terms will do.
OTHER_BACKEND = """
import json
import sys
import keras
import numpy as np
from keras import ops
from perceptual.metrics.lpips import lpips

arrays, results = np.load(sys.argv[1]), {}
for key, (net, version, learned, weights) in json.loads(sys.argv[3]).items():
  metric = lpips(net, version, lpips=learned, weights=weights)
  reference, candidate = (ops.convert_to_tensor(arrays[key + name]) for name in ("_ref", "_cand"))

  def terms(candidate):
    per_tap = metric.per_tap(reference, candidate)
    assert tuple(per_tap) == metric.taps
    return ops.stack(list(per_tap.values()), axis=-1)

  def total(candidate):
    found = terms(candidate)
    return ops.sum(found), (found, metric.spatial_map(reference, candidate))

  if keras.backend.backend() == "jax":
    import jax
    if "_" in key:
      results[key + "_terms"] = jax.jit(terms)(candidate)
      continue
    (_, found), gradient = jax.jit(jax.value_and_grad(total, has_aux=True))(candidate)
  else:
    value, found = total(candidate.requires_grad_())
    value.backward()
    gradient = candidate.grad
  for name, value in zip(("_terms", "_map", "_gradient"), (*found, gradient)):
    results[key + name] = ops.convert_to_numpy(value)
np.savez(sys.argv[2], **results)
"""


@pytest.fixture(scope="session")
def elsewhere(request, on_another_backend, random_weights, tmp_path_factory):
  """The images of some metrics, and what another backend makes of them: two dicts of arrays.

  Keys are a net, and `_lin` or `_unweighted` if its weights are the published.
  """
  jobs = {net: (net, "0.0", True, str(random_weights)) for net in NETS}
  images = {}
  for key in jobs:
    images[f"{key}_ref"], images[f"{key}_cand"] = pair(33, 46)
  if os.environ.get("PERCEPTUAL_TESTDATA"):
    source, folder = request.getfixturevalue("published")
    three = [example(source, f"ex_{name}")[0] / np.float32(255) for name in ("ref", "p0", "p1")]
    for net in ("alex", "squeeze"):
      for kind in ("lin", "unweighted"):
        key = f"{net}_{kind}"
        jobs[key] = (net, "0.1", kind == "lin", str(folder))
        images[f"{key}_ref"], images[f"{key}_cand"] = np.stack(three[:1] * 2), np.stack(three[1:])
  files = tmp_path_factory.mktemp("elsewhere")
  np.savez(files / "images.npz", **images)
  on_another_backend(
      OTHER_BACKEND, files / "images.npz", files / "found.npz", json.dumps(jobs))
  with np.load(files / "found.npz") as found:
    return images, dict(found)


@pytest.mark.parametrize("kind", ["lin", "unweighted"])
@pytest.mark.parametrize("net", ["alex", "squeeze"])
def test_another_backend_gives_the_published_distances(net, kind, elsewhere, testdata):
  terms = elsewhere[1][f"{net}_{kind}_terms"]
  text = (testdata / "conformance" / "lpips" / "expected.json").read_text()
  for candidate, found in zip(("ex_p0", "ex_p1"), terms):
    expected = json.loads(text)[f"{net}/{candidate}"]
    np.testing.assert_allclose(found, expected[f"{kind}_per_layer"], atol=TOLERANCE)
    np.testing.assert_allclose(found.sum(), expected[kind], atol=TOLERANCE)


@pytest.mark.parametrize("net", NETS)
def test_another_backend_gives_the_same_terms_maps_and_gradients(net, elsewhere, random_weights):
  images, found = elsewhere
  metric = lpips(net, "0.0", weights=random_weights)
  reference, candidate = images[f"{net}_ref"], tf.constant(images[f"{net}_cand"])
  with tf.GradientTape() as tape:
    tape.watch(candidate)
    terms = metric.per_tap(reference, candidate)
    total = sum(terms.values())
  gradient = tape.gradient(total, candidate).numpy()
  np.testing.assert_allclose(
      found[f"{net}_terms"], np.stack(list(terms.values()), axis=-1), rtol=1e-4)
  np.testing.assert_allclose(
      found[f"{net}_map"], metric.spatial_map(reference, candidate), rtol=1e-3, atol=1e-5)
  np.testing.assert_allclose(
      found[f"{net}_gradient"], gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max())
