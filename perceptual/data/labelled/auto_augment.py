"""AutoAugment, stateless: the model garden's policy and operations, our random numbers.

Cubuk et al., "AutoAugment: Learning Augmentation Policies from Data" (arXiv 1805.09501). Operations
and the policy for ImageNet are `official.vision.ops.augment`'s. Its own drawing of sub-policies,
probabilities and signs cannot be seeded per image, so that a resumed run would see other images
than an uninterrupted one; the drawing is therefore done here.
"""

# The papers' largest shift: 150 of the 331 pixels of their images. The model garden's 250 pixels
# would move a 64x64 image out of sight.
_LARGEST_SHIFT = 150 / 331
_GREY = [128, 128, 128]  # what comes in where an image is moved, as in the model garden
_LARGEST_LEVEL = 10

# Operations that go either way at random, with the amount at the largest level.
_SIGNED = {"Rotate": 30.0, "ShearX": 0.3, "ShearY": 0.3}
_SHIFTS = ("TranslateX", "TranslateY")


def distort(image, seed):
  """Returns an image distorted by one of the 25 sub-policies for ImageNet, chosen by the seed.

  Args:
    image: `[height, width, 3]` uint8 of static shape.
    seed: `[2]` integers.

  Returns:
    An image of the same shape and type.
  """
  import tensorflow as tf
  from official.vision.ops import augment

  policies = augment.AutoAugment.policy_v0()
  draws = tf.random.stateless_uniform([5], seed)
  chosen = tf.cast(draws[0] * len(policies), tf.int32)
  branches = [_branch(image, policy, draws[1:]) for policy in policies]
  return tf.ensure_shape(tf.switch_case(chosen, branches), image.shape)


def _branch(image, policy, draws):
  """Returns a function without arguments that applies the two operations of a sub-policy."""
  import tensorflow as tf

  def apply():
    result = image
    for number, (name, probability, level) in enumerate(policy):
      happens, sign = draws[2 * number], tf.where(draws[2 * number + 1] < 0.5, -1.0, 1.0)
      result = tf.cond(
          happens < probability,
          lambda: operation(result, name, level, sign), lambda: result)  # noqa: B023
    return result
  return apply


def operation(image, name, level, sign):
  """Returns an image after one operation of the model garden.

  Args:
    image: `[height, width, 3]` uint8.
    name: its name there, such as `Equalize`.
    level: its strength, 0 to 10.
    sign: 1.0 or -1.0, the direction of a rotation, a shear or a shift.
  """
  from official.vision.ops import augment

  function = augment.NAME_TO_FUNC[name]
  largest = _LARGEST_SHIFT * image.shape[0] if name in _SHIFTS else _SIGNED.get(name)
  if largest is not None:
    return function(image, sign * largest * level / _LARGEST_LEVEL, _GREY)
  amounts = augment.level_to_arg(cutout_const=0, translate_const=0)[name](level)
  return function(image, *amounts)
