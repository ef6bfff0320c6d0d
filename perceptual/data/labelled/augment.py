"""Augmentation of labelled images, stateless: the same seed gives the same image, in any order.

Kumar et al. augment by random crops and flips alone. `imagenet_resized/64x64` holds whole images,
so `pad` (4 pixels of padding, then a crop of the old size) is what that data set's makers used
(Chrabaszcz et al. 2017); `inception` crops by area and aspect as on full-size ImageNet; `center` is
the paper's ablation, the central 0.875 of the image with no randomness.
"""

import dataclasses

import tensorflow as tf

from perceptual import errors

CROPS = ("pad", "inception", "center", "none")
CENTER_FRACTION = 0.875


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How a training image is varied.

  Attributes:
    crop: one of `CROPS`.
    padding: pixels of black border before a `pad` crop.
    flip: whether half the images are mirrored left to right.
  """

  crop: str = "pad"
  padding: int = 4
  flip: bool = True

  def __post_init__(self):
    if self.crop not in CROPS:
      raise errors.unknown("crop", self.crop, CROPS)
    errors.require_integer("padding", self.padding, at_least=0)
    errors.require_bool("flip", self.flip)

  def train(self, image, seed):
    """Returns a varied copy of one image.

    Args:
      image: `[height, width, 3]` uint8.
      seed: `[2]` int64.
    """
    seeds = tf.random.split(seed, 2)
    image = self._cropped(image, seeds[0])
    if self.flip:
      image = tf.image.stateless_random_flip_left_right(image, seeds[1])
    return image

  def evaluation(self, image):
    """Returns the image as it is evaluated: whole, or its centre where training crops more."""
    return image if self.crop in ("pad", "none") else center_crop(image)

  def _cropped(self, image, seed):
    if self.crop == "pad":
      return pad_and_random_crop(image, seed, self.padding)
    if self.crop == "inception":
      return inception_crop(image, seed)
    if self.crop == "center":
      return center_crop(image)
    return image


def pad_and_random_crop(image, seed, padding):
  """Returns a crop of the old size, at a random place of the image with zeros around it."""
  padded = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
  return tf.image.stateless_random_crop(padded, image.shape, seed)


def inception_crop(image, seed):
  """Returns a random box (area 0.08-1, aspect 3/4-4/3) of the image, resized to the old size.

  As in the papers' code: after 10 failed attempts the centre is taken, and a box must cover a tenth
  of the object, here of the image, so that in effect its area is at least 0.1.
  """
  whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
  begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
      tf.shape(image), whole, seed, min_object_covered=0.1, aspect_ratio_range=(3 / 4, 4 / 3),
      area_range=(0.08, 1.0), max_attempts=10, use_image_if_no_bounding_boxes=True)
  box = tf.slice(image, begin, size)
  failed = tf.reduce_all(tf.shape(box) == tf.shape(image))
  return tf.cond(failed, lambda: center_crop(image), lambda: _resized(box, image.shape))


def center_crop(image):
  """Returns the central 0.875 of each side, resized to the old size."""
  return _resized(tf.image.central_crop(image, CENTER_FRACTION), image.shape)


def _resized(image, shape):
  resized = tf.image.resize(image, shape[:2], method="bicubic")
  return tf.ensure_shape(tf.saturate_cast(tf.round(resized), tf.uint8), shape)
