"""Images side by side with their captions: one strip for an item, one sheet for many strips."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from perceptual.common import files

_GAP = 6
_LINE = 16  # pixels of a line of text
_LEAST_HEIGHT = 96  # smaller images are enlarged, pixel by pixel


def strip(picture):
  """Returns a `results.Picture` as one `[height, width, 3]` uint8 image, on white.

  It is as wide as its images or its caption, whichever is wider.
  """
  images = [_enlarged(image) for image in picture.images.values()]
  height = max(image.shape[0] for image in images)
  width = max(sum(image.shape[1] for image in images) + _GAP * (len(images) - 1),
              math.ceil(ImageFont.load_default().getlength(picture.caption)))
  sheet = Image.new("RGB", (width, height + 2 * _LINE), "white")
  pen = ImageDraw.Draw(sheet)
  left = 0
  for label, image in zip(picture.images, images):
    pen.text((left, 2), label, fill="black")
    sheet.paste(Image.fromarray(image), (left, _LINE))
    left += image.shape[1] + _GAP
  pen.text((0, height + _LINE + 2), picture.caption, fill="black")
  return np.asarray(sheet)


def write(picture, path):
  """Writes the strip of a `results.Picture` as PNG."""
  with files.beside(path) as temporary:
    Image.fromarray(strip(picture)).save(temporary, "PNG")


def write_sheet(pictures, path):
  """Writes the strips of several `results.Picture`s as PNG, in columns: about as wide as high."""
  strips = [strip(picture) for picture in pictures]
  height = max(image.shape[0] for image in strips) + _GAP
  width = max(image.shape[1] for image in strips) + 4 * _GAP
  rows = max(1, round(math.sqrt(len(strips) * width / height)))
  columns = -(-len(strips) // rows)
  sheet = np.full((rows * height, columns * width, 3), 255, np.uint8)
  for number, image in enumerate(strips):
    column, row = divmod(number, rows)
    sheet[row * height:, column * width:][:image.shape[0], :image.shape[1]] = image
  with files.beside(path) as temporary:
    Image.fromarray(sheet).save(temporary, "PNG")


def _enlarged(image):
  """A colour image that can be seen: at least so high, by whole factors."""
  image = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
  factor = -(-_LEAST_HEIGHT // image.shape[0])
  return np.ascontiguousarray(image.repeat(factor, axis=0).repeat(factor, axis=1))
