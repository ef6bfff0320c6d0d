"""Augmentation of labelled images, stateless: the same seed gives the same image, in any order.

Kumar et al. augment by random crops and flips alone. `imagenet_resized/64x64` holds whole images,
so `pad` (4 pixels of padding, then a crop of the old size) is what that data set's makers used
(Chrabaszcz et al. 2017); `inception` crops by area and aspect as on full-size ImageNet; `center` is
the paper's ablation, a central part of the image with no randomness. Its other ablations are
AutoAugment (`policy`) and Gaussian noise (`noise`).
"""

import dataclasses

from perceptual import errors
from perceptual.data.labelled import auto_augment

CROPS = ("pad", "inception", "center", "none")
POLICIES = {"autoaugment": auto_augment.distort}
CENTER_FRACTION = 0.875


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How a training image is varied.

  Attributes:
    crop: one of `CROPS`.
    padding: pixels of black border before a `pad` crop.
    flip: whether half the images are mirrored left to right.
    center_fraction: the part of each side that a `center` crop keeps, in (0, 1], in training and
      in evaluation alike.
    policy: one of `POLICIES`, applied after the flip; None for none.
    noise: the largest standard deviation of Gaussian noise, in units of the range 0-255; 0 for
      none. It is added last. Kumar et al. give factors alone (0.1, 0.2, 0.5, 1.0); as in Lopes et
      al. (arXiv 1906.02611), each image draws its own standard deviation, uniform up to this one.
  """

  crop: str = "pad"
  padding: int = 4
  flip: bool = True
  center_fraction: float = CENTER_FRACTION
  policy: str | None = None
  noise: float = 0.0

  def __post_init__(self):
    if self.crop not in CROPS:
      raise errors.unknown("crop", self.crop, CROPS)
    errors.require_integer("padding", self.padding, at_least=0)
    errors.require_bool("flip", self.flip)
    errors.require_number("center_fraction", self.center_fraction, above=0)
    if self.center_fraction > 1:
      raise errors.UserError(
          f"center_fraction must be at most 1, not {self.center_fraction!r}.")
    if self.policy is not None and self.policy not in POLICIES:
      raise errors.unknown("policy", self.policy, POLICIES)
    errors.require_number("noise", self.noise, at_least=0)

  def train(self, image, seed):
    """Returns a varied copy of one image.

    Args:
      image: `[height, width, 3]` uint8.
      seed: `[2]` int64.
    """
    import tensorflow as tf

    seeds = tf.random.split(seed, 2)
    image = self._cropped(image, seeds[0])
    if self.flip:
      image = tf.image.stateless_random_flip_left_right(image, seeds[1])
    if self.policy:
      image = POLICIES[self.policy](image, tf.random.fold_in(seed, 2))
    if self.noise:
      image = gaussian_noise(image, tf.random.fold_in(seed, 3), self.noise)
    return image

  def evaluation(self, image):
    """Returns the image as it is evaluated: whole, or its centre where training crops more."""
    if self.crop in ("pad", "none"):
      return image
    return center_crop(image, self.center_fraction if self.crop == "center" else CENTER_FRACTION)

  def _cropped(self, image, seed):
    if self.crop == "pad":
      return pad_and_random_crop(image, seed, self.padding)
    if self.crop == "inception":
      return inception_crop(image, seed)
    if self.crop == "center":
      return center_crop(image, self.center_fraction)
    return image


def pad_and_random_crop(image, seed, padding):
  """Returns a crop of the old size, at a random place of the image with zeros around it."""
  import tensorflow as tf

  padded = tf.pad(image, [[padding, padding], [padding, padding], [0, 0]])
  return tf.image.stateless_random_crop(padded, image.shape, seed)


def inception_crop(image, seed):
  """Returns a random box (area 0.08-1, aspect 3/4-4/3) of the image, resized to the old size.

  As in the papers' code: after 10 failed attempts the centre is taken, and a box must cover a tenth
  of the object, here of the image, so that in effect its area is at least 0.1.
  """
  import tensorflow as tf

  whole = tf.constant([[[0.0, 0.0, 1.0, 1.0]]])
  begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
      tf.shape(image), whole, seed, min_object_covered=0.1, aspect_ratio_range=(3 / 4, 4 / 3),
      area_range=(0.08, 1.0), max_attempts=10, use_image_if_no_bounding_boxes=True)
  box = tf.slice(image, begin, size)
  failed = tf.reduce_all(tf.shape(box) == tf.shape(image))
  return tf.cond(failed, lambda: center_crop(image), lambda: _resized(box, image.shape))


def center_crop(image, fraction=CENTER_FRACTION):
  """Returns the central part of each side, resized to the old size."""
  import tensorflow as tf

  return _resized(tf.image.central_crop(image, fraction), image.shape)


def gaussian_noise(image, seed, largest):
  """Returns an image with Gaussian noise of a standard deviation drawn from [0, largest] x 255."""
  import tensorflow as tf

  seeds = tf.random.split(seed, 2)
  deviation = 255 * tf.random.stateless_uniform([], seeds[0], maxval=largest)
  noise = deviation * tf.random.stateless_normal(image.shape, seeds[1])
  return tf.saturate_cast(tf.round(tf.cast(image, tf.float32) + noise), tf.uint8)


def _resized(image, shape):
  import tensorflow as tf

  resized = tf.image.resize(image, shape[:2], method="bicubic")
  return tf.ensure_shape(tf.saturate_cast(tf.round(resized), tf.uint8), shape)
