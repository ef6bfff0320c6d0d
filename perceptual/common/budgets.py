"""How much may come of a file: what a stranger's file claims is checked before memory is taken."""

import io
import math
import zipfile
import zlib

import numpy as np

from perceptual.errors import UserError

# Photographs and weights hardly compress. What grows beyond both was made to fill a disk or memory.
MOST_GROWTH, ALWAYS_ALLOWED = 200, 2**30

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


def read_npz(path):
  """Returns the arrays of an `.npz` file by name, each sized before it is read.

  Raises:
    UserError: what it holds grows out of all proportion.
    OSError: it cannot be read.
    Exception: one of `NPZ_DAMAGE`, if it is damaged, or something else.
  """
  arrays = {}
  with zipfile.ZipFile(path) as archive:
    require_growth(path, sum(member.compress_size for member in archive.infolist()),
                   sum(member.file_size for member in archive.infolist()))
    for member in archive.infolist():
      name = member.filename.removesuffix(".npy")
      if name == member.filename or name in arrays:
        raise ValueError(f"it holds other things than arrays: {member.filename}")
      arrays[name] = _read_npy(archive.read(member), member.filename)
  return arrays


def _read_npy(data, name):
  file = io.BytesIO(data)
  version = np.lib.format.read_magic(file)
  readers = {(1, 0): np.lib.format.read_array_header_1_0,
             (2, 0): np.lib.format.read_array_header_2_0}
  if version not in readers:
    raise ValueError(f"{name} is of an unknown version of .npy, {version}")
  try:
    shape, _, dtype = readers[version](file)
  except Exception as error:  # NumPy parses it as Python
    raise ValueError(f"the header of {name} is damaged") from error
  if dtype.hasobject or math.prod(shape) * dtype.itemsize != len(data) - file.tell():
    raise ValueError(f"{name} does not hold the array {list(shape)} of its header")
  return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)
