"""Judged triplets for learning from, as seeded, resumable, sharded batches."""

import numpy as np
import tensorflow as tf

from perceptual.data import pipelines
from perceptual.data.labelled import classification


def train_batches(judged_set, *, batch_size, seed, first_step=0, shuffle_buffer=20_000,
                  shard=(0, 1)):
  """Returns the endless stream of batches of all subsets together, from a given step on.

  As `classification.train_batches`, it is a function of the seed and the step alone, and several
  input pipelines share one stream. Triplets are as they are: LPIPS learns without augmentation.

  Args:
    judged_set: a `judged.JudgedSet` of kind `2afc`.
    batch_size: triplets a batch of this pipeline.
    seed: seed of the order, a whole number of at least 0.
    first_step: number of batches to pass over.
    shuffle_buffer: triplets among which the next one is drawn. Subsets are mixed before.
    shard: (index, count): which of several input pipelines this one is.

  Returns:
    `{'reference', 'candidate_0', 'candidate_1': [batch_size, height, width, 3] uint8, 'judge':
    [batch_size] float32}`; batches run over the ends of epochs, so all have the full size.
  """
  index, count = shard
  stream = classification.shuffled_epochs(
      _mixed(judged_set, seed), judged_set.size, seed=seed,
      first=first_step * batch_size * count, buffer=shuffle_buffer)
  return pipelines.batched(stream.shard(count, index), batch_size)


def _mixed(judged_set, seed):
  """All triplets once, each subset in its order, the subsets mixed by a draw."""
  subsets = [
      tf.data.Dataset.zip(subset.images, _judgements(subset)).map(
          lambda images, judge: {**images, "judge": judge})
      for subset in judged_set.subsets]
  if len(subsets) == 1:
    return subsets[0]
  places = np.repeat(np.arange(len(subsets)), [subset.size for subset in judged_set.subsets])
  order = np.random.default_rng(seed).permutation(places)
  return tf.data.Dataset.choose_from_datasets(
      subsets, tf.data.Dataset.from_tensor_slices(order), stop_on_empty_dataset=False)


def _judgements(subset):
  return tf.data.Dataset.from_tensor_slices(subset.answers.astype(np.float32))
