"""A whole comparison: look at the files, batch the pairs, decode ahead, score, keep a journal."""

import contextlib
import dataclasses
import warnings

import numpy as np

from perceptual.comparing import batches, headers, journal
from perceptual.comparing.pairing import Pairing, Skipped
from perceptual.comparing.scoring import Scorer
from perceptual.data.image_files import UnreadableImage
from perceptual.data.progress import progress
from perceptual.errors import UserError


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The result of a comparison.

  Attributes:
    pairing: what was compared.
    headers: of each of its files a `headers.Header`, or the error that reading it raised.
    fingerprints: `{label: fingerprint}` of the metrics, as plain data.
    lower_is_closer: `{label: bool}`.
    columns: names of the values of a pair: the labels and, where terms by tap were asked for,
      `label/tap`.
    values: `[pairs, columns]` float64; NaN where there is none, for a reason that is in `skipped`.
    skipped: everything that was asked for and has no value.
    kept: how many pairs' values come from an earlier run.
  """

  pairing: Pairing
  headers: list
  fingerprints: dict
  lower_is_closer: dict
  columns: tuple[str, ...]
  values: np.ndarray
  skipped: tuple[Skipped, ...]
  kept: int = 0

  def of(self, column):
    """Returns the values of one column, `[pairs]` float64."""
    return self.values[:, self.columns.index(column)]

  def compared(self):
    """Returns the indices of the pairs that have at least one value."""
    return np.flatnonzero(~np.isnan(self.values).all(axis=1))


def compare(pairing, metrics, *, output_dir=None, batch_size=None, per_tap=False):
  """Compares pairs of image files.

  Args:
    pairing: `Pairing`.
    metrics: `{label: metric}`, at least one; see `perceptual.comparing` for what a metric is.
    output_dir: a folder for the journal, from which the same call goes on after a kill; None for no
      journal.
    batch_size: pairs in a call of a metric; None for what suits the images' size.
    per_tap: whether the terms of each tap are wanted, of metrics that have them.

  Returns:
    A `Comparison`. Pairs that cannot be compared are skipped, with a reason.

  Raises:
    UserError: if a pair of an explicit `Pairing` cannot be compared, or the journal cannot be
      written or is one of other metrics.
  """
  looked = headers.read_all(pairing.files)
  skips = _Skips(pairing)
  pairs = np.array(list(_comparable(pairing, looked, skips)), int)
  scorer = Scorer(metrics, per_tap=per_tap, reuse=batches.shares_images(pairing))
  fingerprints = {label: metric.fingerprint for label, metric in metrics.items()}
  values = np.full((len(pairing.pairs), len(scorer.columns)), np.nan)
  with contextlib.ExitStack() as stack:
    book = None
    if output_dir is not None:
      book = stack.enter_context(journal.Journal(
          output_dir, columns=scorer.columns, fingerprints=fingerprints))
      _resume(book, pairing, looked, values)
    kept = np.count_nonzero(~np.isnan(values[pairs]).all(axis=1))
    todo = pairs[np.isnan(values[pairs]).any(axis=1)]
    found = batches.batches(pairing, looked, todo, batch_size=batch_size)
    bar = stack.enter_context(progress(
        description="comparing", total=len(pairs), initial=len(pairs) - len(todo), unit="pair"))
    for images in batches.read(pairing, found):
      _score(images, scorer, pairing, values=values, skips=skips)
      if book:
        whole = images.pairs[~np.isnan(values[images.pairs]).any(axis=1)]
        book.record(pairing, looked, whole, values[whole])
      bar.update(len(images.pairs) + len(images.unreadable))
  return Comparison(
      pairing=pairing, headers=looked, fingerprints=fingerprints,
      lower_is_closer={label: metric.lower_is_closer for label, metric in metrics.items()},
      columns=scorer.columns, values=values, skipped=skips.all(), kept=int(kept))


class _Skips:
  """Collects what is skipped; of an explicit pairing, the first is an error."""

  def __init__(self, pairing):
    self._pairing = pairing
    self._found = []

  def add(self, pair, reason):
    if self._pairing.explicit:
      raise UserError(f"{reason.rstrip('.')}.")
    self._found.append((pair, reason))

  def all(self):
    """Returns files without partner, then pairs in their order."""
    pairs = [Skipped(*self._pairing.names(pair), reason)
             for pair, reason in sorted(self._found, key=lambda found: found[0])]
    return (*self._pairing.skipped, *pairs)


def _comparable(pairing, looked, skips):
  """Yields the pairs of two images of one size."""
  for pair, files in enumerate(pairing.pairs):
    reference, candidate = (looked[file] for file in files)
    unreadable = [header for header in (reference, candidate)
                  if isinstance(header, UnreadableImage)]
    if unreadable:
      skips.add(pair, "; ".join(map(str, dict.fromkeys(unreadable))))
    elif reference.size != candidate.size:
      names = pairing.names(pair)
      skips.add(pair, f"{names[1]} is {_pixels(candidate)} pixels and {names[0]} "
                      f"{_pixels(reference)}; images to compare must have one size")
    else:
      yield pair


def _resume(book, pairing, looked, values):
  """Fills in the values that an earlier run has found."""
  found, changed = book.load(pairing, looked)
  for pair, row in found.items():
    values[pair] = row
  if changed:
    warnings.warn(f"{changed} of the pairs in {book.path} are compared again, since their files "
                  "have changed.", stacklevel=3)


def _score(images, scorer, pairing, *, values, skips):
  """Fills in the values of one batch."""
  for pair, reason in images.unreadable:
    skips.add(pair, reason)
  if not len(images.pairs):
    return
  found, failures = scorer(images, pairing.pairs[images.pairs])
  for position, reason in failures:
    skips.add(images.pairs[position], reason)
  for pair, row in zip(images.pairs, found):
    values[pair] = [float(journal.plain(value)) for value in row]


def _pixels(header):
  height, width = header.size
  return f"{width}x{height}"
