"""What Pillow does not tell of a PNG file, from its chunks (PNG, third edition, section 5)."""

import struct
from typing import NamedTuple

_FIRST_CHUNK = 8  # after the signature
_DATA = 8  # of a chunk: after its length and type


class Chunk(NamedTuple):
  """A chunk.

  Attributes:
    kind: four letters.
    start: of its data in the file.
    length: of its data, in bytes.
  """

  kind: bytes
  start: int
  length: int


def chunks(stream):
  """Returns the whole chunks of a file, to the end of it or of the image.

  Args:
    stream: a binary file that can be sought in.
  """
  found, position = [], _FIRST_CHUNK
  end = stream.seek(0, 2)
  while position + _DATA <= end:
    stream.seek(position)
    length, kind = struct.unpack(">I4s", stream.read(_DATA))
    position += _DATA + length + 4  # a checksum follows
    if position <= end:
      found.append(Chunk(kind, position - length - 4, length))
    if kind == b"IEND":
      break
  return found


def find(stream, kind):
  """Returns the data of the first chunk of a kind, or None."""
  for chunk in chunks(stream):
    if chunk.kind == kind:
      stream.seek(chunk.start)
      return stream.read(chunk.length)
  return None
