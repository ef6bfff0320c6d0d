"""A whole comparison: inspect the files, batch the pairs, decode ahead, score, keep a journal."""

import contextlib
import dataclasses
import warnings

import numpy as np

from perceptual.common import precision
from perceptual.common.progress import progress
from perceptual.comparison import batches, headers, journal
from perceptual.comparison.pairing import Pairing, Skipped
from perceptual.comparison.scoring import Scorer
from perceptual.data.images.decoding import UnreadableImage
from perceptual.errors import UserError

_SHOWN_FROM = 20  # pairs: fewer are over at once


@dataclasses.dataclass(frozen=True)
class InspectedPairs:
  """A pairing whose files have been inspected.

  Attributes:
    pairing: `Pairing`.
    headers: of each of its files a `headers.Header`, or the error that reading it raised.
    comparable: `[pairs]` indices of the pairs of two images of one size.
    refused: `{pair: reason}` of the others.
  """

  pairing: Pairing
  headers: list
  comparable: np.ndarray
  refused: dict

  def skipped(self):
    """Returns what is in no pair or cannot be compared, a tuple of `Skipped`."""
    return _skipped(self.pairing, self.refused)


@dataclasses.dataclass(frozen=True)
class Comparison:
  """The result of a comparison.

  Attributes:
    pairing: what was compared.
    headers: of each of its files a `headers.Header`, or the error that reading it raised.
    fingerprints: `{label: fingerprint}` of the metrics, as plain data.
    lower_is_better: `{label: bool}`.
    columns: names of the values of a pair: the labels and, where terms by tap were asked for,
      `label/tap`.
    values: `[pairs, columns]` float64; NaN where there is none, for a reason that is in `skipped`.
    skipped: everything that was asked for and has no value.
    kept: how many pairs' values come from an earlier run.
  """

  pairing: Pairing
  headers: list
  fingerprints: dict
  lower_is_better: dict
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


def inspect(pairing):
  """Opens the files of a `Pairing`, and decodes none.

  Returns:
    A `InspectedPairs`.

  Raises:
    UserError: if a pair of an explicit `Pairing` cannot be compared.
  """
  inspected = headers.read_all(
      pairing.files, bit_depth=pairing.bit_depth, view=pairing.view)
  refused = {}
  for pair, (reference, candidate) in enumerate(pairing.pairs):
    reason = _refusal(pairing.names(pair), inspected[reference], inspected[candidate])
    if reason:
      _refuse(pairing, refused, pair, reason)
  comparable = np.setdiff1d(np.arange(len(pairing.pairs)), list(refused))
  return InspectedPairs(pairing, inspected, comparable, refused)


def compare(inspected, metrics, *, output_dir=None, batch_size=None, per_tap=False, decoder=None):
  """Compares pairs of image files.

  Args:
    inspected: `inspect(pairing)`.
    metrics: `{label: metric}`, at least one; see `perceptual.comparison` for what a metric is.
    output_dir: a folder for the journal, from which the same call goes on after a kill; None for no
      journal.
    batch_size: pairs in a call of a metric; None for what suits the images' size.
    per_tap: whether the terms of each tap are wanted, of metrics that have them.
    decoder: as `batches.read` takes it.

  Returns:
    A `Comparison`. Pairs that cannot be compared are skipped, with a reason.

  Raises:
    UserError: if a pair of an explicit `Pairing` cannot be compared, or the journal cannot be
      written or is one of other metrics.
  """
  pairing, pairs = inspected.pairing, inspected.comparable
  scorer = Scorer(metrics, per_tap=per_tap, reuse=batches.shares_images(pairing))
  fingerprints = {label: metric.fingerprint for label, metric in metrics.items()}
  values = np.full((len(pairing.pairs), len(scorer.columns)), np.nan)
  refused = dict(inspected.refused)
  with contextlib.ExitStack() as stack:
    book = None
    if output_dir is not None:
      book = stack.enter_context(journal.Journal(
          output_dir, columns=scorer.columns, fingerprints=fingerprints))
      _resume(book, inspected, values)
    todo = pairs[np.isnan(values[pairs]).any(axis=1)]
    kept = len(pairs) - len(todo)
    bar = stack.enter_context(progress(
        description="comparing", total=len(pairs), initial=kept, unit="pair",
        silent=len(pairs) < _SHOWN_FROM))
    found = batches.batches(pairing, inspected.headers, todo, batch_size=batch_size)
    for images in batches.read(pairing, found, decoder):
      for pair, reason in _score(images, scorer, pairing, values):
        _refuse(pairing, refused, pair, reason)
      if book:
        whole = images.pairs[~np.isnan(values[images.pairs]).any(axis=1)]
        book.record(pairing, inspected.headers, whole, values[whole])
      bar.update(len(images.pairs) + len(images.unreadable))
  return Comparison(
      pairing=pairing, headers=inspected.headers, fingerprints=fingerprints,
      lower_is_better={label: metric.lower_is_better for label, metric in metrics.items()},
      columns=scorer.columns, values=values, skipped=_skipped(pairing, refused), kept=kept)


def _refusal(names, reference, candidate):
  """Returns why two files cannot be compared, or None."""
  unreadable = dict.fromkeys(
      str(header) for header in (reference, candidate) if isinstance(header, UnreadableImage))
  if unreadable:
    return "; ".join(unreadable)
  if reference.size != candidate.size:
    return (f"{names[1]} is {_pixels(candidate)} pixels and {names[0]} {_pixels(reference)}; "
            "images to compare must have one size")
  return None


def _refuse(pairing, refused, pair, reason):
  """Notes why a pair has no value; that is an error where the user named the pair."""
  if pairing.explicit:
    raise UserError(f"{reason.rstrip('.')}.")
  refused[pair] = "; ".join(filter(None, [refused.get(pair), reason]))


def _skipped(pairing, refused):
  """Returns files without partner, then the refused pairs in their order."""
  return (*pairing.skipped, *(
      Skipped(*pairing.names(pair), reason) for pair, reason in sorted(refused.items())))


def _resume(book, inspected, values):
  """Fills in the values that an earlier run has found."""
  found, changed = book.load(inspected.pairing, inspected.headers)
  for pair, row in found.items():
    values[pair] = row
  if changed:
    warnings.warn(f"{changed} of the pairs in {book.path} are compared again, since their files "
                  "or the sizes at which they are compared have changed.", stacklevel=3)


def _score(images, scorer, pairing, values):
  """Fills in the values of one batch; returns `[(pair, reason)]` of what has none."""
  if not len(images.pairs):
    return images.unreadable
  with precision.full_float32():
    found, failures = scorer(images, pairing.pairs[images.pairs])
  for pair, row in zip(images.pairs, found):
    values[pair] = [float(journal.plain(value)) for value in row]
  return [*images.unreadable, *((images.pairs[place], reason) for place, reason in failures)]


def _pixels(header):
  height, width = header.size
  return f"{width}x{height}"
