"""The size at which an image is compared: resized, then cropped, from its pixels alone."""

import dataclasses

import numpy as np
from PIL import Image

from perceptual import errors


@dataclasses.dataclass(frozen=True)
class View:
  """A size to which images are brought before they are compared. Nothing is ever enlarged.

  Resizing is Pillow's bilinear filter, which is antialiased: its support grows with the factor.

  Attributes:
    image_size: pixels of the shorter side after resizing, the ratio of sides kept; None for no
      resizing.
    crop: pixels of both sides of the central square that is cut out then; None for no cropping.
  """

  image_size: int | None = None
  crop: int | None = None

  def __post_init__(self):
    for name in ("image_size", "crop"):
      if getattr(self, name) is not None:
        errors.require_integer(name, getattr(self, name))
    if self.image_size is not None and self.crop is not None and self.crop > self.image_size:
      raise errors.UserError(f"crop {self.crop} is larger than image_size {self.image_size}.")

  def __str__(self):
    """Says it in words: `at 64 pixels, cropped to 48`; empty where images stay as they are."""
    return ", ".join([*([f"at {self.image_size} pixels"] if self.image_size else []),
                      *([f"cropped to {self.crop}"] if self.crop else [])])

  @property
  def stamp(self):
    """Two whole numbers that tell this view from others."""
    return self.image_size or 0, self.crop or 0

  def size_of(self, size):
    """Returns (height, width) after the view.

    Args:
      size: (height, width) before.

    Raises:
      UserError: the image is smaller than it would become.
    """
    resized = self._resized(size)
    if self.crop is None:
      return resized
    if self.crop > min(resized):
      raise errors.UserError(f"{_pixels(resized)} pixels, too small for a crop of {self.crop}")
    return self.crop, self.crop

  def __call__(self, pixels):
    """Returns an image `[height, width, 3]`, uint8 or float32, after the view, of its dtype."""
    self.size_of(pixels.shape[:2])
    pixels = _resize(pixels, self._resized(pixels.shape[:2]))
    if self.crop is None:
      return pixels
    top, left = ((side - self.crop) // 2 for side in pixels.shape[:2])
    return pixels[top:top + self.crop, left:left + self.crop]

  def _resized(self, size):
    if self.image_size is None:
      return tuple(size)
    shorter = min(size)
    if self.image_size > shorter:
      raise errors.UserError(
          f"{_pixels(size)} pixels, too small for an image_size of {self.image_size}")
    return tuple(max(1, round(side * self.image_size / shorter)) for side in size)


WHOLE = View()


def _resize(pixels, size):
  if tuple(pixels.shape[:2]) == tuple(size):
    return pixels
  target = size[::-1]
  if pixels.dtype == np.uint8:
    return np.asarray(Image.fromarray(pixels).resize(target, Image.Resampling.BILINEAR))
  channels = [Image.fromarray(np.ascontiguousarray(channel)).resize(
      target, Image.Resampling.BILINEAR) for channel in np.moveaxis(pixels, -1, 0)]
  return np.stack([np.asarray(channel) for channel in channels], axis=-1)


def _pixels(size):
  height, width = size
  return f"{width}x{height}"
