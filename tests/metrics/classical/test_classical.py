"""What holds for every classical metric: the registry, extremes, properties, bad input."""

import json
import pathlib
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual.errors import UserError
from perceptual.evaluation import scores
from perceptual.metrics import classical
from perceptual.models import preprocessing

BEST = {"mse": 0, "psnr": 100, "ssim": 1, "ms-ssim": 1, "fsim": 1, "fsimc": 1}
SMALLEST = {"mse": 1, "psnr": 1, "ssim": 11, "ms-ssim": 41, "fsim": 6, "fsimc": 6}
WITH_MAP = ("mse", "ssim")


@pytest.fixture(params=classical.METRICS)
def metric(request):
  """Each metric; MS-SSIM with as many scales as a patch of BAPPS has room for."""
  return classical.build(request.param, **_options(request.param))


def _options(name):
  return {"scales": 3} if name == "ms-ssim" else {}


@pytest.fixture(scope="module")
def images():
  """A batch of four different references, float32 [4, 42, 47, 3] in [0, 1]."""
  coarse = np.random.default_rng(0).random([4, 7, 8, 3])
  return np.kron(coarse, np.ones([1, 6, 6, 1]))[:, :, :47].astype(np.float32)


def _noisy(images, strength=0.1):
  noise = np.random.default_rng(1).normal(0, strength, images.shape)
  return np.clip(images + noise, 0, 1).astype(np.float32)


def test_the_table_holds_the_names():
  assert list(classical.METRICS) == list(BEST)
  for name in classical.METRICS:
    metric = classical.build(name)
    assert metric.name == name
    assert metric.lower_is_better == (name == "mse")


def test_an_image_is_closest_to_itself(metric, images):
  best = np.asarray(metric(images, images))
  np.testing.assert_array_equal(best, np.full(4, BEST[metric.name], np.float32))
  others = np.asarray(metric(images, _noisy(images, 0.003)))
  assert (others > best).all() if metric.lower_is_better else (others < best).all()


def test_values_are_one_float32_a_pair(metric, images):
  value = metric(images, _noisy(images))
  assert value.shape == (4,) and keras.backend.standardize_dtype(value.dtype) == "float32"


def test_more_noise_is_further(metric, images):
  values = [np.asarray(metric(images, _noisy(images, strength))) for strength in (0.02, 0.1, 0.3)]
  steps = np.diff(values, axis=0)
  assert (steps > 0).all() if metric.lower_is_better else (steps < 0).all()


def test_the_two_images_may_change_places(metric, images):
  candidates = _noisy(images)
  np.testing.assert_array_equal(metric(images, candidates), metric(candidates, images))


def test_a_pair_does_not_depend_on_its_batch(metric, images):
  candidates = _noisy(images)
  whole = np.asarray(metric(images, candidates))
  alone = [float(metric(images[i:i + 1], candidates[i:i + 1])[0]) for i in range(4)]
  np.testing.assert_allclose(alone, whole, rtol=2e-6)
  order = [2, 0, 3, 1]
  np.testing.assert_allclose(metric(images[order], candidates[order]), whole[order], rtol=2e-6)


@pytest.mark.parametrize("float_range", preprocessing.FLOAT_RANGES.values())
def test_uint8_is_float_in_each_range(metric, images, float_range):
  low, high = float_range
  pair = [np.round(255 * image[:1]).astype(np.uint8) for image in (images, _noisy(images))]
  declared = classical.build(metric.name, float_range=float_range, **metric.options)
  floats = [(image / 255 * (high - low) + low).astype(np.float32) for image in pair]
  np.testing.assert_allclose(declared(*floats), metric(*pair), rtol=1e-5)
  np.testing.assert_allclose(declared(*pair), metric(*pair), rtol=1e-7)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_floats_are_cast(metric, images, dtype):
  pair = [image.astype(dtype) for image in (images, _noisy(images))]
  as_float32 = metric(*(image.astype(np.float32) for image in pair))
  np.testing.assert_allclose(metric(*pair), as_float32, rtol=1e-6)


def _extremes():
  black, white = np.zeros([1, 45, 47, 3], np.uint8), np.full([1, 45, 47, 3], 255, np.uint8)
  red, blue = black.copy(), black.copy()
  red[..., 0] = blue[..., 2] = 255
  halves = black.copy()
  halves[:, :, 20:] = 255
  checks = (np.indices([45, 47]).sum(axis=0) % 2 * 255).astype(np.uint8)
  checks = np.repeat(checks[np.newaxis, :, :, np.newaxis], 3, axis=-1)
  dot = black.copy()
  dot[0, 20, 20] = 1
  return {"black": black, "white": white, "red": red, "blue": blue, "halves": halves,
          "checks": checks, "negative checks": 255 - checks, "dot": dot}


def test_extremes_stay_in_range_with_finite_gradients(metric):
  worst = {"mse": 1, "psnr": 0, "ssim": -1, "ms-ssim": 0, "fsim": 0, "fsimc": 0}[metric.name]
  low, high = sorted([worst, BEST[metric.name]])
  each = np.concatenate(list(_extremes().values()))
  reference = tf.constant(np.repeat(each, len(each), axis=0) / np.float32(255))
  candidate = tf.constant(np.tile(each, [len(each), 1, 1, 1]) / np.float32(255))
  with tf.GradientTape() as tape:
    tape.watch([reference, candidate])
    values = metric(reference, candidate)
  assert (values.numpy() >= low).all() and (values.numpy() <= high).all()
  for gradient in tape.gradient(values, [reference, candidate]):
    assert np.isfinite(gradient).all()


def test_the_gradient_is_zero_at_the_image_itself_and_leads_towards_it(metric, images):
  reference, candidate = tf.constant(images[:1]), tf.constant(_noisy(images[:1]))
  with tf.GradientTape(persistent=True) as tape:
    tape.watch([reference, candidate])
    itself = metric(reference, reference)
    value = metric(reference, candidate)
  assert not np.any(tape.gradient(itself, reference))
  gradient = tape.gradient(value, candidate)
  step = 1e-3 * gradient / tf.reduce_max(tf.abs(gradient))
  closer = candidate - step if metric.lower_is_better else candidate + step
  moved = float(metric(reference, tf.clip_by_value(closer, 0, 1))[0]) - float(value[0])
  assert (moved < 0) == metric.lower_is_better and moved != 0


def test_a_graph_of_unknown_sizes_gives_the_same(metric):
  spec = tf.TensorSpec([None, None, None, 3], tf.uint8)
  graph = tf.function(metric.__call__, input_signature=[spec, spec], autograph=False)
  rng = np.random.default_rng(0)
  for batch, height, width in [(2, 41, 64), (1, 384, 385)]:
    reference = rng.integers(0, 256, [batch, height, width, 3], np.uint8)
    candidate = np.clip(reference + rng.integers(-20, 20, reference.shape), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(
        graph(reference, candidate), metric(reference, candidate), rtol=2e-6)


def test_two_afc_gives_distances_of_both_candidates(metric, images):
  near, far = _noisy(images, 0.02), _noisy(images, 0.3)
  distance_0, distance_1 = metric.two_afc(images, near, far)
  assert (np.asarray(distance_0) < np.asarray(distance_1)).all()
  sign = 1 if metric.lower_is_better else -1
  np.testing.assert_allclose(sign * np.asarray(distance_0), metric(images, near), rtol=1e-6)
  np.testing.assert_allclose(sign * np.asarray(distance_1), metric(images, far), rtol=1e-6)
  assert scores.two_afc_score(distance_0, distance_1, np.zeros(4)) == 100
  assert scores.two_afc_score(*metric.two_afc(images, images, images), np.ones(4)) == 50


def test_a_map_has_the_images_size_or_is_refused(metric, images):
  if metric.name in WITH_MAP:
    maps = metric.spatial_map(images, _noisy(images))
    assert maps.shape == images.shape[:3]
    np.testing.assert_array_equal(metric.spatial_map(images, images),
                                  np.full(images.shape[:3], BEST[metric.name], np.float32))
  else:
    with pytest.raises(UserError, match=f"{metric.name} has no spatial map"):
      metric.spatial_map(images, images)


def test_a_map_is_high_where_the_metric_is(images):
  candidates = images.copy()
  candidates[:, 10:20, 30:40] = 0.5
  for name in WITH_MAP:
    maps = np.asarray(classical.build(name).spatial_map(images, candidates))
    changed, same = maps[:, 12:18, 32:38].mean(), maps[:, 30:, :20].mean()
    assert (changed > same) == (name == "mse")


def test_the_smallest_images_pass_and_smaller_ones_are_refused(metric):
  side = SMALLEST[metric.name]
  image = np.random.default_rng(0).integers(0, 256, [1, side, side + 1, 3], np.uint8)
  assert np.isfinite(metric(image, 255 - image)).all()
  if side > 1:
    message = f"{side + 1}x{side - 1} pixels; {metric.name} needs at least {side} a side"
    with pytest.raises(UserError, match=message):
      metric(image[:, 1:], image[:, 1:])
    with pytest.raises(UserError, match=message):
      spec = tf.TensorSpec([None, side - 1, side + 1, 3], tf.float32)
      tf.function(metric.__call__, autograph=False).get_concrete_function(spec, spec)


@pytest.mark.parametrize(("reference", "candidate", "message"), [
    (np.zeros([64, 64, 3]), np.zeros([64, 64, 3]), "shape"),
    (np.zeros([1, 64, 64, 4]), np.zeros([1, 64, 64, 4]), "shape"),
    (np.zeros([0, 64, 64, 3]), np.zeros([0, 64, 64, 3]), "empty"),
    (np.zeros([1, 64, 64, 3]), np.zeros([1, 64, 65, 3]), "one size"),
    (np.zeros([1, 64, 64, 3]), np.zeros([1, 64, 64, 3], np.uint8), "one dtype"),
    (np.zeros([1, 64, 64, 3], np.int32), np.zeros([1, 64, 64, 3], np.int32), "int32"),
    (np.zeros([1, 64, 64, 3]), np.full([1, 64, 64, 3], 255.0), "candidate.* 255"),
    (np.full([1, 64, 64, 3], -1.0), np.zeros([1, 64, 64, 3]), "reference.* -1"),
    (np.zeros([1, 64, 64, 3]), np.full([1, 64, 64, 3], np.nan), "candidate.*(NaN|nan)"),
])
def test_what_is_no_pair_of_images_is_refused(metric, reference, candidate, message):
  with pytest.raises(UserError, match=message):
    metric(reference, candidate)
  with pytest.raises(UserError, match=message.replace("candidate", "candidate_1")):
    metric.two_afc(reference, reference, candidate)


def test_an_unknown_name_option_or_range_lists_the_known_ones():
  with pytest.raises(UserError, match=r"Unknown classical metric 'vif'. Available: mse, psnr"):
    classical.build("vif")
  with pytest.raises(UserError, match=r"Unknown option of ms-ssim 'levels'. Available: scales, "):
    classical.build("ms-ssim", levels=3)
  with pytest.raises(UserError, match=r"Unknown option of mse 'channels'. Available: none"):
    classical.build("mse", channels="rgb")
  with pytest.raises(UserError, match=r"Unknown float range \(0, 2\). Available: \(0.0, 1.0\), "):
    classical.build("mse", float_range=(0, 2))


def test_the_fingerprint_is_plain_data_and_says_what_was_built():
  metric = classical.build("ms-ssim", float_range=[-1, 1], scales=3, channels="luma")
  fingerprint = metric.fingerprint
  assert json.loads(json.dumps(fingerprint)) == fingerprint
  assert fingerprint["name"] == "ms-ssim"
  assert fingerprint["options"] == {"scales": 3, "channels": "luma"}
  assert fingerprint["lower_is_better"] is False
  assert fingerprint["preprocessing"] == {"uint8_range": [0, 255], "float_range": [-1, 1]}
  assert {"perceptual", "keras", "tensorflow"} <= set(fingerprint["versions"])
  assert metric.fingerprint != classical.build("ms-ssim").fingerprint


def test_the_snippets_of_the_page_run():
  page = pathlib.Path(classical.__file__).parents[3] / "docs" / "classical.md"
  snippets = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
  names = {}
  for snippet in snippets:
    exec(snippet, names)
  assert names["where"].shape == (4, 64, 64) and len(snippets) == 4
