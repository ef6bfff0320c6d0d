"""An independent reading of each distance, and features to try it on.

In float64, one image at a time, with loops where the papers have sums.
"""

import numpy as np

from perceptual.metrics import distances

SUMS = ["local+mean_pool", "local+sort"]
NAMES = [*distances.DISTANCES, *SUMS]
SHAPES = {"map": (3, 4, 5, 7), "tokens": (3, 6, 7), "vector": (3, 7), "one_by_one": (2, 1, 1, 5)}
EPSILON = 1e-10


def relu_features(shape, seed):
  """Features with zeros among them, as after a ReLU."""
  return np.maximum(np.random.default_rng(seed).normal(size=shape), 0.0).astype("float32")


def pair():
  """Features of three images and of three others, `[3, 4, 5, 7]`."""
  return relu_features(SHAPES["map"], 0), relu_features(SHAPES["map"], 1)


def normalised(vector):
  return vector / (np.sqrt(np.sum(vector**2)) + EPSILON)


def read_local(image_0, image_1):
  return np.mean([
      np.sum((normalised(u) - normalised(v))**2) for u, v in zip(image_0, image_1)])


def read_mean_pool(image_0, image_1):
  return np.sum((normalised(image_0.mean(axis=0)) - normalised(image_1.mean(axis=0)))**2)


def read_style(image_0, image_1):
  grams = []
  for image in (image_0, image_1):
    channels = [normalised(channel) for channel in image.T]
    grams.append(np.array([[np.sum(u * v) for v in channels] for u in channels]))
  return np.mean((grams[0] - grams[1])**2)


def read_sort(image_0, image_1):
  return read_local(np.sort(image_0, axis=0), np.sort(image_1, axis=0))


def read_correlation(image_0, image_1):
  embedded = []
  for image in (image_0, image_1):
    varying = image - image.mean(axis=0) if len(image) > 1 else image
    energy = np.sum(varying**2) + 1e-6 * np.sum(image**2)  # of which the last keeps flat maps calm
    embedded.append(varying / (np.sqrt(energy / len(image)) + EPSILON))
  return np.mean(np.sum((embedded[0] - embedded[1])**2, axis=1)) / 2


READINGS = {
    "local": read_local,
    "correlation": read_correlation,
    "mean_pool": read_mean_pool,
    "mean_pool_over_channels": lambda a, b: read_mean_pool(a, b) / a.shape[-1],
    "style": read_style,
    "sort": read_sort,
    "l2": lambda a, b: np.mean((a - b)**2),
}


def reading(name, features_0, features_1):
  """The distances [batch] float64 of features in any layout."""
  flat = [np.asarray(features, "float64").reshape(len(features), -1, features.shape[-1])
          for features in (features_0, features_1)]
  return np.array([sum(READINGS[term](*images) for term in name.split("+"))
                   for images in zip(*flat)])
