"""How much may come of a file: what a stranger's file claims is checked before memory is taken."""

import contextlib
import math
import os
import zipfile
import zlib

import numpy as np

from perceptual.errors import UserError, shown

# Photographs and weights hardly compress. What grows beyond both was made to fill a disk or memory.
MOST_GROWTH, ALWAYS_ALLOWED = 200, 2**30

_PIECE = 2**24  # bytes that are unpacked at once; NumPy joins pieces in quadratic time

# What is raised where an .npz file is damaged, or something else.
NPZ_DAMAGE = (ValueError, NotImplementedError, RuntimeError, EOFError, zipfile.BadZipFile,
              zlib.error)


def require_growth(name, packed, unpacked):
  """Raises `UserError` if what is packed into some bytes grows out of all proportion.

  Args:
    name: of the archive or of its member, for the error.
    packed: its size in bytes.
    unpacked: the size of its content in bytes.
  """
  if unpacked > max(ALWAYS_ALLOWED, MOST_GROWTH * packed):
    raise UserError(f"{name} unpacks to more than {MOST_GROWTH} times its {packed:,} bytes: "
                    "it is not read.")


@contextlib.contextmanager
def member(archive, name):
  """Opens a member of a zip archive, of which little more is unpacked than is asked for.

  zipfile alone inflates a member by up to 2 GiB before it cuts it to the size that it declares, and
  one that is compressed by bzip2 or LZMA to its end.

  Args:
    archive: a `zipfile.ZipFile`.
    name: of its member.

  Yields:
    A stream with `read` and `tell`. `read(n)` may return fewer bytes than there are, as that of an
    `io.RawIOBase` may; it returns none at the end alone.

  Raises:
    ValueError: there is no such member, or it is compressed otherwise than by deflate.
    Exception: one of `NPZ_DAMAGE`, while it is read, if it is damaged.
  """
  try:
    info = archive.getinfo(name)
  except KeyError:
    raise ValueError(f"it has no member {shown(name)}") from None
  if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
    raise ValueError(f"{shown(name)} is compressed otherwise than by deflate")
  with archive.open(info) as stream:
    yield _InPieces(stream)


class _InPieces:
  """A stream that is read in pieces."""

  def __init__(self, stream):
    self._stream = stream

  def read(self, size):
    return self._stream.read(min(size, _PIECE))

  def tell(self):
    return self._stream.tell()


def read_member(archive, name):
  """Returns the bytes of a member of a zip archive; errors are those of `member`."""
  with member(archive, name) as stream:
    return b"".join(iter(lambda: stream.read(_PIECE), b""))


def require_archive_growth(name, archive, packed):
  """Raises `UserError` if a zip archive would grow out of all proportion.

  Args:
    name: of the archive, for the error.
    archive: a `zipfile.ZipFile`.
    packed: the size of its file in bytes: the sizes that it says its members have while packed may
      be wrong, and members may overlap.
  """
  require_growth(name, packed, sum(info.file_size for info in archive.infolist()))


def read_npz(path):
  """Returns the arrays of an `.npz` file by name, each sized before it is read.

  Raises:
    UserError: what it holds grows out of all proportion.
    OSError: it cannot be read.
    Exception: one of `NPZ_DAMAGE`, if it is damaged, or something else.
  """
  arrays = {}
  with zipfile.ZipFile(path) as archive:
    require_archive_growth(path, archive, os.path.getsize(path))
    for info in archive.infolist():
      name = info.filename.removesuffix(".npy")
      if name == info.filename or name in arrays:
        raise ValueError(f"it holds other things than arrays: {info.filename}")
      arrays[name] = read_npy(archive, info.filename)
  return arrays


def read_npy(archive, name):
  """Returns an array of an `.npz` file.

  Args:
    archive: the file, a `zipfile.ZipFile` that `require_archive_growth` has let pass.
    name: of its member.

  Raises:
    Exception: one of `NPZ_DAMAGE`, if it is damaged, or holds Python objects.
  """
  shape, dtype, size = npy_header(archive, name)
  if dtype.hasobject or math.prod(shape) * dtype.itemsize != size:
    raise ValueError(f"{name} does not hold the array {list(shape)} of its header")
  with member(archive, name) as stream:
    return np.lib.format.read_array(stream, allow_pickle=False)


def npy_header(archive, name):
  """Returns what the header of an array in an `.npz` file says, without reading the array.

  Args:
    archive: as for `read_npy`.
    name: of the array's member.

  Returns:
    (shape, dtype, the number of bytes that follow the header).

  Raises:
    Exception: one of `NPZ_DAMAGE`, if it is damaged.
  """
  readers = {(1, 0): np.lib.format.read_array_header_1_0,
             (2, 0): np.lib.format.read_array_header_2_0}
  with member(archive, name) as stream:
    version = np.lib.format.read_magic(stream)
    if version not in readers:
      raise ValueError(f"{name} is of an unknown version of .npy, {version}")
    try:
      shape, _, dtype = readers[version](stream)
    except Exception as error:  # NumPy parses it as Python
      raise ValueError(f"the header of {name} is damaged") from error
    return shape, dtype, archive.getinfo(name).file_size - stream.tell()
