"""What the layouts of public sets share: finding images, refusing other releases, counting."""

import warnings

from perceptual.data.judged.judgements import counted, listed
from perceptual.errors import UserError


def image(files, base, where):
  """Returns the relative name of the one image called `base`, wherever it lies.

  Raises:
    UserError: there is none, or several.
  """
  found = files.images_called(base)
  if len(found) != 1:
    raise UserError(f"{where} names {base}, of which {files.path} holds {len(found) or 'none'}"
                    f"{': ' + listed(found) if found else ''}; one is needed.")
  return found[0]


def other_release(layout, where, difference):
  """Returns the `UserError` of labels that are not as published."""
  return UserError(f"{where} is not that of {layout}: {difference}. Is it of another release?")


def require_range(layout, where, value, low, high):
  """Raises unless a score is in the published range."""
  if not low <= value <= high:
    raise other_release(layout, where, f"a score of {value:g}, published are {low:g} to {high:g}")


def require_columns(layout, name, there, wanted):
  """Raises unless a table has the published columns."""
  lacking = [column for column in wanted if column not in there]
  if lacking:
    raise other_release(layout, name, f"no column {', '.join(lacking)} among {', '.join(there)}")


def require_all_labelled(layout, table, images, labelled):
  """Raises where images of the set have no label."""
  without = sorted(set(images) - set(labelled))
  if without:
    raise other_release(
        layout, table, f"{counted(len(without), 'images')} without a score ({listed(without)})")


def warn_of_counts(layout, rows, published):
  """Warns where there are not as many judgements, or references, as published."""
  counts = (len(rows), len({row.images[0] for row in rows}))
  if any(count != expected for count, expected in zip(counts, published)):
    of_references = f" of {published[1]}" if len(published) > 1 else ""
    warnings.warn(
        f"{layout}: {counts[0]:,} judgements of {counts[1]:,} references; published are "
        f"{published[0]:,}{of_references}: scores are not comparable with published ones.",
        stacklevel=3)
