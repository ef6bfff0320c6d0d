"""A classical metric in users' hands: the contract of every metric, kept by an `Index`."""

from perceptual.metrics import base
from perceptual.metrics.versions import versions
from perceptual.models import preprocessing


class ClassicalMetric(base.Metric):
  """A metric without a network: mse, PSNR, SSIM, MS-SSIM, FSIM or FSIMc.

  It keeps the contract of `base.Metric`. Its map, if it has one, is in the metric's own direction:
  where images are alike, that of `ssim` is high and that of `mse` is low.

  Attributes:
    index: its definition, an `Index`.
  """

  def __init__(self, index, float_range):
    super().__init__(
        index.name, options=index.options, lower_is_better=index.lower_is_better,
        preprocess=preprocessing.Preprocessing(float_range=tuple(float_range)))
    self.index = index
    self.has_map = index.spatial_map is not None
    self.required_side = index.smallest_side
    self.size_note = index.size_note

  @property
  def fingerprint(self):
    """What makes this metric this metric, as plain data for JSON."""
    return {
        "name": self.name,
        "options": self.options,
        "lower_is_better": self.lower_is_better,
        "preprocessing": {
            "uint8_range": list(preprocessing.UINT8_RANGE),
            "float_range": list(self.preprocessing.float_range),
        },
        "versions": versions(),
    }

  def _values(self, reference, candidate):
    return self.index.between(*map(self._embedded, (reference, candidate)))

  def _distances(self, reference, *candidates):
    embedded = self._embedded(reference)
    sign = 1.0 if self.lower_is_better else -1.0
    return tuple(sign * self.index.between(embedded, self._embedded(candidate))
                 for candidate in candidates)

  def _map(self, reference, candidate):
    return self.index.spatial_map(*map(self._embedded, (reference, candidate)))

  def _embedded(self, images):
    return self.index.embed(self.preprocessing.unit_range(images))
