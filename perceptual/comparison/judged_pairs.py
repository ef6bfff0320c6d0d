"""The distances of metrics on a judged set of images of any size, on any backend.

Every image of the set is decoded a bounded number of times, pairs of one size go through a metric
together, metrics of one network share its features, and a killed run goes on: it is the comparison
of files that `run` makes, of the pairs that the judgements ask for.
"""

import numpy as np

from perceptual.comparison import batches, run
from perceptual.comparison.pairing import Pairing
from perceptual.data.images.view import WHOLE


class JudgedPairs:
  """The pairs of images that a judged set asks for, read once for any number of measurements.

  Files are verified when this is made. Images stay decoded from one measurement to the next, those
  used last, within the bytes that `batches` allows.
  """

  def __init__(self, judged, view=WHOLE):
    """Verifies the files.

    Args:
      judged: `data.judged.prepared.PreparedJudgements`.
      view: the `view.View` in which images are compared.

    Raises:
      UserError: an image is missing, has changed or is too small for the view.
    """
    judged.verify()
    self._candidates = judged.examples[:, 1:].shape
    sides = np.stack([np.repeat(judged.examples[:, :1], self._candidates[1], axis=1),
                      judged.examples[:, 1:]], axis=-1)
    pairs, self._example_of = np.unique(sides.reshape(-1, 2), axis=0, return_inverse=True)
    pairing = Pairing(
        about=f"judged/{judged.name}", files=tuple(
            judged.directory / image.file for image in judged.images),
        pairs=pairs.astype(np.int32), explicit=True, view=view)
    self._inspected = run.inspect(pairing)
    self._decoder = batches.keeping_decoder(pairing)

  def measure(self, metrics, *, per_tap=False, output_dir=None, batch_size=None):
    """Returns the distances of metrics. Arguments, result and errors: as of `measure`."""
    found = run.compare(self._inspected, metrics, output_dir=output_dir, batch_size=batch_size,
                        per_tap=per_tap, decoder=self._decoder)
    similarities = {label for label, lower in found.lower_is_better.items() if not lower}
    return {column: (-1.0 if column in similarities else 1.0)
            * found.of(column)[self._example_of.reshape(self._candidates)]
            for column in found.columns}


def measure(judged, metrics, *, view=WHOLE, per_tap=False, output_dir=None, batch_size=None):
  """Returns the distances of metrics on a judged set.

  Args:
    judged: `data.judged.prepared.PreparedJudgements`.
    metrics: `{label: metric}`, as `run.compare` takes them.
    view: the `view.View` in which images are compared.
    per_tap: whether the terms of each tap are wanted, of metrics that have them.
    output_dir: a folder for the journal from which a killed run goes on; None for none.
    batch_size: pairs in a call of a metric; None for what suits the images' size.

  Returns:
    `{label: [examples, candidates] float64}`, with `per_tap` `{label/tap: ...}` too; lower is
    better for every metric: the values of a similarity come with their sign changed.

  Raises:
    UserError: an image is missing, has changed or is too small for a metric.
  """
  return JudgedPairs(judged, view).measure(
      metrics, per_tap=per_tap, output_dir=output_dir, batch_size=batch_size)
