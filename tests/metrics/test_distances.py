"""Distances against an independent reading of the paper, in closed forms, properties, extremes."""

import dataclasses
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.metrics import distances

SUMS = ["local+mean_pool", "local+sort"]
NAMES = [*distances.DISTANCES, *SUMS]
NORMALISING = [name for name in NAMES if name != "l2"]
PERMUTABLE = ["mean_pool", "mean_pool_over_channels", "style", "sort"]
SHAPES = {"map": (3, 4, 5, 7), "tokens": (3, 6, 7), "vector": (3, 7), "one_by_one": (2, 1, 1, 5)}
EPSILON = 1e-10


def relu_features(shape, seed):
  """Features with zeros among them, as after a ReLU."""
  return np.maximum(np.random.default_rng(seed).normal(size=shape), 0.0).astype("float32")


@pytest.fixture
def pair():
  return relu_features(SHAPES["map"], 0), relu_features(SHAPES["map"], 1)


# The independent reading: float64, one image at a time, loops where the paper has sums.


def normalised(vector):
  return vector / (np.sqrt(np.sum(vector**2)) + EPSILON)


def read_local(image_0, image_1):
  return np.mean([
      np.sum((normalised(u) - normalised(v))**2) for u, v in zip(image_0, image_1)])


def read_mean_pool(image_0, image_1):
  return np.sum((normalised(image_0.mean(axis=0)) - normalised(image_1.mean(axis=0)))**2)


def read_style(image_0, image_1):
  grams = []
  for image in (image_0, image_1):
    channels = [normalised(channel) for channel in image.T]
    grams.append(np.array([[np.sum(u * v) for v in channels] for u in channels]))
  return np.mean((grams[0] - grams[1])**2)


def read_sort(image_0, image_1):
  return read_local(np.sort(image_0, axis=0), np.sort(image_1, axis=0))


def read_correlation(image_0, image_1):
  embedded = []
  for image in (image_0, image_1):
    varying = image - image.mean(axis=0) if len(image) > 1 else image
    energy = np.sum(varying**2) + 1e-6 * np.sum(image**2)  # of which the last keeps flat maps calm
    embedded.append(varying / (np.sqrt(energy / len(image)) + EPSILON))
  return np.mean(np.sum((embedded[0] - embedded[1])**2, axis=1)) / 2


READINGS = {
    "local": read_local,
    "correlation": read_correlation,
    "mean_pool": read_mean_pool,
    "mean_pool_over_channels": lambda a, b: read_mean_pool(a, b) / a.shape[-1],
    "style": read_style,
    "sort": read_sort,
    "l2": lambda a, b: np.mean((a - b)**2),
}


def reading(name, features_0, features_1):
  """The distances [batch] float64 of features in any layout."""
  flat = [np.asarray(features, "float64").reshape(len(features), -1, features.shape[-1])
          for features in (features_0, features_1)]
  return np.array([sum(READINGS[term](*images) for term in name.split("+"))
                   for images in zip(*flat)])


def permuted_positions(features, seed=0):
  batch, height, width, channels = features.shape
  order = np.random.default_rng(seed).permutation(height * width)
  return features.reshape(batch, -1, channels)[:, order].reshape(features.shape)


def without_ties(features):
  """No two activations of a channel are equal: sorting has a kink where they are."""
  noise = np.random.default_rng(7).uniform(0.01, 0.02, features.shape)
  return (features + noise).astype("float32")


def value_and_gradients(name, features_0, features_1):
  features_0, features_1 = tf.constant(features_0), tf.constant(features_1)
  with tf.GradientTape() as tape:
    tape.watch([features_0, features_1])
    value = distances.get(name)(features_0, features_1)
  gradients = tape.gradient(value, [features_0, features_1])
  return value.numpy(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_equals_the_reading_of_the_paper(name, shape):
  features_0, features_1 = relu_features(shape, 2), relu_features(shape, 3)
  result = distances.get(name)(features_0, features_1)
  assert result.dtype == "float32"
  np.testing.assert_allclose(
      result, reading(name, features_0, features_1), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "uint8"])
@pytest.mark.parametrize("name", NAMES)
def test_any_dtype_is_computed_in_float32(name, dtype, pair):
  features_0, features_1 = (tf.cast(20 * features, dtype) for features in pair)
  result = distances.get(name)(features_0, features_1)
  assert result.dtype == "float32"
  exact = reading(name, tf.cast(features_0, "float64").numpy(),
                  tf.cast(features_1, "float64").numpy())
  np.testing.assert_allclose(result, exact, rtol=2e-6, atol=1e-7)


def test_orthogonal_features_have_local_distance_two():
  features_0, features_1 = np.zeros((2, 2, 3, 3, 8), "float32")
  features_0[..., 1], features_1[..., 6] = 5.0, 0.01
  for name in ("local", "mean_pool", "sort"):
    np.testing.assert_allclose(distances.get(name)(features_0, features_1), 2.0, rtol=1e-6)
  np.testing.assert_allclose(
      distances.get("mean_pool_over_channels")(features_0, features_1), 2 / 8, rtol=1e-6)
  # Each Gram matrix holds a single one, on another place of its diagonal.
  np.testing.assert_allclose(
      distances.get("style")(features_0, features_1), 2 / 64, rtol=1e-6)


def test_opposite_features_have_local_distance_four(pair):
  for name in ("local", "mean_pool"):
    features = pair[0] + 1.0
    np.testing.assert_allclose(distances.get(name)(features, -features), 4.0, rtol=1e-6)
  # A Gram matrix forgets the sign.
  np.testing.assert_allclose(distances.get("style")(features, -features), 0.0, atol=1e-12)


def test_style_of_equal_against_orthogonal_channels():
  equal = np.ones((1, 1, 2, 2), "float32")
  orthogonal = np.eye(2, dtype="float32").reshape(1, 1, 2, 2)
  # The Gram matrices are all ones and the identity: two of four entries differ by one.
  np.testing.assert_allclose(distances.get("style")(equal, orthogonal), 0.5, rtol=1e-6)


def test_a_zero_vector_against_a_unit_vector_is_at_distance_one():
  features = np.ones((1, 2, 2, 3), "float32")
  for name in ("local", "mean_pool", "sort"):
    np.testing.assert_allclose(
        distances.get(name)(features, 0 * features), 1.0, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_symmetric_and_not_negative(name, pair):
  distance = distances.get(name)
  forth, back = distance(*pair).numpy(), distance(*reversed(pair)).numpy()
  np.testing.assert_array_equal(forth, back)
  assert (forth > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_identical_features_are_at_exactly_zero_with_zero_gradient(name, pair):
  value, gradients = value_and_gradients(name, pair[0], pair[0].copy())
  np.testing.assert_array_equal(value, 0.0)
  for gradient in gradients:
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_see_its_batch(name, pair):
  distance = distances.get(name)
  whole = distance(*pair).numpy()
  alone = np.concatenate([
      distance(pair[0][i:i + 1], pair[1][i:i + 1]) for i in range(len(whole))])
  np.testing.assert_allclose(whole, alone, rtol=1e-6)
  order = [2, 0, 1]
  np.testing.assert_allclose(distance(pair[0][order], pair[1][order]), whole[order], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_of_one_is_compared_with_every_image(name, pair):
  distance = distances.get(name)
  repeated = np.repeat(pair[0][:1], 3, axis=0)
  expected = distance(repeated, pair[1])
  np.testing.assert_allclose(distance(pair[0][:1], pair[1]), expected, rtol=1e-6)
  np.testing.assert_allclose(distance(pair[1], pair[0][:1]), expected, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_reference_embedded_once_gives_the_same_distances(name, pair):
  distance = distances.get(name)
  reference, other = pair
  embedded = distance.embed(reference)
  for candidate in (other, other[::-1], reference):
    np.testing.assert_array_equal(
        distance.between(embedded, distance.embed(candidate)), distance(reference, candidate))


def test_local_ignores_the_scale_of_each_position(pair):
  scale = np.exp(np.random.default_rng(4).normal(size=(3, 4, 5, 1)) * 3).astype("float32")
  local = distances.get("local")
  np.testing.assert_allclose(local(pair[0] * scale, pair[1]), local(*pair), rtol=1e-5)
  assert not np.allclose(distances.get("mean_pool")(pair[0] * scale, pair[1]),
                         distances.get("mean_pool")(*pair), rtol=1e-2)


@pytest.mark.parametrize("name", PERMUTABLE)
def test_invariant_to_moving_the_positions_of_one_image(name, pair):
  distance = distances.get(name)
  np.testing.assert_allclose(
      distance(permuted_positions(pair[0]), pair[1]), distance(*pair), rtol=1e-5)


def test_local_sees_moved_positions_but_not_moved_together(pair):
  local = distances.get("local")
  moved = permuted_positions(pair[0])
  assert (local(moved, pair[0]).numpy() > 0.1).all()
  np.testing.assert_allclose(
      local(moved, permuted_positions(pair[1])), local(*pair), rtol=1e-6)


@pytest.mark.parametrize(("name", "canonical"), [
    ("mean_pool+sort", "mean_pool+sort"), ("local+sort+style", "local+sort+style"),
    ("spatial + mean", "local+mean_pool"), ("l2+spatial", "l2+local")])
def test_sums_of_any_names_add(pair, name, canonical):
  distance = distances.get(name)
  assert distance.name == canonical
  np.testing.assert_allclose(
      distance(*pair), sum(distances.get(term)(*pair) for term in canonical.split("+")), rtol=1e-6)


@pytest.mark.parametrize(("name", "message"), [
    ("local+gram", r"Unknown distance 'local\+gram'\. Available: local, .*; and sums"),
    ("local+", r"Unknown distance 'local\+'"), ("local+spatial", "has local twice"),
    (5, "distance must be a name, such as local, not 5"), (["local"], "distance must be a name")])
def test_a_sum_of_something_else_is_refused(name, message):
  with pytest.raises(errors.UserError, match=message):
    distances.get(name)


@pytest.mark.parametrize("name", NAMES)
def test_a_distance_pickles(name, pair):
  again = pickle.loads(pickle.dumps(distances.get(name)))
  np.testing.assert_array_equal(again(*pair), distances.get(name)(*pair))
  assert again.name == name


def test_several_candidates_are_compared_with_a_reference_embedded_once(pair):
  seen = []
  local = distances.get("local")
  counted = dataclasses.replace(local, embed=lambda x: seen.append(1) or local.embed(x))
  found = distances.to_reference(counted, *pair, pair[0])
  assert len(seen) == 3
  np.testing.assert_allclose(found, [local(*pair), np.zeros(3)], rtol=1e-6)
  at_taps = {"a": local, "b": distances.get("sort")}
  both = [{"a": features, "b": features} for features in pair]
  [total] = distances.summed_to_reference(at_taps, *both)
  np.testing.assert_allclose(total, local(*pair) + distances.get("sort")(*pair), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_eager_graph_and_xla_agree_whatever_is_known_of_the_shapes(name, pair):
  distance = distances.get(name)
  unknown = [tf.TensorSpec([None, None, None, 7], tf.float32)] * 2
  expected = distance(*pair)
  for signature in (None, unknown):
    for jit_compile in (False, True):
      compiled = tf.function(
          lambda a, b: distance(a, b), input_signature=signature, jit_compile=jit_compile)
      np.testing.assert_allclose(compiled(*map(tf.constant, pair)), expected, rtol=2e-6)
      np.testing.assert_array_equal(compiled(pair[0], pair[0].copy()), 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_works_on_the_symbolic_outputs_of_a_model(name, pair):
  inputs = [keras.Input(pair[0].shape[1:]) for _ in pair]
  model = keras.Model(inputs, distances.get(name)(*inputs))
  np.testing.assert_allclose(
      model(list(pair)), distances.get(name)(*pair), rtol=1e-6)


def extremes():
  """Pairs of features on which a careless norm overflows, underflows or has no slope."""
  ordinary = relu_features((2, 3, 3, 40), 5) + 0.1
  zero = np.zeros_like(ordinary)
  lone = zero.copy()
  lone[:, 1, 1, 3] = 1.0
  mixed = ordinary * np.logspace(-44, 18, 40).astype("float32")
  return {
      "zero and zero": (zero, zero),
      "zero and ordinary": (zero, ordinary),
      "ordinary and zero": (ordinary, zero),
      "lone and ordinary": (lone, ordinary),
      "lone and zero": (lone, zero),
      "constant images": (zero + 3.0, zero + 5.0),
      "identical": (ordinary, ordinary.copy()),
      "tiny": (ordinary * 1e-20, ordinary[::-1] * 1e-20),
      "tiny and zero": (ordinary * 1e-20, zero),
      "near epsilon": (ordinary * 1e-10, ordinary[::-1] * 3e-10),
      "denormal": (zero + 1e-40, zero + 3e-42),
      "denormal and ordinary": (zero + 1e-40, ordinary),
      "huge": (ordinary * 1e18, ordinary[::-1] * 1e18),
      "huger": (ordinary * 1e30, ordinary[::-1] * 1e30),
      "huge and tiny": (ordinary * 1e18, ordinary * 1e-20),
      "of all sizes": (mixed, mixed[:, ::-1]),
      "negative": (-ordinary, ordinary),
      "a 1x1 map": (ordinary[:, :1, :1], ordinary[:, 1:2, :1]),
      "a 1x1 map of zero": (zero[:, :1, :1], ordinary[:, :1, :1]),
      "one channel": (ordinary[..., :1], lone[..., :1]),
  }


@pytest.mark.parametrize("extreme", extremes())
def test_values_and_gradients_in_extremes(extreme):
  features_0, features_1 = extremes()[extreme]
  for name in NORMALISING:
    value, gradients = value_and_gradients(name, features_0, features_1)
    # Denormals may count as zero on some devices: both are nothing beside EPSILON.
    np.testing.assert_allclose(
        value, reading(name, features_0, features_1), rtol=1e-5, atol=1e-7, err_msg=name)
    for gradient in gradients:
      assert np.isfinite(gradient).all(), name


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_the_slopes_of_the_reading(name, pair):
  direction = np.random.default_rng(6).normal(size=pair[0].shape)
  step = 1e-5
  features = without_ties(pair[0])
  shifted = [reading(name, features + sign * step * direction, pair[1]) for sign in (1, -1)]
  slope = (shifted[0] - shifted[1]) / (2 * step)
  _, (gradient, _) = value_and_gradients(name, features, pair[1])
  np.testing.assert_allclose(
      np.sum(gradient * direction, axis=(1, 2, 3)), slope, rtol=1e-3, atol=1e-5)


def test_gradient_at_a_zero_vector_is_that_of_the_listing():
  zero, one = np.zeros((1, 1, 1, 2), "float32"), np.array([[[[1.0, 0.0]]]], "float32")
  # d = |u - v|^2 with u = x / (|x| + 1e-10): its slope at x = 0 is -2 v / 1e-10.
  _, (gradient, _) = value_and_gradients("local", zero, one)
  np.testing.assert_allclose(gradient.ravel(), [-2e10, 0.0], rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_and_equal_under_xla(name):
  features_0 = np.concatenate([np.zeros((1, 2, 2, 4)), relu_features((1, 2, 2, 4), 8)])
  features_0, features_1 = features_0.astype("float32"), relu_features((2, 2, 2, 4), 9)

  @tf.function(jit_compile=True)
  def gradient(a, b):
    return tf.gradients(distances.get(name)(a, b), a)[0]

  result = gradient(tf.constant(features_0), tf.constant(features_1)).numpy()
  _, (eager, _) = value_and_gradients(name, features_0, features_1)
  assert np.isfinite(result).all()
  np.testing.assert_allclose(result, eager, rtol=1e-4, atol=1e-6)


def test_not_a_number_is_not_hidden(pair):
  for culprit in (np.nan, np.inf):
    features = pair[0].copy()
    features[1, 0, 0, 0] = culprit
    for name in NAMES:
      result = distances.get(name)(features, pair[1]).numpy()
      assert np.isfinite(result).tolist() == [True, False, True], name


@pytest.mark.parametrize("alias, canonical", distances.ALIASES.items())
def test_aliases_have_one_canonical_name(alias, canonical):
  assert distances.get(alias) is distances.get(canonical)
  assert distances.get(alias).name == canonical


def test_every_distance_is_filed_under_its_own_name():
  assert {name: distances.get(name).name for name in NAMES} == {name: name for name in NAMES}


def test_an_unknown_distance_lists_the_legal_names():
  with pytest.raises(errors.UserError, match=r"Unknown distance 'gram'.*local, .*style.*spatial"):
    distances.get("gram")


@pytest.mark.parametrize("shape_0, shape_1", [
    ((2, 4, 4, 8), (2, 4, 5, 8)),
    ((2, 4, 4, 8), (2, 1, 1, 8)),
    ((2, 4, 4, 8), (2, 4, 4, 1)),
    ((2, 4, 4, 8), (3, 4, 4, 8)),
    ((2, 1, 1, 8), (2, 8)),
])
@pytest.mark.parametrize("name", NAMES)
def test_shapes_that_differ_are_refused_naming_both(name, shape_0, shape_1):
  with pytest.raises(errors.UserError) as caught:
    distances.get(name)(np.zeros(shape_0), np.zeros(shape_1))
  assert str(shape_0) in str(caught.value) and str(shape_1) in str(caught.value)


def test_embeddings_that_differ_are_refused_naming_both():
  local = distances.get("local")
  embeddings = [local.embed(np.ones(shape)) for shape in ((2, 4, 4, 8), (2, 1, 1, 8))]
  with pytest.raises(errors.UserError, match=r"\(2, 16, 8\) and \(2, 1, 8\)"):
    local.between(*embeddings)


@pytest.mark.parametrize("shape", [(), (3,), (1, 2, 3, 4, 5)])
def test_what_is_no_layout_of_features_is_refused(shape):
  with pytest.raises(errors.UserError, match="Received: "):
    distances.get("local")(np.zeros(shape), np.zeros(shape))


def test_per_tap_and_summed():
  shapes = {"stage1": (2, 4, 4, 3), "stage2": (2, 2, 2, 5), "cls": (2, 6)}
  taps_0 = {tap: relu_features(shape, 10) for tap, shape in shapes.items()}
  taps_1 = {tap: relu_features(shape, 11) for tap, shape in reversed(shapes.items())}
  distance = distances.get("style")
  result = distances.per_tap(distance, taps_0, taps_1)
  assert list(result) == list(shapes)
  for tap in shapes:
    np.testing.assert_array_equal(result[tap], distance(taps_0[tap], taps_1[tap]))
  np.testing.assert_allclose(
      distances.summed(distance, taps_0, taps_1), sum(value.numpy() for value in result.values()),
      rtol=1e-6)


@pytest.mark.parametrize("taps_0, taps_1, culprits", [
    (("stem", "stage1"), ("stem",), ("stem, stage1", "stem")),
    ((), (), ("none",)),
])
def test_taps_that_differ_are_refused_naming_both(taps_0, taps_1, culprits):
  features = [{tap: np.zeros((1, 2, 2, 3)) for tap in taps} for taps in (taps_0, taps_1)]
  for function in (lambda a, b: distances.per_tap(distances.get("local"), a, b),
                   lambda a, b: distances.spatial_map_at(a, b, (4, 4))):
    with pytest.raises(errors.UserError) as caught:
      function(*features)
    assert all(culprit in str(caught.value) for culprit in culprits)


def test_shapes_that_differ_at_a_tap_are_refused_naming_the_tap():
  with pytest.raises(errors.UserError, match=r"tap 'stage2'.*\(1, 2, 2, 3\) and \(1, 2, 3, 3\)"):
    distances.summed(distances.get("local"), {"stage2": np.zeros((1, 2, 2, 3))},
                     {"stage2": np.zeros((1, 2, 3, 3))})


def test_the_mean_of_the_spatial_map_is_the_local_distance(pair):
  result = distances.spatial_map(*pair)
  assert result.shape == (3, 4, 5) and result.dtype == "float32"
  np.testing.assert_array_equal(tf.reduce_mean(result, axis=(1, 2)), distances.get("local")(*pair))


def test_the_spatial_map_is_local_at_each_position(pair):
  result = distances.spatial_map(*pair)
  for row, column in ((0, 0), (3, 2)):
    np.testing.assert_allclose(
        result[:, row, column],
        distances.get("local")(pair[0][:, row, column], pair[1][:, row, column]), rtol=1e-6)


def test_the_spatial_map_of_vectors_is_one_by_one(pair):
  vectors = [features[:, 0, 0] for features in pair]
  result = distances.spatial_map(*vectors)
  assert result.shape == (3, 1, 1)
  np.testing.assert_allclose(np.ravel(result), distances.get("local")(*vectors), rtol=1e-6)


def test_tokens_have_no_spatial_map():
  tokens = np.ones((2, 16, 8), "float32")
  with pytest.raises(errors.UserError, match=r"\(2, 16, 8\)"):
    distances.spatial_map(tokens, tokens)
  with pytest.raises(errors.UserError, match=r"\(1, 2, 2, 3\) and \(1, 2, 3, 3\)"):
    distances.spatial_map(np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 3, 3)))


@pytest.mark.parametrize("size", [(4, 5), (16, 20), (9, 7), (2, 3), (1, 1)])
def test_maps_are_resized_as_tensorflow_resizes_images(size, pair):
  stage_2 = [features[:, :2, :1] for features in pair]
  result = distances.spatial_map_at(
      {"stage1": pair[0], "stage2": stage_2[0]}, {"stage1": pair[1], "stage2": stage_2[1]}, size)
  expected = sum(
      tf.image.resize(distances.spatial_map(*taps)[..., None], size)[..., 0]
      for taps in (pair, stage_2))
  assert result.shape == (3, *size)
  np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_the_spatial_map_of_an_image_of_unknown_size(pair):
  @tf.function(input_signature=[tf.TensorSpec([None, None, None, 7])] * 2
               + [tf.TensorSpec([None, None, None, 3])])
  def spatial_map(features_0, features_1, images):
    return distances.spatial_map_at(
        {"tap": features_0}, {"tap": features_1}, tf.shape(images)[1:3])

  np.testing.assert_allclose(
      spatial_map(*pair, np.zeros((3, 8, 9, 3), "float32")),
      distances.spatial_map_at({"tap": pair[0]}, {"tap": pair[1]}, (8, 9)), rtol=1e-6)


@pytest.mark.parametrize("name", ["local", "correlation", "l2", "local+correlation"])
def test_the_mean_of_a_distances_own_map_is_the_distance(name, pair):
  distance = distances.get(name)
  result = distances.spatial_map(*pair, distance)
  assert result.shape == (3, 4, 5)
  np.testing.assert_allclose(np.mean(result, axis=(1, 2)), distance(*pair), rtol=1e-6)


def test_distances_that_do_not_keep_places_apart_have_the_map_of_local(pair):
  np.testing.assert_array_equal(
      distances.spatial_map(*pair, distances.get("style")), distances.spatial_map(*pair))


# Correlation.


def test_correlation_of_one_channel_is_one_minus_pearsons():
  maps = np.random.default_rng(1).normal(size=(2, 6, 4, 5, 1)).astype("float32")
  expected = [1 - np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(*maps)]
  np.testing.assert_allclose(distances.get("correlation")(*maps), expected, rtol=1e-5)


def test_correlation_ignores_what_all_places_share_and_the_scale(pair):
  correlation = distances.get("correlation")
  shifted = 3.0 * pair[1] + np.arange(7, dtype="float32") / 10
  np.testing.assert_allclose(correlation(pair[0], shifted), correlation(*pair), rtol=1e-5)
  mirrored = 1.0 - pair[0]
  np.testing.assert_allclose(correlation(pair[0], mirrored), 2.0, rtol=1e-5)


def test_flat_maps_have_no_correlation_but_no_noise_either(pair):
  correlation = distances.get("correlation")
  rounding = np.random.default_rng(2).uniform(-1e-7, 1e-7, (2, *pair[0].shape))
  flat = (1.0 + rounding).astype("float32")
  assert np.max(correlation(*flat)) < 1e-6
  np.testing.assert_allclose(correlation(flat[0], pair[1]), 0.5, atol=1e-3)


# The learned distance of LPIPS.

WEIGHTS = np.random.default_rng(5).uniform(0.0, 2.0, 7).astype("float32")


def read_linear(image_0, image_1, weights):
  return np.mean([
      np.sum(weights * (normalised(u) - normalised(v))**2) for u, v in zip(image_0, image_1)])


@pytest.mark.parametrize("layout", ["map", "tokens", "vector"])
def test_linear_equals_its_reading(layout):
  features_0, features_1 = (relu_features(SHAPES[layout], seed) for seed in (2, 3))
  result = distances.linear(WEIGHTS)(features_0, features_1)
  flat = [features.reshape(len(features), -1, 7).astype("float64")
          for features in (features_0, features_1)]
  assert result.dtype == "float32"
  np.testing.assert_allclose(
      result, [read_linear(*images, WEIGHTS) for images in zip(*flat)], rtol=2e-6)


def test_linear_with_weights_of_one_is_local_and_of_zero_is_zero(pair):
  np.testing.assert_allclose(
      distances.linear(np.ones(7))(*pair), distances.get("local")(*pair), rtol=1e-6)
  np.testing.assert_array_equal(distances.linear(np.zeros(7))(*pair), 0.0)


def test_what_dropout_leaves_of_the_squared_differences_is_weighted(pair):
  seen = []

  def dropping(differences):
    seen.append(differences.shape)
    return differences * np.arange(7.0)

  np.testing.assert_allclose(distances.linear(WEIGHTS, dropping)(*pair),
                             distances.linear(WEIGHTS * np.arange(7.0))(*pair), rtol=1e-5)
  assert len(seen) == 1 and seen[0][-1] == 7 and len(seen[0]) == 3


def test_linear_sees_only_the_channels_that_it_weighs(pair):
  only = np.eye(7)[3]
  pair = [features + 0.1 for features in pair]  # no vector is zero
  unit = [features / np.linalg.norm(features, axis=-1, keepdims=True) for features in pair]
  expected = np.mean((unit[0] - unit[1])[..., 3]**2, axis=(1, 2))
  np.testing.assert_allclose(distances.linear(only)(*pair), expected, rtol=1e-5)


def test_gradients_reach_the_weights_of_linear_at_zero_too(pair):
  weights = tf.Variable(np.zeros(7, "float32"))
  with tf.GradientTape() as tape:
    value = tf.reduce_sum(distances.linear(weights)(*pair))
  # Linear in the weights: its gradient is the distance with each channel weighed alone.
  alone = [np.sum(distances.linear(channel)(*pair)) for channel in np.eye(7)]
  np.testing.assert_allclose(tape.gradient(value, weights), alone, rtol=1e-5)


def test_each_tap_can_have_its_own_distance(pair):
  features = [{"stage1": features, "stage2": features[:, :2]} for features in pair]
  own = {"stage1": distances.linear(WEIGHTS), "stage2": distances.get("mean_pool")}
  by_tap = distances.per_tap(own, *features)
  np.testing.assert_array_equal(by_tap["stage1"], own["stage1"](*pair))
  np.testing.assert_array_equal(
      by_tap["stage2"], own["stage2"](*(features["stage2"] for features in features)))
  np.testing.assert_allclose(
      distances.summed(own, *features), by_tap["stage1"] + by_tap["stage2"], rtol=1e-6)
  with pytest.raises(errors.UserError, match=r"Unknown tap 'stage2'\. Available: stage1"):
    distances.per_tap({"stage1": own["stage1"]}, *features)


def test_the_mean_of_a_weighted_map_is_the_linear_distance(pair):
  np.testing.assert_allclose(
      np.mean(distances.spatial_map(*pair, distances.linear(WEIGHTS)), axis=(1, 2)),
      distances.linear(WEIGHTS)(*pair), rtol=1e-6)
  at = distances.spatial_map_at(
      {"tap": pair[0]}, {"tap": pair[1]}, (4, 5), {"tap": distances.linear(WEIGHTS)})
  np.testing.assert_allclose(
      at, distances.spatial_map(*pair, distances.linear(WEIGHTS)), rtol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (1, 7), ()])
def test_weights_that_do_not_fit_the_channels_are_refused(shape, pair):
  linear = distances.linear(np.ones(shape))
  for call in (linear, lambda *pair: distances.spatial_map(*pair, linear)):
    with pytest.raises(errors.UserError, match=r"7 channels need weights of shape \[7\]") as error:
      call(*pair)
    assert "\n" not in str(error.value)


# Prints nothing: reads features, and writes values and gradients on the backend of its process.
OTHER_BACKEND = """
import sys
import keras
import numpy as np
from keras import ops
from perceptual.metrics import distances

features = np.load(sys.argv[1])
pair = features["features_0"], features["features_1"]


def gradient(function):
  if keras.backend.backend() == "jax":
    import jax
    return jax.grad(function)(ops.convert_to_tensor(pair[0]), ops.convert_to_tensor(pair[1]))
  import torch
  tensor = ops.convert_to_tensor(pair[0]).requires_grad_()
  function(tensor, ops.convert_to_tensor(pair[1])).backward()
  return tensor.grad


results = {"map": distances.spatial_map_at({"tap": pair[0]}, {"tap": pair[1]}, (9, 6))}
for name in sys.argv[3:]:
  distance = distances.get(name)
  results["value " + name] = distance(*pair)
  results["gradient " + name] = gradient(lambda a, b: ops.sum(distance(a, b)))
np.savez(sys.argv[2], **{key: ops.convert_to_numpy(value) for key, value in results.items()})
"""


def test_other_backends_give_the_same(on_another_backend, pair, tmp_path):
  zero = np.zeros_like(pair[0][:1])
  pair = np.concatenate([without_ties(pair[0]), zero]), pair[1][[0, 1, 2, 0]]
  np.savez(tmp_path / "features.npz", features_0=pair[0], features_1=pair[1])
  on_another_backend(OTHER_BACKEND, tmp_path / "features.npz", tmp_path / "results.npz",
                     *NAMES)
  results = np.load(tmp_path / "results.npz")
  for name in NAMES:
    value, (gradient, _) = value_and_gradients(name, *pair)
    np.testing.assert_allclose(results[f"value {name}"], value, rtol=1e-5, atol=1e-7)
    other = results[f"gradient {name}"]
    assert np.isfinite(other).all()
    np.testing.assert_allclose(other[:3], gradient[:3], rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(
      results["map"], distances.spatial_map_at({"tap": pair[0]}, {"tap": pair[1]}, (9, 6)),
      rtol=1e-5, atol=1e-6)
