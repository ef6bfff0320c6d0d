"""One progress bar for every slow pass over data: count, rate and time left, on stderr."""

import sys

from tqdm import tqdm

LOG_SECONDS = 10.0  # between two lines where stderr is a log file rather than a terminal


def progress(items=None, *, description, total=None, initial=0, unit="image"):
  """Wraps `items` in a progress bar; without `items` returns a bar to `update()` by hand.

  Where an exception may leave the loop, use it in a `with`, which ends the bar's line.

  Args:
    items: an iterable, or None.
    description: what is being done, printed before the bar.
    total: the number of items; taken from `len(items)` where that is known.
    initial: how many of them an earlier run has already done.
    unit: the name of one item.
  """
  terminal = sys.stderr.isatty()
  return tqdm(
      items, desc=description, total=total, initial=initial, unit=f" {unit}", file=sys.stderr,
      dynamic_ncols=terminal, mininterval=0.2 if terminal else LOG_SECONDS)
