import struct
import zlib

import numpy as np
import pytest


def _chunk(kind, data):
  return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.fixture
def png():
  """Writes PNG files that Pillow does not: of 16 bits, and with any chunks.

  Returns:
    A function of `[height, width, 1 to 4]` uint8 or uint16, `{kind: data}` of chunks before the
    pixels, the same of chunks behind them, and the bits of a sample where several are in one byte;
    to the bytes of a file.
  """

  def write(samples, chunks=None, chunks_behind=None, bits=None):
    height, width, channels = samples.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    width *= 8 // bits if bits else 1
    bits = bits or 8 * samples.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(samples.dtype.newbyteorder(">")).tobytes()
                    for row in samples)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)),
             *(chunks or {}).items(), (b"IDAT", zlib.compress(rows)),
             *(chunks_behind or {}).items(), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)

  return write


@pytest.fixture
def samples():
  """Returns a function of a shape to random uint16 that use the whole range."""
  return lambda *shape: np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
