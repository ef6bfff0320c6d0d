"""The one definition of what a network sees: range check and normalisation.

Training, evaluation, comparison and export all call `Preprocessing`; nothing else turns images into
network input. Kumar et al. (TMLR 2022) feed `(x - 255 mean) / (255 std)` for x in 0-255, with the
mean and standard deviation of ImageNet's colours.
"""

import dataclasses

import numpy as np
from keras import ops

from perceptual.errors import UserError

UINT8_RANGE = (0.0, 255.0)

FLOAT_DTYPES = ("float16", "bfloat16", "float32", "float64")

# The legal names of float ranges, as (lowest, highest).
FLOAT_RANGES = {"0,1": (0.0, 1.0), "0,255": (0.0, 255.0), "-1,1": (-1.0, 1.0)}

# Share of the range that values may stand outside it: networks that make images overshoot a little,
# while an image in another range overshoots by half of it or more.
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Images to network input, `[batch, height, width, 3]` to the same shape in float32.

  Images of one channel, greyscale, are taken for colour images of three equal ones.

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
    dtype = _dtype_name(images)
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

    In a graph, where there are no values yet, the shape and the dtype alone are checked.

    Args:
      images: a NumPy array or a tensor; `[batch, height, width, 3]`, or 1 for greyscale; uint8 or
        float.
      name: what to call the images in the message.
    """
    shape = list(images.shape)
    if len(shape) != 4 or shape[-1] not in (1, 3):
      advice = "; lay RGBA over a background first" if shape[-1:] == [4] else ""
      raise UserError(f"{name}: shape {shape}; expected [batch, height, width, 3], or 1 channel "
                      f"for greyscale{advice}.")
    if 0 in shape:
      raise UserError(f"{name}: empty, shape {shape}.")
    self.range_of(images, name)  # for its error
    has_values = isinstance(images, np.ndarray) or hasattr(images, "numpy")
    if has_values and _dtype_name(images) != "uint8":
      self._check_values(ops.convert_to_numpy(images), name)

  def _check_values(self, values, name):
    accepted_low, accepted_high = self.accepted_float_range
    lowest, highest = float(values.min()), float(values.max())
    if accepted_low <= lowest and highest <= accepted_high:  # false for NaN too
      return
    found = f"values from {lowest:g} to {highest:g}"
    if np.isnan(values).any():
      found = "NaN among the values"
    raise UserError(f"{name}: {found}; the declared range of float images is "
                    f"{self.float_range[0]:g} to {self.float_range[1]:g}.")


IMAGENET = Preprocessing()


def float_range(name):
  """Returns the float range called `name`, one of `FLOAT_RANGES`; raises `UserError` if unknown."""
  try:
    return FLOAT_RANGES[name.replace(" ", "")]
  except KeyError:
    raise UserError(f"Unknown float range {name!r}. Available: "
                    f"{'  '.join(FLOAT_RANGES)}.") from None


def check_pair(reference, candidate):
  """Raises `UserError` unless two batches of images have one shape and one dtype.

  Args:
    reference: a NumPy array or a tensor; sizes that a graph does not know are taken to be right.
    candidate: the same.
  """
  shapes = list(reference.shape), list(candidate.shape)
  if len(shapes[0]) != len(shapes[1]) or any(
      a != b and None not in (a, b) for a, b in zip(*shapes)):
    raise UserError(f"reference has shape {shapes[0]} and candidate {shapes[1]}; "
                    "a pair must have one size.")
  dtypes = _dtype_name(reference), _dtype_name(candidate)
  if dtypes[0] != dtypes[1]:
    raise UserError(f"reference is {dtypes[0]} and candidate {dtypes[1]}; "
                    "a pair must have one dtype.")


def _dtype_name(images):
  """The dtype's name, the same for NumPy and for every Keras backend."""
  dtype = images.dtype
  return getattr(dtype, "name", str(dtype)).removeprefix("torch.")
