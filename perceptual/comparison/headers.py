"""What the header of an image file says before its pixels are decoded."""

from typing import NamedTuple

from perceptual.common import in_order
from perceptual.common.progress import progress
from perceptual.comparison.pairing import printable
from perceptual.data.images import decoding, loading
from perceptual.data.images.decoding import UnreadableImage
from perceptual.data.images.view import WHOLE
from perceptual.errors import UserError

_PROGRESS_FROM = 1000  # files: fewer take less than a second


class Header(NamedTuple):
  """The head of an image file.

  Attributes:
    size: height and width in pixels, upright, after the view.
    notes: what is altered on the way to the metric, for instance `first of 12 frames`.
    stamp: size in bytes, time of the last change in nanoseconds and, where they matter, the bit
      depth and the view that the user gave: another file, or one read in another way, has another
      stamp.
    deep: whether it is read as float, since it has more than 8 bits.
  """

  size: tuple[int, int]
  notes: tuple[str, ...]
  stamp: tuple[int, ...]
  deep: bool = False


def read(path, *, bit_depth=None, view=WHOLE):
  """Returns the `Header` of a file.

  Args:
    path: of the file.
    bit_depth: see `loading.load_image`.
    view: a `view.View`.

  Raises:
    UnreadableImage: if it is not an image, cannot be opened, or is too small for the view.
  """
  name = printable(path)
  with loading.opened(path, name) as stream:
    stamp = loading.stamp(path, stream)
    head = decoding.read_head(stream, name)
  given = (bit_depth,) if bit_depth is not None and head.depth.may_be_less else ()
  try:
    size = view.size_of(head.size)
  except UserError as error:
    raise UnreadableImage(name, str(error)) from None
  viewed = () if view == WHOLE else view.stamp
  return Header(
      size=size, notes=(*head.notes, *(f"read as {bits} bits" for bits in given)),
      stamp=(*stamp, *given, *viewed), deep=head.depth.kept)


def read_all(paths, *, bit_depth=None, view=WHOLE):
  """Returns for each path its `Header`, or the `UnreadableImage` that reading it raised."""

  def read_or_error(path):
    try:
      return read(path, bit_depth=bit_depth, view=view)
    except UnreadableImage as error:
      return error

  found = in_order.map_in_order(read_or_error, paths)
  if len(paths) < _PROGRESS_FROM:
    return list(found)
  with progress(found, description="looking at files", total=len(paths), unit="file") as bar:
    return list(bar)
