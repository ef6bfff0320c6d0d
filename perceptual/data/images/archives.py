"""Tar archives, read as a stream in one pass and never unpacked, and each verified to its end."""

import bz2
import contextlib
import functools
import gzip
import io
import itertools
import lzma
import pathlib
import tarfile
import zlib

from perceptual.common.budgets import require_growth
from perceptual.common.progress import progress
from perceptual.data.images import formats
from perceptual.errors import UserError, first_line

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_BLOCK = 2**20
_MOST_MEMBERS = 50_000_000  # ImageNet has 14 million in all


def is_archive_name(path):
  """Whether a path ends as a tar archive's does."""
  return pathlib.Path(path).name.lower().endswith(SUFFIXES)


def members(path):
  """Yields `(name, size, read)` of every file of an archive, in its order.

  `read()` returns the bytes, until the next one is taken; it raises `OSError` for links and for
  files larger than any image. The checksum of a compressed archive stands behind its
  files: an archive is whole only when all have been taken.

  Args:
    path: of a tar archive, plain or compressed by gzip, bzip2 or xz.

  Raises:
    UserError: if it cannot be read, is damaged or truncated, has no checksum, holds a sparse file
      or too many, or grows out of all proportion.
  """
  with _archive_errors(path), _opened(path) as stream, _tar(stream) as archive:
    for count in itertools.count():
      with _header_errors():
        member = archive.next()
      if member is None:
        break
      if member.size < 0:
        raise tarfile.ReadError(f"{member.name} has {member.size} bytes")
      if count == _MOST_MEMBERS:
        raise UserError(f"The archive {path} has more than {_MOST_MEMBERS:,} members: "
                        "it is not read.")
      archive.members.clear()  # the list would grow to a gigabyte over a million files
      if member.issparse():  # a few bytes that stand for any number of zeros
        raise UserError(f"The archive {path} holds a sparse file, {member.name}: it is not read.")
      if not member.isdir():
        name = str(pathlib.PurePosixPath(member.name)).lstrip("/")
        yield name, member.size, functools.partial(_read, path, archive, member)
    # tarfile takes the end of the file for the end of the archive. A whole archive ends with a
    # block of zeros, which has been read by now; a truncated one may just stop.
    if archive.fileobj.tell() < archive.offset + tarfile.BLOCKSIZE:
      raise tarfile.ReadError("unexpected end of data")
    while stream.read(_BLOCK):  # to the checksum
      pass


def verify(path):
  """Raises `UserError` unless an archive is whole to its end and could be unpacked safely."""
  with progress(members(path), description=f"verifying {pathlib.Path(path).name}",
                unit="file") as bar:
    for name, size, _ in bar:
      if size > formats.max_bytes():
        raise UserError(f"{path}: {name} has {size:,} bytes, more than an image or its label.")


class _Bounded(io.RawIOBase):
  """A stream of unpacked bytes that ends with an error where it grows out of all proportion."""

  def __init__(self, stream, path):
    super().__init__()
    self._stream = stream
    self._path = path
    self._packed = path.stat().st_size
    self._read = 0

  def readable(self):
    return True

  def read(self, size=-1):
    data = self._stream.read(size)
    self._read += len(data)
    require_growth(self._path, self._packed, self._read)
    return data


@contextlib.contextmanager
def _opened(path):
  """Gives the unpacked stream of an archive."""
  with open(path, "rb") as packed:
    start = packed.read(_BLOCK)
    packed.seek(0)
    opener = next((opener for magic, opener in _OPENERS.items() if start.startswith(magic)), None)
    if opener is None:
      yield packed
      return
    if opener is lzma.open:
      _require_checksum(path, start)
    with opener(packed) as stream:
      yield _Bounded(stream, path)


def _tar(stream):
  """Returns the `tarfile.TarFile` of an unpacked stream, which has read its first header."""
  with _header_errors():
    return tarfile.open(fileobj=stream, mode="r|")


@contextlib.contextmanager
def _header_errors():
  """Turns what tarfile raises on a damaged header, and does not document, into its `ReadError`."""
  try:
    yield
  except UserError:  # of a stream that grows out of all proportion
    raise
  except (ValueError, RecursionError) as error:  # no numbers in a header; a long chain of headers
    raise tarfile.ReadError(f"a header cannot be read ({first_line(error)})") from error


def _require_checksum(path, start):
  decompressor = lzma.LZMADecompressor(lzma.FORMAT_XZ)
  decompressor.decompress(start, max_length=1)
  if decompressor.check == lzma.CHECK_NONE:
    raise UserError(f"The archive {path} has no checksum: damage would go unnoticed. Compress it "
                    "again, with one.")


def _read(path, archive, member):
  if not member.isfile():
    raise OSError("a link inside an archive, which is read in one pass, has no bytes")
  if member.size > formats.max_bytes():
    raise OSError(f"{member.size:,} bytes, more than an image of the pixels allowed needs")
  with _archive_errors(path):
    return archive.extractfile(member).read()


@contextlib.contextmanager
def _archive_errors(path):
  try:
    yield
  except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
    raise UserError(f"The archive {path} is damaged or truncated: {error}.") from error
  except OSError as error:
    if error.errno is None:  # from a decompressor
      raise UserError(f"The archive {path} is damaged or truncated: {error}.") from error
    raise UserError(f"Cannot read {path}: {error.strerror}.") from error
