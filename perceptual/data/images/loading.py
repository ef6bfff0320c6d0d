"""Reading image files."""

import io
import os
import stat

from perceptual.common import files
from perceptual.data.images import decoding, formats
from perceptual.data.images.decoding import UnreadableImage


def load_image(path, *, bit_depth=None):
  """Reads an image file, in sRGB and upright.

  The format is told by the content: PNG, JPEG, GIF, BMP, WebP, TIFF, PPM, AVIF, JPEG 2000 or TGA.
  `read_image` reports what was altered: colours converted, transparency laid over white, and so on.

  Args:
    path: of the file.
    bit_depth: 8 to 16: how many bits the samples of a 16-bit file really have, for instance 10
      where 1023 is white; None for what the file declares. Other files are read as they are.

  Returns:
    `[height, width, 3]`: uint8, or float32 in [0, 1] where the file has more than 8 bits.

  Raises:
    UnreadableImage: a `UserError`, if the file cannot be read, is not a whole image, or is one of
      whose values only `bit_depth` could tell the range.
  """
  return read_image(path, bit_depth=bit_depth)[0]


def read_image(path, *, bit_depth=None):
  """Returns `(image, notes)`: what `load_image` does, and a tuple of what was altered."""
  name = str(path)
  pixels, head = decoding.decode_with_head(read_bytes(path, name), name, bit_depth=bit_depth)
  return pixels, head.notes


def read_bytes(path, name):
  """Returns the bytes of a file.

  Args:
    path: of a regular file.
    name: what to call it in the error.

  Raises:
    UnreadableImage: if it cannot be read, or is larger than any image that is.
  """
  with opened(path, name) as stream:
    return stream.read()


def opened(path, name):
  """Returns a regular file open for reading, at most as large as an image may be.

  One at an address is read whole.

  Raises:
    UnreadableImage: as `read_bytes` does.
  """
  try:
    path = files.place(path)
    size, is_regular, _ = _about(path)
    reason = _unfit(size, is_regular)
    if reason:
      raise UnreadableImage(name, reason)
    return io.BytesIO(path.read_bytes()) if files.is_remote(path) else path.open("rb")
  except UnreadableImage:
    raise
  except OSError as error:
    raise UnreadableImage(name, error.strerror or str(error)) from error
  except ValueError as error:  # no such user, or a zero byte in the path
    raise UnreadableImage(name, str(error)) from error


def stamp(path, stream):
  """Returns the size of a file in bytes, and when it last changed, in nanoseconds.

  Args:
    path: as given to `opened`.
    stream: what that returned.
  """
  if isinstance(stream, io.BytesIO):
    size, _, changed = _about(files.place(path))
    return size, changed
  status = os.fstat(stream.fileno())
  return status.st_size, status.st_mtime_ns


def _about(path):
  """Returns a file's size, whether it is a regular one, and when it changed, in nanoseconds."""
  status = path.stat()
  if files.is_remote(path):
    return status.length, not status.is_directory, status.mtime * 10**9
  return status.st_size, stat.S_ISREG(status.st_mode), status.st_mtime_ns


def _unfit(size, is_regular):
  """Returns why a file holds no image that is read, or None."""
  if not is_regular:  # opening a pipe would wait for a writer
    return "not a file"
  if size > formats.max_bytes():
    return f"{size:,} bytes, more than an image of the pixels allowed needs"
  return None
