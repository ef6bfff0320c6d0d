"""Image files of a folder or a tar archive: their names, their bytes, their pixels.

Names are relative, with forward slashes: `train/n01443537/n01443537_0.JPEG`. Hidden files and
folders (`.DS_Store`, `__MACOSX`) are skipped.
"""

import dataclasses
import functools
import io
import pathlib
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image

from perceptual.common.files import expanded
from perceptual.common.progress import plural, progress
from perceptual.data.images import archives, decoding, depth, folders, loading
from perceptual.data.images.decoding import UnreadableImage
from perceptual.data.images.formats import SUFFIXES, is_image_name
from perceptual.errors import UserError

__all__ = ("SUFFIXES", "ImageFile", "UnreadableImage", "decode", "encode_png", "image_files",
           "is_image_name", "list_files")


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """One image file.

  Attributes:
    name: its relative name.
    read: returns its bytes; raises `OSError` or `UnreadableImage` if they cannot be read.
  """

  name: str
  read: Callable[[], bytes]

  def decode(self):
    """Returns the pixels as the function `decode` does; raises `UnreadableImage`."""
    return self.decode_with_notes()[0]

  def decode_with_notes(self):
    """Returns the pixels and the notes, as `decode_with_notes` does; raises `UnreadableImage`."""
    try:
      data = self.read()
    except OSError as error:
      raise UnreadableImage(self.name, error.strerror or str(error)) from error
    return decode_with_notes(data, self.name)


def decode(data, name):
  """Decodes an image for a data set, which holds 8 bits: deeper ones are rounded, with a warning.

  Args:
    data: the bytes of a file.
    name: its name, for the error.

  Returns:
    `[height, width, 3]` uint8, a new array, as `decoding.decode` gives it.

  Raises:
    UnreadableImage: if it does not decode.
  """
  return decode_with_notes(data, name)[0]


def decode_with_notes(data, name):
  """Returns `(pixels, notes)`: what `decode` does, and a tuple of what was altered."""
  pixels, head = decoding.decode_with_head(data, name)
  if pixels.dtype == np.uint8:
    return pixels, head.notes
  warnings.warn("images of more than 8 bits are rounded to 8, which is what data sets hold",
                stacklevel=2)
  return depth.to_uint8(pixels), (*head.notes, f"{head.depth.bits} bits rounded to 8")


def altered_lines(altered):
  """Returns a line for each kind of change, the most frequent first.

  Args:
    altered: note -> number of images.
  """
  return [f"altered on reading, {plural(count, 'image')}: {note}"
          for note, count in sorted(altered.items(), key=lambda item: (-item[1], item[0]))]


def list_files(source, *, keep=()):
  """Lists every file of a folder (sorted by name) or tar archive (in its own order).

  Args:
    source: a folder or a tar archive. An archive is verified to its end.
    keep: file names, without folders, whose bytes are wanted as well.

  Returns:
    `(sizes, contents)`: `{name: size in bytes}` of all files, in the order in which `image_files`
    gives them, and `{name: bytes}` of those called as one of `keep`.

  Raises:
    UserError: if `source` is neither, is a damaged or truncated archive, or holds two files of
      one name, or one of `keep` that cannot be read.
  """
  sizes, contents = {}, {}
  with progress(_files(source), description="listing", unit="file") as bar:
    for name, size, read in bar:
      if name in sizes:
        raise UserError(f"{source} holds {name} twice.")
      sizes[name] = size
      if pathlib.PurePosixPath(name).name in keep:
        try:
          contents[name] = read()
        except OSError as error:
          raise UserError(f"{source}: {name}: {error.strerror or error}.") from error
  return sizes, contents


def image_files(source):
  """Yields the `ImageFile`s of a folder (sorted by name) or a tar archive (in its own order).

  Raises:
    UserError: if `source` is neither, or is a damaged or truncated archive.
  """
  is_folder = expanded(source).is_dir()
  for name, _, read in _files(source):
    if is_image_name(name):
      # An archive is a stream: bytes not read at once are lost.
      yield ImageFile(name, read if is_folder else _once(read))


def _once(read):
  """Reads now; returns a function that gives the bytes, or raises the error, later."""
  try:
    data = read()
  except OSError as error:
    return functools.partial(_raise, error)
  return lambda: data


def _raise(error):
  raise error


def _files(source):
  """Yields `(name, size, read)` of every file that is not hidden."""
  source = expanded(source)
  if source.is_dir():
    return _folder_files(source)
  if not source.exists():
    raise UserError(f"No such folder or archive: {source}.")
  if not archives.is_archive_name(source):
    raise UserError(
        f"{source} is neither a folder nor an archive ({', '.join(archives.SUFFIXES)}).")
  return (file for file in archives.members(source) if not folders.is_hidden(file[0]))


def _folder_files(folder):
  for name, path in folders.files(folder):
    # A dangling link has no size; reading it gives the error that is to be reported.
    size = path.stat().st_size if path.exists() else 0
    yield name, size, functools.partial(loading.read_bytes, path, name)


def encode_png(image):
  """Returns `[height, width, 3]` uint8 as the bytes of a PNG file, which keeps every pixel."""
  stream = io.BytesIO()
  # On 64x64 photographs level 1 takes two thirds of the time of level 6, for the same size.
  Image.fromarray(image).save(stream, "PNG", compress_level=1)
  return stream.getvalue()
