"""What streams of tf.data share."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import tensorflow as tf

from perceptual.data import pipelines


def test_elements_stay_in_their_order_and_batches_are_full():
  stream = pipelines.mapped(tf.data.Dataset.range(100), lambda number: -number)
  batches = list(pipelines.batched(stream, 32).as_numpy_iterator())
  np.testing.assert_array_equal(np.concatenate(batches), -np.arange(96))


def test_no_tuner_runs_whose_end_would_be_waited_for():
  """What TensorFlow logs of its tuner, model.cc, with a strategy's streams on devices too."""
  code = """
import sys
import tensorflow as tf
from perceptual.data import pipelines

def batches(context):
  return pipelines.batched(pipelines.mapped(tf.data.Dataset.range(100), tf.identity), 32)

one = tf.distribute.OneDeviceStrategy("/cpu:0")
print(len(list(pipelines.distributed(one, batches))), len(list(batches(None))))
print("tuned:", file=sys.stderr, flush=True)
list(tf.data.Dataset.range(100))
"""
  process = subprocess.run(
      [sys.executable, "-c", code], cwd=pathlib.Path(__file__).parents[2], capture_output=True,
      text=True, check=True,
      env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0", "TF_CPP_VMODULE": "model=3,root_dataset=3"})
  assert process.stdout == "3 3\n"
  ours, _, tuned = process.stderr.partition("tuned:")
  assert ("model.cc" in ours, "model.cc" in tuned) == (False, True)
