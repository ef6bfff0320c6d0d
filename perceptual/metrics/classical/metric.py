"""A classical metric in users' hands: checked input, one value a pair, a fingerprint."""

import importlib

import keras
from keras import ops

from perceptual.errors import UserError
from perceptual.models import preprocessing
from perceptual.version import __version__


class ClassicalMetric:
  """A metric without a network, used as `feature_metric.FeatureMetric` is.

  Images are `[batch, height, width, 3]`, uint8 (0 to 255) or float in the declared range. Their
  values are checked where they are known: not while a graph is traced.

  Attributes:
    name: `l2`, `psnr`, `ssim`, `ms-ssim`, `fsim` or `fsimc`.
    network: the same, for those who ask any metric for it.
    options: the options it was built with.
    lower_is_better: True for a distance, False for a similarity.
    index: its definition, an `Index`.
    preprocessing: `preprocessing.Preprocessing` with the declared range.
  """

  def __init__(self, index, float_range):
    self.name = self.network = index.name
    self.options = dict(index.options)
    self.lower_is_better = index.lower_is_better
    self.index = index
    self.preprocessing = preprocessing.Preprocessing(float_range=float_range)

  def __call__(self, reference, candidate):
    """Returns the metric of each pair, `[batch]` float32, in its own unit and direction.

    Raises:
      UserError: not images of one shape and dtype in the declared range, or too small ones.
    """
    return self.index.between(*self._embed(reference, candidate=candidate))

  def two_afc(self, reference, candidate_0, candidate_1):
    """Returns both candidates' distances, each `[batch]` float32, for `scores`.

    Lower is better here for every metric: the values of a similarity come with their sign changed.
    The reference is embedded once.

    Raises:
      UserError: see `__call__`.
    """
    embedded, *candidates = self._embed(
        reference, candidate_0=candidate_0, candidate_1=candidate_1)
    sign = 1.0 if self.lower_is_better else -1.0
    return tuple(sign * self.index.between(embedded, candidate) for candidate in candidates)

  def spatial_map(self, reference, candidate):
    """Returns the metric at each pixel, `[batch, height, width]` float32.

    `l2` and `ssim` have such a map: the squared difference, and the index of the window about the
    pixel. It is in the metric's own direction: where images are alike, that of `ssim` is high.

    Raises:
      UserError: the metric has no map; or see `__call__`.
    """
    if self.index.spatial_map is None:
      raise UserError(f"{self.name} has no spatial map; l2 and ssim have one.")
    return self.index.spatial_map(*self._embed(reference, candidate=candidate))

  @property
  def fingerprint(self):
    """What makes this metric this metric, as plain data for JSON."""
    backend = keras.backend.backend()
    return {
        "network": self.name,
        "options": self.options,
        "lower_is_better": self.lower_is_better,
        "preprocessing": {
            "uint8_range": list(preprocessing.UINT8_RANGE),
            "float_range": list(self.preprocessing.float_range),
        },
        "versions": {"perceptual": __version__, "keras": keras.version(),
                     backend: importlib.import_module(backend).__version__},
    }

  def _embed(self, reference, **candidates):
    """Returns the embeddings of a reference and of candidates by their names for errors."""
    images = {name: ops.convert_to_tensor(image)
              for name, image in {"reference": reference, **candidates}.items()}
    for name, image in images.items():
      self.preprocessing.check(image, name)
      preprocessing.check_pair(images["reference"], image)
      self._check_size(image, name)
    return [self.index.embed(self.preprocessing.unit_range(image)) for image in images.values()]

  def _check_size(self, images, name):
    height, width = images.shape[1:3]
    least = self.index.smallest_side
    if any(side is not None and side < least for side in (height, width)):
      raise UserError(f"{name} has {width}x{height} pixels; {self.name} needs at least {least} "
                      f"a side{self.index.size_note}.")
