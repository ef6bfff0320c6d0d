"""What a network of someone else expects of its input, made from ours.

Ours is fixed, in `models.preprocessing`: images in [0, 1], RGB, less ImageNet's mean, divided
by its standard deviation. A layer at the head of a wrapped network turns it into what that network
was trained on, so that training, evaluation, comparison and export go on as with any other.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from perceptual import errors
from perceptual.models import layers, preprocessing

_BGR_MEANS = (103.939, 116.779, 123.68)  # of Caffe's ImageNet, in its order and range


@dataclasses.dataclass(frozen=True)
class Expected:
  """Images in [0, 1] less a mean, divided by a standard deviation.

  Attributes:
    mean: of red, green and blue.
    std: of red, green and blue.
    bgr: whether the colours then come in the order blue, green, red.
  """

  mean: tuple[float, float, float]
  std: tuple[float, float, float]
  bgr: bool = False


EXPECTED = {
    "imagenet": Expected(preprocessing.IMAGENET.mean, preprocessing.IMAGENET.std),
    "0,1": Expected((0.0,) * 3, (1.0,) * 3),
    "-1,1": Expected((0.5,) * 3, (0.5,) * 3),
    "0,255": Expected((0.0,) * 3, (1 / 255,) * 3),
    "caffe": Expected(tuple(mean / 255 for mean in _BGR_MEANS[::-1]), (1 / 255,) * 3, bgr=True),
}

_FORMS = (
    f"one of {'; '.join(EXPECTED)}; or (mean, std) of images in [0, 1], each of three numbers for "
    "red, green and blue, with 'BGR' as a third if the colours come in that order; or a function "
    "such as keras.applications.vgg16.preprocess_input")


@keras.saving.register_keras_serializable("perceptual")
class ExpectedInput(keras.layers.Layer):
  """Our normalised images, `[batch, height, width, 3]`, as a network expects them, in float32.

  Args:
    mean: as `Expected` has it.
    std: the same.
    bgr: the same.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, *, mean, std, bgr, **options):
    super().__init__(**options)
    self.mean = tuple(mean)
    self.std = tuple(std)
    self.bgr = bgr

  def call(self, images):
    # One multiplication and one addition, whose factors are worked out in double precision.
    ours = preprocessing.IMAGENET
    scale = np.divide(ours.std, self.std)
    offset = (np.array(ours.mean) - self.mean) / self.std
    images = images * ops.convert_to_tensor(scale, images.dtype)
    images = images + ops.convert_to_tensor(offset, images.dtype)
    return ops.flip(images, axis=-1) if self.bgr else images

  def compute_output_shape(self, input_shape):
    return input_shape

  def get_config(self):
    return {**super().get_config(), "mean": self.mean, "std": self.std, "bgr": self.bgr}


def expected(preprocessing_of):
  """Returns the `Expected` that a user's words mean.

  Args:
    preprocessing_of: a key of `EXPECTED`; or (mean, std) of images in [0, 1], each three numbers
      for red, green and blue, with "BGR" as a third; or a function of images
      `[batch, height, width, 3]`, RGB, 0 to 255, which must scale and shift each colour alone.

  Raises:
    UserError: it is something else.
  """
  if callable(preprocessing_of):
    return _read_off(preprocessing_of)
  if isinstance(preprocessing_of, str):
    name = preprocessing_of.replace(" ", "")
    if name in EXPECTED:
      return EXPECTED[name]
  elif isinstance(preprocessing_of, (tuple, list)) and len(preprocessing_of) in (2, 3):
    mean, std, *order = preprocessing_of
    if _three(mean) and _three(std) and min(std) > 0 and order in ([], ["BGR"]):
      return Expected(tuple(mean), tuple(std), bgr=bool(order))
  raise errors.UserError(f"preprocessing must be {_FORMS}. Received: {preprocessing_of!r}.")


def _three(values):
  return (isinstance(values, (tuple, list)) and len(values) == 3
          and all(layers.is_number(value) and np.isfinite(value) for value in values))


def _read_off(function):
  """Returns what a function does to each colour, from its values at black and at full colours."""
  black_and_colours = np.zeros((1, 4, 1, 3), "float32")
  black_and_colours[0, range(1, 4), 0, range(3)] = 255
  black, *colours = _applied(function, black_and_colours)[0, :, 0]
  slopes = (np.array(colours) - black) / 255  # [colour given, channel returned]
  for bgr in (False, True):
    by_colour = slopes[:, ::-1] if bgr else slopes
    offset = black[::-1] if bgr else black
    slope = np.diag(by_colour)
    if np.all(slope > 0):
      mean, std = -offset / slope / 255, 1 / slope / 255
      found = _known(Expected(tuple(map(float, mean)), tuple(map(float, std)), bgr))
      _check_reading(function, found)
      return found
  raise _not_affine(function)


def _known(found):
  """Returns the one of `EXPECTED` that equals what was found up to rounding, or what was found."""
  for known in EXPECTED.values():
    if known.bgr == found.bgr and np.allclose(
        (*known.mean, *known.std), (*found.mean, *found.std), rtol=1e-5, atol=1e-7):
      return known
  return found


def _check_reading(function, found):
  images = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype("float32")
  expected_values = (images / 255 - np.array(found.mean)) / found.std
  expected_values = expected_values[..., ::-1] if found.bgr else expected_values
  scale = np.abs(expected_values).max()
  if not np.allclose(_applied(function, images), expected_values, rtol=0, atol=1e-4 * scale):
    raise _not_affine(function)


def _applied(function, images):
  # Keras's own functions change arrays in place.
  return np.asarray(ops.convert_to_numpy(function(images.copy())), "float64")


def _not_affine(function):
  return errors.UserError(
      f"The preprocessing function {getattr(function, '__name__', function)} must scale and shift "
      "each colour of images of 0 to 255 alone; put anything else into the network as a layer.")
