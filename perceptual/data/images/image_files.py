"""Image files of a folder or a tar archive: their names, their bytes, their pixels.

Archives (.tar, plain or compressed by gzip, bzip2 or xz) are read as a stream, in one pass, and are
never unpacked. Names are relative, with forward slashes: `train/n01443537/n01443537_0.JPEG`. Hidden
files and folders (`.DS_Store`, `__MACOSX`) are passed over.
"""

import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import tarfile
from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from perceptual.common.progress import progress
from perceptual.errors import UserError

SUFFIXES = (
    ".jpeg", ".jpg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm")
_PNG_END = b"IEND\xae\x42\x60\x82"
_TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class UnreadableImage(UserError):
  """An image that does not decode: `name` and `reason`, joined in the message."""

  def __init__(self, name, reason):
    super().__init__(f"{name}: {reason}")
    self.name = name
    self.reason = reason


@dataclasses.dataclass(frozen=True)
class ImageFile:
  """One image file.

  Attributes:
    name: its relative name.
    read: returns its bytes; raises `OSError` where they cannot be had.
  """

  name: str
  read: Callable[[], bytes]

  def decode(self):
    """Returns the pixels as `decode` gives them; raises `UnreadableImage`."""
    try:
      data = self.read()
    except OSError as error:
      raise UnreadableImage(self.name, error.strerror or str(error)) from error
    return decode(data, self.name)


def is_image_name(name):
  """Whether a file of this name should hold an image, by its suffix."""
  return name.lower().endswith(SUFFIXES)


def list_files(source, *, keep=()):
  """Lists every file of a folder (sorted by name) or tar archive (in its own order).

  Args:
    source: a folder or a tar archive.
    keep: file names, without folders, whose bytes are wanted as well.

  Returns:
    `(sizes, contents)`: `{name: size in bytes}` of all files, in the order in which `image_files`
    gives them, and `{name: bytes}` of those called as one of `keep`.

  Raises:
    UserError: if `source` is neither, is a damaged or truncated archive, or holds two files of
      one name.
  """
  sizes, contents = {}, {}
  with progress(_files(source), description="listing", unit="file") as bar:
    for name, size, read in bar:
      if name in sizes:
        raise UserError(f"{source} holds {name} twice.")
      sizes[name] = size
      if pathlib.PurePosixPath(name).name in keep:
        contents[name] = read()
  return sizes, contents


def image_files(source):
  """Yields the `ImageFile`s of a folder (sorted by name) or a tar archive (in its own order).

  Raises:
    UserError: if `source` is neither, or is a damaged or truncated archive.
  """
  is_folder = pathlib.Path(source).expanduser().is_dir()
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
  source = pathlib.Path(source).expanduser()
  if source.is_dir():
    files = _folder_files(source)
  elif not source.exists():
    raise UserError(f"No such folder or archive: {source}.")
  elif source.name.lower().endswith(_TAR_SUFFIXES):
    files = _tar_files(source)
  else:
    raise UserError(
        f"{source} is neither a folder nor an archive ({', '.join(_TAR_SUFFIXES)}).")
  return (file for file in files if not _is_hidden(file[0]))


def _is_hidden(name):
  return any(part.startswith((".", "__MACOSX")) for part in name.split("/"))


def _folder_files(folder):
  for parent, folders, names in os.walk(folder, followlinks=True):
    folders.sort()
    for name in sorted(names):
      path = pathlib.Path(parent, name)
      # A dangling link has no size; reading it gives the error that is to be reported.
      size = path.stat().st_size if path.exists() else 0
      yield path.relative_to(folder).as_posix(), size, path.read_bytes


def _tar_files(path):
  with _archive_errors(path), tarfile.open(path, "r|*") as archive:
    while (member := archive.next()) is not None:
      archive.members.clear()  # the list would grow to a gigabyte over a million files
      if not member.isdir():
        name = str(pathlib.PurePosixPath(member.name)).lstrip("/")
        yield name, member.size, functools.partial(_read_member, path, archive, member)
    # tarfile takes the end of the file for the end of the archive. A whole archive ends with a
    # block of zeros, which has been read by now; a truncated one may just stop.
    if archive.fileobj.tell() < archive.offset + tarfile.BLOCKSIZE:
      raise tarfile.ReadError("unexpected end of data")


def _read_member(path, archive, member):
  if not member.isfile():
    raise OSError("a link inside an archive, which is read in one pass, has no bytes")
  with _archive_errors(path):
    return archive.extractfile(member).read()


@contextlib.contextmanager
def _archive_errors(path):
  try:
    yield
  except PermissionError as error:
    raise UserError(f"Cannot read {path}: {error.strerror}.") from error
  except (tarfile.TarError, EOFError) as error:
    raise UserError(f"The archive {path} is damaged or truncated: {error}.") from error


def decode(data, name):
  """Decodes an image strictly: one that is truncated, empty or no image is an error.

  Greyscale, palette and CMYK images are converted to RGB. Transparent ones are laid over white.
  Of 16-bit images the high byte is kept. 32-bit ones have no defined range and are refused. Of
  several frames the first is taken. Orientation tags are not applied, as in ImageNet's use.

  Args:
    data: the bytes of a file.
    name: its name, for the error.

  Returns:
    `[height, width, 3]` uint8, a new array.

  Raises:
    UnreadableImage: if the bytes are not a whole image.
  """
  if not data:
    raise UnreadableImage(name, "empty file")
  try:
    with Image.open(io.BytesIO(data)) as image:
      image.verify()  # the checksums of a PNG, which decoding alone does not look at
      if image.format == "PNG" and _PNG_END not in data:
        raise ValueError("truncated PNG file")
    with Image.open(io.BytesIO(data)) as image:
      image.load()
      return np.array(_rgb(image))
  except UnidentifiedImageError as error:
    raise UnreadableImage(name, "not an image") from error
  except Exception as error:  # On damaged files Pillow's decoders raise errors of many kinds.
    raise UnreadableImage(name, str(error) or type(error).__name__) from error


def _rgb(image):
  if image.mode in ("I", "F"):
    raise ValueError(f"32-bit pixels (mode {image.mode}) have no defined range")
  if image.mode.startswith("I;16"):
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
  if image.has_transparency_data:
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
  return image.convert("RGB")


def encode_png(image):
  """Returns `[height, width, 3]` uint8 as the bytes of a PNG file, which keeps every pixel."""
  stream = io.BytesIO()
  # On 64x64 photographs level 1 takes two thirds of the time of level 6, for the same size.
  Image.fromarray(image).save(stream, "PNG", compress_level=1)
  return stream.getvalue()
