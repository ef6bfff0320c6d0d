"""Triplets to learn from: every one once an epoch, in an order that the seed and the step give."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual.data.judged import judged_batches, judged_sets


def _judged_set(*sizes):
  """Triplets whose pixels and answers tell the subset and the number."""
  subsets = []
  for which, size in enumerate(sizes):
    pixels = (100 * which + np.arange(size)).astype(np.uint8)[:, None, None, None]
    images = {key: pixels + np.uint8(n) for n, key in enumerate(judged_sets.IMAGE_KEYS["2afc"])}
    subsets.append(judged_sets.Subset(
        f"part{which}", tf.data.Dataset.from_tensor_slices(images), np.arange(size) / size))
  return judged_sets.JudgedSet("numbers", "2afc", "", tuple(subsets), by_people=False)


def _numbers(judged_set, count, **options):
  """The references of the first batches."""
  batches = judged_batches.train_batches(judged_set, **{"batch_size": 4, "seed": 0, **options})
  return [batch["reference"].ravel().tolist() for batch in batches.take(count).as_numpy_iterator()]


def test_an_epoch_holds_every_triplet_once_and_each_has_another_order():
  found = np.concatenate(_numbers(_judged_set(12, 8), 10)).reshape(2, 20)
  expected = [*range(12), *range(100, 108)]
  for epoch in found:
    assert sorted(epoch) == expected
  assert (found[0] != found[1]).any()


def test_subsets_are_mixed_even_where_no_buffer_would_mix_them():
  found = np.concatenate(_numbers(_judged_set(12, 8), 5, shuffle_buffer=1))
  assert 0 < (found[:10] >= 100).sum() < 8


def test_images_and_judgements_belong_together():
  batch = next(judged_batches.train_batches(
      _judged_set(12), batch_size=12, seed=3).as_numpy_iterator())
  assert set(batch) == {*judged_sets.IMAGE_KEYS["2afc"], "judge"}
  assert batch["judge"].dtype == np.float32
  np.testing.assert_allclose(batch["judge"], batch["reference"].ravel() / 12)
  np.testing.assert_array_equal(batch["candidate_1"], batch["reference"] + 2)


@pytest.mark.parametrize("first_step", [1, 5, 7])
def test_from_a_step_on_it_is_the_same_stream(first_step):
  judged_set = _judged_set(12, 8)
  assert _numbers(judged_set, 3, first_step=first_step) == _numbers(judged_set, 10)[
      first_step:first_step + 3]


def test_pipelines_share_one_stream():
  judged_set = _judged_set(12, 8)
  whole = _numbers(judged_set, 3)
  shards = [_numbers(judged_set, 3, batch_size=2, shard=(i, 2)) for i in range(2)]
  for batch, first, second in zip(whole, *shards):
    assert sorted(batch) == sorted(first + second)


def test_another_seed_is_another_order():
  judged_set = _judged_set(12, 8)
  assert _numbers(judged_set, 2, seed=1) != _numbers(judged_set, 2, seed=2)
