"""A network whose weights are drawn from a Gaussian, as a metric.

The row "Gaussian" of Zhang et al. (CVPR 2018) is AlexNet with such weights. They do not state the
variance. Here it is He et al.'s (ICCV 2015), 2 / fan-in, which keeps the size of features from
layer to layer through ReLUs. In a network of convolutions and ReLUs alone, such as AlexNet, it does
not affect distances of normalised features: another variance multiplies all features of a tap by
one number.
"""

import math

import keras
import numpy as np

from perceptual import errors, models
from perceptual.metrics import networks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing
from perceptual.models import taps as feature_taps


def gaussian(network, *, seed=0, distance="local", taps=None, float_range=(0.0, 1.0),
             dtype="float32"):
  """Returns the metric of a network with Gaussian weights.

  Every weight of two axes or more is drawn from N(0, 2 / fan-in) by NumPy, layer by layer from the
  image on, so that a seed gives the same weights on every backend. All else (biases, batch
  normalisation) is as the network has it before training.

  Args:
    network: one of `models.names()`, at its default options.
    seed: a non-negative integer.
    distance: name of the distance between features.
    taps: names of the taps to use; None for all. They change no weight.
    float_range: what the lowest and highest value of a float image mean, one of
      `preprocessing.FLOAT_RANGES`' values.
    dtype: what the network computes in, one of `networks.DTYPES`.

  Returns:
    `feature_metric.FeatureMetric`; lower is better.

  Raises:
    UserError: an unknown network, distance, tap or dtype, or an illegal seed.
  """
  if network not in models.names():
    raise errors.unknown("network", network, models.names())
  errors.require_integer("seed", seed, at_least=0)
  with networks.made_in(dtype):
    model = models.build(network, num_classes=0)
    draw(feature_taps.select_taps(model), seed)
  return FeatureMetric(
      model, name=f"gaussian-{network}", options={"seed": seed}, taps=taps, distance=distance,
      preprocess=preprocessing.Preprocessing(float_range=float_range))


def draw(model, seed):
  """Gives a model Gaussian weights.

  Args:
    model: a `keras.Model`.
    seed: a non-negative integer.
  """
  rng = np.random.default_rng(seed)
  for layer in model.layers:
    for variable in layer.weights:
      shape = tuple(variable.shape)
      if len(shape) > 1:
        scale = np.float32(math.sqrt(2 / _fan_in(layer, shape)))
        variable.assign(scale * rng.standard_normal(shape, np.float32))


def _fan_in(layer, shape):
  """How many values each output is a weighted sum of; the last axis of weights is the outputs."""
  # A depthwise kernel is [rows, columns, channels, multiples], and sees one channel at a time.
  inputs = shape[:2] if isinstance(layer, keras.layers.DepthwiseConv2D) else shape[:-1]
  return math.prod(inputs)
