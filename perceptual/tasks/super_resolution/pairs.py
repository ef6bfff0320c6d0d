"""A photograph as the study's pair: a crop of 288 pixels, and a small blurred one to restore."""

import numpy as np
from PIL import Image, ImageFilter


def pair(image, *, scale, side=288, blur=1.0):
  """Returns the small input and the target of a photograph.

  The target is the photograph resized by its short side (Pillow's bilinear) and cropped from its
  centre. The input is the photograph blurred at its own size, resized so that it is `scale` times
  smaller than the target (Pillow's bicubic), and cropped alike.

  Args:
    image: `[height, width, 3]` uint8.
    scale: how much larger the target is.
    side: of the target in pixels, a multiple of `scale`.
    blur: radius of Pillow's Gaussian blur; 0 for none.

  Returns:
    `[side / scale, side / scale, 3]` and `[side, side, 3]` uint8.
  """
  photograph = Image.fromarray(image)
  target = _centre(_short_side(photograph, side, Image.Resampling.BILINEAR), side)
  blurred = photograph.filter(ImageFilter.GaussianBlur(blur)) if blur else photograph
  small = side // scale
  return _centre(_short_side(blurred, small, Image.Resampling.BICUBIC), small), target


def upsampled(image, scale):
  """Returns an image enlarged by Pillow's bicubic, uint8: the baseline of the study's test."""
  height, width = image.shape[:2]
  return np.asarray(Image.fromarray(image).resize(
      (scale * width, scale * height), Image.Resampling.BICUBIC))


def _short_side(image, side, resampling):
  """Resizes so that the short side has a length, as torchvision's Resize; the other rounds down."""
  width, height = image.size
  short = min(width, height)
  size = (side, int(side * height / short)) if width <= height else (
      int(side * width / short), side)
  return image.resize(size, resampling)


def _centre(image, side):
  """The centre of an image as an array, as torchvision's CenterCrop takes it."""
  pixels = np.asarray(image)
  top, left = (round((length - side) / 2) for length in pixels.shape[:2])
  return pixels[top:top + side, left:left + side]
