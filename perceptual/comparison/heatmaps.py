"""Where two images differ, by a metric that has a map: the map in colours over the candidate.

All pictures of a run and a metric have one scale, from 0, where the images are alike to the metric,
to the highest value among the maps of the pairs that are farthest apart. Higher values, if there
are any elsewhere, look like that one. For similarities such as SSIM, the map shows 1 - SSIM.
"""

import pathlib
import re
from typing import NamedTuple

import matplotlib
import numpy as np

from perceptual.common import files, in_order
from perceptual.common.progress import progress
from perceptual.comparison import batches, ranking, result_files
from perceptual.data.images import depth, image_files
from perceptual.errors import UserError

FOLDER = "heatmaps"
COLOURS = matplotlib.colormaps["inferno"]
_OPACITY = 0.7  # of the colours over the candidate in grey
_SCALE_PAIRS = 16
_AHEAD = 4  # pictures on their way to the disk


class Mapped(NamedTuple):
  """A pair and where it differs.

  Attributes:
    pair: its index.
    reference: `[height, width, 3]` uint8.
    candidate: the same.
    maps: `{label: [height, width] float32}`, 0 where the images are alike.
  """

  pair: int
  reference: np.ndarray
  candidate: np.ndarray
  maps: dict


class Maps:
  """The maps of a comparison.

  Attributes:
    tops: `{label: the value at the upper end of the colours}`, for metrics that have maps.
    without: `{label: why}` of the others.
  """

  def __init__(self, comparison, metrics, *, batch_size=None):
    """Finds the scales.

    Args:
      comparison: `run.Comparison`.
      metrics: `{label: metric}`, those of the comparison.
      batch_size: pairs in a call of a metric; None for what suits the images' size.
    """
    self._comparison = comparison
    self._metrics = metrics
    self._batch_size = batch_size
    self.tops, self.without = {}, {}
    for label in metrics:
      try:
        self.tops[label] = self._top(label)
      except UserError as error:
        self.without[label] = str(error)

  def of(self, pairs, labels=None):
    """Yields the `Mapped` of pairs, not in their order; what cannot be read any more is left out.

    Args:
      pairs: indices of compared pairs.
      labels: of which metrics; None for all that have maps.
    """
    labels = self.tops if labels is None else labels
    pairing = self._comparison.pairing
    found = batches.batches(pairing, self._comparison.headers, pairs, batch_size=self._batch_size)
    for images in batches.read(pairing, found):
      maps = {label: self._map(label, images) for label in labels
              if not np.isnan(self._comparison.of(label)[images.pairs]).any()}
      for i, pair in enumerate(images.pairs):
        yield Mapped(int(pair), depth.to_uint8(images.reference[i]),
                     depth.to_uint8(images.candidate[i]),
                     {label: values[i] for label, values in maps.items()})

  def _top(self, label):
    if not self._metrics[label].has_map:
      raise UserError(f"{label} has no map of differences")
    farthest = ranking.farthest_first(self._comparison, label)[:_SCALE_PAIRS]
    top = max((mapped.maps[label].max() for mapped in self.of(farthest, [label])), default=0.0)
    return float(top) or 1.0  # any scale will do where all images are alike

  def _map(self, label, images):
    metric = self._metrics[label]
    reference, candidate = images.padded()
    values = np.asarray(metric.spatial_map(reference, candidate))
    if not metric.lower_is_better:
      values = np.asarray(metric.spatial_map(reference, reference)) - values
    return values[:len(images.pairs)]


def draw(comparison, maps, output_dir):
  """Writes a picture of each compared pair and metric: `heatmaps/METRIC/000012_NAME.png`.

  The number is that of the line in results.csv, counted from 1. Earlier pictures stay, unless they
  have the same name.

  Args:
    comparison: `run.Comparison`.
    maps: `Maps` of it.
    output_dir: a folder.

  Returns:
    `{label: {pair: path below the folder}}`.

  Raises:
    UserError: if no metric has a map, or a picture cannot be written.
  """
  if not maps.tops:
    raise UserError(f"No heat maps: {'; '.join(maps.without.values())}.")
  folder = files.place(output_dir)
  pairs = comparison.compared()
  paths = dict(_paths(comparison, pairs))
  drawn = {label: {} for label in maps.tops}

  def write(mapped):
    for label, values in mapped.maps.items():
      path = pathlib.PurePosixPath(FOLDER, _safe(label), paths[mapped.pair])
      picture = over(mapped.candidate, values, maps.tops[label])
      with files.beside(folder / path) as temporary:
        temporary.write_bytes(image_files.encode_png(picture))
      drawn[label][mapped.pair] = str(path)

  with result_files.writing(folder), progress(
      in_order.map_in_order(write, maps.of(pairs), ahead=_AHEAD), description="drawing heat maps",
      total=len(pairs), unit="pair") as bar:
    for _ in bar:
      pass
  return drawn


def over(candidate, values, top):
  """Returns a map in colours over an image.

  Args:
    candidate: `[height, width, 3]` uint8.
    values: `[height, width]`, 0 to `top`; what is higher looks like `top`.
    top: a positive number.

  Returns:
    `[height, width, 3]` uint8.
  """
  colours = COLOURS(np.clip(values / top, 0, 1), bytes=True)[..., :3]
  grey = candidate.mean(axis=-1, keepdims=True, dtype=np.float32)
  return np.round(_OPACITY * np.float32(colours) + (1 - _OPACITY) * grey).astype(np.uint8)


def _paths(comparison, pairs):
  for line, pair in enumerate(pairs, 1):
    stem = pathlib.PurePath(comparison.pairing.names(pair)[1]).stem
    yield pair, f"{line:06d}_{_safe(stem)}.png"


def _safe(name):
  """Returns a name fit for a file on any system."""
  return re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII)[-60:].lstrip(".") or "_"
