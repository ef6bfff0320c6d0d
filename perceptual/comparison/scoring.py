"""Metrics on decoded batches: one pass over the images for all of them."""

import collections

import numpy as np

from perceptual.comparison import batches
from perceptual.comparison.cache import Cache
from perceptual.errors import UserError


def labelled(sources, metrics):
  """Returns `{label: metric}`: a label is the metric's name, or else its source.

  Args:
    sources: what the metrics were loaded from, as the user wrote it.
    metrics: the metrics.

  Raises:
    UserError: if two of the sources are the same.
  """
  for source in sources:
    if sources.count(source) > 1:
      raise UserError(f"The metric {source} is given twice.")
  names = [metric.name for metric in metrics]
  return {name if names.count(name) == 1 else str(source): metric
          for name, source, metric in zip(names, sources, metrics)}


class Scorer:
  """Metrics applied to batches.

  Attributes:
    columns: names of the values of a pair: a metric's label and, with `per_tap`, `label/tap` for
      each of its taps, whose values sum to it.
  """

  def __init__(self, metrics, *, per_tap=False, reuse=False):
    """Makes a scorer.

    Args:
      metrics: `{label: metric}`.
      per_tap: whether a distance's terms by tap are wanted too, of metrics that have them.
      reuse: whether images come again in other pairs, so that what a network finds in one is worth
        keeping.
    """
    self._scorers, by_trunk = [], collections.defaultdict(dict)
    self.columns = ()
    for label, metric in metrics.items():
      terms = taps(metric) if per_tap else ()
      # To find the key, weights are hashed: not for a single metric that sees each image once.
      key = metric.trunk_key if reuse or len(metrics) > 1 else None
      self.columns += (label, *(f"{label}/{tap}" for tap in terms))
      if key is not None:
        by_trunk[key][label] = metric
      else:
        self._scorers.append((_PerTap if terms else _Whole)(label, metric))
    for sharing in by_trunk.values():
      if reuse:
        capacity = batches.FEATURE_CACHE_BYTES // len(by_trunk)
        self._scorers.append(_OnceAnImage(sharing, capacity, per_tap=per_tap))
      elif len(sharing) > 1:
        self._scorers.append(_OnceABatch(sharing, per_tap=per_tap))
      else:
        self._scorers += [(_PerTap if per_tap else _Whole)(*only) for only in sharing.items()]

  def __call__(self, images, files):
    """Returns the values of a batch, and what went wrong.

    Args:
      images: `batches.Images` of at least one pair.
      files: `[pairs, 2]`: by which indices its images are known, for reuse.

    Returns:
      `(values, failures)`: `[pairs, columns]` float64, NaN where a metric failed, and
      `[(position in the batch, reason)]`.
    """
    values = np.full((len(images.pairs), len(self.columns)), np.nan)
    failures = []
    for scorer in self._scorers:
      try:
        found = scorer(images, files)
      except UserError as error:
        failures += [(i, f"{', '.join(scorer.labels)}: {error}") for i in range(len(values))]
        continue
      for column, batch in found.items():
        batch = np.asarray(batch)[:len(values)]
        values[:, self.columns.index(column)] = batch
        failures += [(i, f"{column} is NaN")
                     for i in np.flatnonzero(np.isnan(batch))]
    return values, failures


def taps(metric):
  """Returns the names of a metric's taps; none for one without."""
  return tuple(metric.taps) if metric.has_taps else ()


class _Whole:
  """Calls one metric."""

  def __init__(self, label, metric):
    self.labels = (label,)
    self._metric = metric

  def __call__(self, images, files):
    return {self.labels[0]: self._metric(*images.padded())}


class _PerTap:
  """Calls one metric for its terms, and sums them."""

  def __init__(self, label, metric):
    self.labels = (label,)
    self._metric = metric

  def __call__(self, images, files):
    label, = self.labels
    found = self._metric.per_tap(*images.padded())
    terms = {f"{label}/{tap}": np.asarray(found[tap]) for tap in taps(self._metric)}
    return {label: sum(terms.values()), **terms}


class _OnceABatch:
  """Several metrics of one trunk, which sees each batch once."""

  def __init__(self, metrics, *, per_tap):
    self.labels = tuple(metrics)
    first = next(iter(metrics.values()))
    self._features = first.features
    self._values = first.joined(metrics, per_tap=per_tap)

  def __call__(self, images, files):
    both = self._features(np.concatenate(images.padded()))
    reference = {tap: values[:images.room] for tap, values in both.items()}
    candidate = {tap: values[images.room:] for tap, values in both.items()}
    return self._values(reference, candidate)


class _OnceAnImage:
  """Metrics of one trunk, which sees each image once, as long as memory allows."""

  def __init__(self, metrics, capacity, *, per_tap):
    self.labels = tuple(metrics)
    first = next(iter(metrics.values()))
    self._network = first.features
    self._values = first.joined(metrics, per_tap=per_tap)
    self._cache = Cache(capacity)

  def __call__(self, images, files):
    pixels = {}
    for (reference, candidate), *pair in zip(files, images.reference, images.candidate):
      pixels[reference], pixels[candidate] = pair
    features = self._features(pixels)
    reference, candidate = (_stacked([features[file] for file in side], images.room)
                            for side in files.T)
    return self._values(reference, candidate)

  def _features(self, pixels):
    """Returns `{file: {tap: features}}`: kept from earlier, or else found now."""
    found = {file: self._cache.get(file) for file in pixels}
    missing = [file for file, features in found.items() if features is None]
    if missing:
      batch = batches.pad(np.stack([pixels[file] for file in missing]),
                          batches.next_power_of_two(len(missing)))
      made = self._network(batch)
      made = {tap: np.asarray(values) for tap, values in made.items()}
      for i, file in enumerate(missing):
        # Copies, since a view would keep the whole batch in memory.
        found[file] = {tap: values[i].copy() for tap, values in made.items()}
        self._cache.put(file, found[file], sum(values.nbytes for values in found[file].values()))
    return found


def _stacked(features, room):
  return {tap: batches.pad(np.stack([each[tap] for each in features]), room)
          for tap in features[0]}
