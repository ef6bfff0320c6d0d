"""Distances against an independent reading of the paper, in closed forms, properties."""

import dataclasses
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import errors
from perceptual.metrics import distances
from tests.metrics import readings

PERMUTABLE = ["mean_pool", "mean_pool_over_channels", "style", "sort"]


@pytest.fixture
def pair():
  return readings.pair()


def permuted_positions(features, seed=0):
  batch, height, width, channels = features.shape
  order = np.random.default_rng(seed).permutation(height * width)
  return features.reshape(batch, -1, channels)[:, order].reshape(features.shape)


@pytest.mark.parametrize("shape", readings.SHAPES.values(), ids=readings.SHAPES)
@pytest.mark.parametrize("name", readings.NAMES)
def test_equals_the_reading_of_the_paper(name, shape):
  features_0, features_1 = readings.relu_features(shape, 2), readings.relu_features(shape, 3)
  result = distances.get(name)(features_0, features_1)
  assert result.dtype == "float32"
  np.testing.assert_allclose(
      result, readings.reading(name, features_0, features_1), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64", "uint8"])
@pytest.mark.parametrize("name", readings.NAMES)
def test_any_dtype_is_computed_in_float32(name, dtype, pair):
  features_0, features_1 = (tf.cast(20 * features, dtype) for features in pair)
  result = distances.get(name)(features_0, features_1)
  assert result.dtype == "float32"
  exact = readings.reading(name, tf.cast(features_0, "float64").numpy(),
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


@pytest.mark.parametrize("name", readings.NAMES)
def test_symmetric_and_not_negative(name, pair):
  distance = distances.get(name)
  forth, back = distance(*pair).numpy(), distance(*reversed(pair)).numpy()
  np.testing.assert_array_equal(forth, back)
  assert (forth > 0).all()


@pytest.mark.parametrize("name", readings.NAMES)
def test_an_image_does_not_see_its_batch(name, pair):
  distance = distances.get(name)
  whole = distance(*pair).numpy()
  alone = np.concatenate([
      distance(pair[0][i:i + 1], pair[1][i:i + 1]) for i in range(len(whole))])
  np.testing.assert_allclose(whole, alone, rtol=1e-6)
  order = [2, 0, 1]
  np.testing.assert_allclose(distance(pair[0][order], pair[1][order]), whole[order], rtol=1e-6)


@pytest.mark.parametrize("name", readings.NAMES)
def test_a_batch_of_one_is_compared_with_every_image(name, pair):
  distance = distances.get(name)
  repeated = np.repeat(pair[0][:1], 3, axis=0)
  expected = distance(repeated, pair[1])
  np.testing.assert_allclose(distance(pair[0][:1], pair[1]), expected, rtol=1e-6)
  np.testing.assert_allclose(distance(pair[1], pair[0][:1]), expected, rtol=1e-6)


@pytest.mark.parametrize("name", readings.NAMES)
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


@pytest.mark.parametrize("name", readings.NAMES)
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


@pytest.mark.parametrize("name", readings.NAMES)
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


@pytest.mark.parametrize("name", readings.NAMES)
def test_works_on_the_symbolic_outputs_of_a_model(name, pair):
  inputs = [keras.Input(pair[0].shape[1:]) for _ in pair]
  model = keras.Model(inputs, distances.get(name)(*inputs))
  np.testing.assert_allclose(
      model(list(pair)), distances.get(name)(*pair), rtol=1e-6)


@pytest.mark.parametrize("alias, canonical", distances.ALIASES.items())
def test_aliases_have_one_canonical_name(alias, canonical):
  assert distances.get(alias) is distances.get(canonical)
  assert distances.get(alias).name == canonical


def test_every_distance_is_filed_under_its_own_name():
  assert [distances.get(name).name for name in readings.NAMES] == readings.NAMES


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
@pytest.mark.parametrize("name", readings.NAMES)
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
  taps_0 = {tap: readings.relu_features(shape, 10) for tap, shape in shapes.items()}
  taps_1 = {tap: readings.relu_features(shape, 11) for tap, shape in reversed(shapes.items())}
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
