"""The one definition of what a network sees: range check and normalisation.

Training, evaluation, comparison and export all call `Preprocessing`; nothing else turns images into
network input. Kumar et al. (TMLR 2022) feed `(x - 255 mean) / (255 std)` for x in 0-255, with the
mean and standard deviation of ImageNet's colours.
"""

import dataclasses
import os

import keras
import numpy as np
from keras import ops

from perceptual import errors
from perceptual.common import tensors
from perceptual.errors import UserError

UINT8_RANGE = (0.0, 255.0)

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")

# The legal names of float ranges, as (lowest, highest).
FLOAT_RANGES = {"0,1": (0.0, 1.0), "0,255": (0.0, 255.0), "-1,1": (-1.0, 1.0)}

# Share of the range by which values may exceed it: networks that make images overshoot a little,
# while an image in another range overshoots by half of it or more.
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Images to network input, `[batch, height, width, 3]` to the same shape in float32.

  Images of one channel, greyscale, are treated as colour images of three equal ones.

  Attributes:
    mean: mean of each colour, of images in [0, 1].
    std: standard deviation of each colour, of images in [0, 1].
    float_range: what the lowest and highest value of a float image mean. uint8 is always 0 to 255.
  """

  mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
  std: tuple[float, float, float] = (0.229, 0.224, 0.225)
  float_range: tuple[float, float] = (0.0, 1.0)

  def __call__(self, images):
    """Returns normalised float32 images; pure `keras.ops`, so it runs in any graph."""
    unit = self.unit_range(images)
    # Three colours are spread over one image first, since TensorFlow is ten times slower with three
    # numbers that meet the last axis than with an image that meets the first.
    mean, std = (
        ops.broadcast_to(ops.convert_to_tensor(colour, dtype="float32"), ops.shape(unit)[1:])
        for colour in (self.mean, self.std))
    return (unit - mean) / std

  def unit_range(self, images):
    """Returns images as float32 in [0, 1], of three channels."""
    low, high = self.range_of(images)
    unit = (ops.cast(images, "float32") - low) / (high - low)
    return ops.repeat(unit, 3, axis=-1) if images.shape[-1] == 1 else unit

  def range_of(self, images, name="images"):
    """Returns the declared (lowest, highest) value of images, by their dtype.

    Raises:
      UserError: if they are neither uint8 nor float.
    """
    dtype = dtype_name(images)
    if dtype == "uint8":
      return UINT8_RANGE
    if dtype in FLOAT_DTYPES:
      return self.float_range
    raise UserError(f"{name}: dtype {dtype}; images are uint8 (0 to 255) or float "
                    f"({self.float_range[0]:g} to {self.float_range[1]:g}).")

  @property
  def accepted_float_range(self):
    """The (lowest, highest) value let through: the range of float images and 1% of it about it."""
    low, high = self.float_range
    slack = TOLERANCE * (high - low)
    return low - slack, high + slack

  def check(self, images, name="images"):
    """Raises `UserError` unless `images` are a batch of images in the declared range.

    While a function is traced or transformed, its tensors have no values yet: then the shape and
    the dtype alone are checked, and `in_range` is there for the values.

    Args:
      images: a NumPy array or a tensor; `[batch, height, width, 3]`, or 1 for greyscale; uint8 or
        float.
      name: what to call the images in the message.
    """
    self.check_kind(images, name)
    if not tensors.has_values(images) or dtype_name(images) == "uint8":
      return
    with tensors.computed_now():
      in_range = bool(ops.convert_to_numpy(ops.all(self.in_range(images))))
    if not in_range:
      self._raise_for_values(ops.convert_to_numpy(images), name)

  def check_kind(self, images, name="images"):
    """Raises `UserError` unless `images` have the shape and the dtype of images; see `check`."""
    shape = _shape_of(images, name)
    if len(shape) != 4 or shape[-1] not in (1, 3):
      advice = "; lay RGBA over a background first" if shape[-1:] == [4] else ""
      raise UserError(f"{name}: shape {shape}; expected [batch, height, width, 3], or 1 channel "
                      f"for greyscale{advice}.")
    if 0 in shape:
      raise UserError(f"{name}: empty, shape {shape}.")
    self.range_of(images, name)  # for its error

  def in_range(self, images):
    """Returns for each float image whether all of its values are in range: `[batch]` bool.

    NaN is not. Pure `keras.ops`, so it runs in any graph.
    """
    low, high = self.accepted_float_range
    images = ops.convert_to_tensor(images)
    return ops.all(ops.logical_and(images >= low, images <= high), axis=(1, 2, 3))

  def _raise_for_values(self, values, name):
    found = f"values from {values.min():g} to {values.max():g}"
    if np.isnan(values).any():
      found = "NaN among the values"
    raise UserError(f"{name}: {found}; the declared range of float images is "
                    f"{self.float_range[0]:g} to {self.float_range[1]:g}.")


IMAGENET = Preprocessing()


def float_range(name):
  """Returns a range of `FLOAT_RANGES`, of its name or itself; raises `UserError` if unknown."""
  if isinstance(name, (tuple, list)):
    name = ",".join(f"{bound:g}" if isinstance(bound, (int, float)) else str(bound)
                    for bound in name)
  try:
    return FLOAT_RANGES[str(name).replace(" ", "")]
  except KeyError:
    raise UserError(f"Unknown float range {errors.shown(name)}. Available: "
                    f"{'  '.join(FLOAT_RANGES)}.") from None


def check_pair(reference, candidate, names=("reference", "candidate")):
  """Raises `UserError` unless two batches of images have one shape and one dtype.

  Args:
    reference: a NumPy array or a tensor; sizes that a graph does not know are taken to be right.
    candidate: the same.
    names: what to call the two in the message.
  """
  shapes = list(reference.shape), list(candidate.shape)
  if len(shapes[0]) != len(shapes[1]) or any(
      a != b and None not in (a, b) for a, b in zip(*shapes)):
    raise UserError(f"{names[0]} has shape {shapes[0]} and {names[1]} {shapes[1]}; "
                    "a pair must have one size.")
  dtypes = dtype_name(reference), dtype_name(candidate)
  if dtypes[0] != dtypes[1]:
    raise UserError(f"{names[0]} is {dtypes[0]} and {names[1]} {dtypes[1]}; "
                    "a pair must have one dtype.")


def as_array(images, name="images"):
  """Returns what somebody passed for images, or for a mask, as an array or a tensor.

  Args:
    images: a tensor of any backend, a NumPy array, or what NumPy makes an array of numbers of, for
      instance nested lists, whose floats become float32.
    name: what to call the images in the message.

  Raises:
    UserError: None, text, an array of objects or with masked values, or lists of unequal lengths.
  """
  if keras.ops.is_tensor(images):
    return images
  if isinstance(images, np.ma.MaskedArray):
    raise UserError(f"{name}: a masked array; masked values would count. Pass images.filled(value) "
                    "or images.data.")
  if images is None or isinstance(images, (str, bytes, os.PathLike)):
    raise UserError(f"{name}: expected images [batch, height, width, 3], not "
                    f"{errors.shown(images)}.")
  if hasattr(images, "shape") and hasattr(images, "dtype") and not isinstance(images, np.generic):
    array = images  # of NumPy, or a tensor of another library
  else:
    try:
      array = np.asarray(images)
    except ValueError as error:
      raise UserError(f"{name}: not an array: {errors.first_line(error)}") from None
    array = array.astype(np.float32) if array.dtype == np.float64 else array
  if getattr(array.dtype, "kind", "f") not in "buif" and dtype_name(array) not in FLOAT_DTYPES:
    raise UserError(f"{name}: dtype {array.dtype}; expected an array of numbers.")
  return array


def _shape_of(images, name):
  try:
    return list(images.shape)
  except ValueError:
    raise UserError(f"{name}: a tensor of unknown rank; expected [batch, height, width, 3]. Give "
                    "it a shape, for instance by tf.ensure_shape.") from None


def dtype_name(images):
  """The dtype's name, the same for NumPy and for every Keras backend."""
  dtype = images.dtype
  return getattr(dtype, "name", str(dtype)).removeprefix("torch.")
