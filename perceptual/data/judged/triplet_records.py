"""How a made 2AFC triplet is stored in a data set of TFDS."""

from perceptual.data.images import image_files

IMAGE_KEYS = ("reference", "candidate_0", "candidate_1")
ANSWERS = ("judge", "same", "family_0", "family_1")  # what examples say beside their images


def features(image_size):
  """Returns the `tfds.features.FeaturesDict` of triplets of one size, as `graded` makes them."""
  import tensorflow as tf
  import tensorflow_datasets as tfds

  image = {
      key: tfds.features.Image(shape=(image_size, image_size, 3), encoding_format="png")
      for key in IMAGE_KEYS
  }
  text = {key: tfds.features.Text() for key in ("family_0", "family_1", "id")}
  return tfds.features.FeaturesDict({**image, "judge": tf.float32, **text})


def with_png(triplet):
  """Returns a triplet with its images as PNG bytes, which threads can compress."""
  return {**triplet, **{key: image_files.encode_png(triplet[key]) for key in IMAGE_KEYS}}
