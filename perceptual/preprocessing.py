"""The one definition of what a network sees: range check and normalisation.

Training, evaluation, comparison and export all call `Preprocessing`; nothing else turns images into
network input. Kumar et al. (TMLR 2022) feed `(x - 255 mean) / (255 std)` for x in 0-255, with the mean
and standard deviation of ImageNet's colours.
"""

import dataclasses

import numpy as np
from keras import ops

from perceptual.errors import UserError

UINT8_RANGE = (0.0, 255.0)

# The legal names of float ranges, as (lowest, highest).
FLOAT_RANGES = {"0,1": (0.0, 1.0), "0,255": (0.0, 255.0), "-1,1": (-1.0, 1.0)}

# Share of the range that values may stand outside it: networks that make images overshoot a little,
# while an image in another range overshoots by half of it or more.
TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Preprocessing:
  """Images to network input, `[batch, height, width, 3]` to the same shape in float32.

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
    mean = ops.convert_to_tensor(self.mean, dtype="float32")
    std = ops.convert_to_tensor(self.std, dtype="float32")
    return (self.unit_range(images) - mean) / std

  def unit_range(self, images):
    """Returns images as float32 in [0, 1]."""
    low, high = self.range_of(images.dtype)
    return (ops.cast(images, "float32") - low) / (high - low)

  def range_of(self, dtype):
    """Returns the declared (lowest, highest) value of images of a dtype (a name or an object)."""
    name = getattr(dtype, "name", str(dtype))
    if name == "uint8":
      return UINT8_RANGE
    if name in ("float16", "bfloat16", "float32", "float64"):
      return self.float_range
    raise UserError(f"Images are {name}; they must be uint8 (0 to 255) or float "
                    f"({self.float_range[0]:g} to {self.float_range[1]:g}).")

  def accepted_range(self, dtype):
    """Returns the (lowest, highest) value that is let through: the range and 1% of it about it."""
    low, high = self.range_of(dtype)
    slack = TOLERANCE * (high - low)
    return low - slack, high + slack

  def check(self, images, name="images"):
    """Raises `UserError` unless `images` are a batch of colour images in the declared range.

    Args:
      images: a NumPy array; `[batch, height, width, 3]`, uint8 or float.
      name: what to call the images in the message.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[-1] != 3:
      raise UserError(f"{name} have shape {list(images.shape)}; "
                      "expected [batch, height, width, 3].")
    if 0 in images.shape:
      raise UserError(f"{name} are empty: shape {list(images.shape)}.")
    low, high = self.accepted_range(images.dtype)
    if images.dtype == np.uint8:
      return
    lowest, highest = images.min(), images.max()
    if not (low <= lowest and highest <= high):  # false for NaN too
      raise UserError(f"{name} hold values from {lowest:g} to {highest:g}; the declared range of "
                      f"float images is {self.float_range[0]:g} to {self.float_range[1]:g}.")


IMAGENET = Preprocessing()


def float_range(name):
  """Returns the float range called `name`, one of `FLOAT_RANGES`; raises `UserError` if unknown."""
  try:
    return FLOAT_RANGES[name.replace(" ", "")]
  except KeyError:
    raise UserError(f"Unknown float range {name!r}. Available: "
                    f"{'  '.join(FLOAT_RANGES)}.") from None


def check_pair(reference, candidate):
  """Raises `UserError` unless two batches of images have one shape and one dtype."""
  if tuple(reference.shape) != tuple(candidate.shape):
    raise UserError(f"reference has shape {list(reference.shape)} and candidate "
                    f"{list(candidate.shape)}; a pair must have one size.")
  if reference.dtype != candidate.dtype:
    raise UserError(f"reference is {reference.dtype} and candidate {candidate.dtype}; "
                    "a pair must have one dtype.")
