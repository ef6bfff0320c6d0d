"""Reads TFRecord files, and the `tf.train.Example`s in them, without TensorFlow.

A record is its length (8 bytes), a checksum of that (4), the data, and a checksum of these (4),
little-endian; checksums are CRC-32C, masked (tensorflow/core/lib/io/record_writer.h). An `Example`
is a map of names to lists of bytes, float32 or int64 (tensorflow/core/example/feature.proto), read
here from its encoding as a protocol buffer.
"""

import functools
import io
import struct

import numpy as np

from perceptual import errors
from perceptual.common import files
from perceptual.errors import UserError

_POLYNOMIAL = 0x82F63B78  # of Castagnoli, reversed
_MASK_DELTA = 0xA282EAD8
_VARINT, _BYTES = 0, 2  # types of a field
_LAST_SHIFT = 63  # of the seven bits in a byte of an integer of 64
_BLOCK = 2**20  # bytes whose checksum is found at once, in twenty times the memory


def records(path):
  """Yields the records of a file, bytes, each checked.

  Raises:
    UserError: the file cannot be read, or is damaged.
  """
  try:
    with files.place(path).open("rb") as file:
      size = file.seek(0, io.SEEK_END)
      file.seek(0)
      number = 0
      while head := file.read(12):
        if len(head) < 12 or _checksum(head[:8]) != head[8:]:
          raise _damaged(path, number)
        length, = struct.unpack("<Q", head[:8])
        if length > size - file.tell():
          raise _damaged(path, number)
        data, checksum = file.read(length), file.read(4)
        if len(data) < length or _checksum(data) != checksum:
          raise _damaged(path, number)
        yield data
        number += 1
  except OSError as error:
    raise UserError(f"{path} cannot be read: {errors.reason(error)}.") from None


def example(record):
  """Returns the values of a serialized `tf.train.Example`, `{name: value}`.

  A value is a list of bytes, or an array of float32 or int64.

  Raises:
    ValueError: it is not a `tf.train.Example`.
  """
  values = {}
  try:
    for _, features in _fields(record):
      for _, entry in _fields(features):
        name, feature = (value for _, value in sorted(_fields(entry)))
        values[name.decode()] = _value(feature)
  except (AttributeError, IndexError, TypeError, OverflowError, struct.error) as error:
    raise ValueError("not a tf.train.Example") from error
  return values


def _value(feature):
  """Returns the list of a `Feature`: field 1 has bytes, 2 float32, 3 int64."""
  (kind, data), = _fields(feature)
  items = [value for _, value in _fields(data)]
  if kind == 1:
    return items
  if kind == 2:  # packed, in one field
    return np.frombuffer(b"".join(items), "<f4")
  packed = [value for item in items for value in (
      [item] if isinstance(item, int) else _varints(item))]
  return np.array(packed, np.uint64).astype(np.int64)


def _fields(message):
  """Yields the number and the value of each field of a message: bytes, or an integer."""
  position = 0
  while position < len(message):
    tag, position = _varint(message, position)
    value, position = _varint(message, position)
    if tag & 7 == _BYTES:
      value, position = message[position:position + value], position + value
    elif tag & 7 != _VARINT:
      raise ValueError(f"not a field of a tf.train.Example: {tag}")
    if position > len(message):
      raise ValueError("truncated tf.train.Example")
    yield tag >> 3, value


def _varints(data):
  position = 0
  while position < len(data):
    value, position = _varint(data, position)
    yield value


def _varint(data, position):
  """Returns the integer at a position, seven bits a byte, and the position after it."""
  value, shift = 0, 0
  while True:
    byte = data[position]
    position += 1
    value |= (byte & 0x7F) << shift
    if byte < 0x80:
      return value, position
    shift += 7
    if shift > _LAST_SHIFT:
      raise ValueError("not an integer of a tf.train.Example: more than 64 bits")


def _damaged(path, number):
  return UserError(f"{path} is damaged: record {number} does not match its checksum.")


def _checksum(data):
  crc = crc32c(data)
  return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF)


def crc32c(data):
  """Returns the CRC-32C (RFC 3720, 12.1) of bytes.

  The remainder of `ab` is that of `a` with as many zeros behind it as `b` is long, XOR that of `b`.
  """
  remainder = np.uint32(0xFFFFFFFF)  # of the standard, as if it stood in front
  for start in range(0, len(data), _BLOCK):
    block = data[start:start + _BLOCK]
    for level in range(len(block).bit_length()):
      if len(block) >> level & 1:
        remainder = _apply(_zeros_behind(level), remainder)
    remainder ^= _remainder(block)
  return int(remainder) ^ 0xFFFFFFFF


def _remainder(block):
  """Returns the remainder of at least one byte.

  Each byte's own remainder is found at once, then those of neighbours are joined, and so on in
  pairs. Zeros in front change nothing, so that the length can be made a power of two.
  """
  levels = (len(block) - 1).bit_length()
  values = np.pad(np.frombuffer(block, np.uint8), (2**levels - len(block), 0))
  values = _of_bytes()[values]
  for level in range(levels):
    values = _apply(_zeros_behind(level), values[0::2]) ^ values[1::2]
  return values[0]


@functools.cache
def _of_bytes():
  """Returns the remainder of each byte, `[256]` uint32."""
  values = np.arange(256, dtype=np.uint32)
  for _ in range(8):
    values = np.where(values & 1, values >> 1 ^ _POLYNOMIAL, values >> 1).astype(np.uint32)
  return values


@functools.cache
def _zeros_behind(level):
  """Returns what 2**level zeros behind it make of a remainder, by its four bytes: `[4, 256]`."""
  if level:
    half = _zeros_behind(level - 1)
    return _apply(half, half)
  places = np.arange(256, dtype=np.uint32) << np.arange(0, 32, 8, dtype=np.uint32)[:, None]
  return _of_bytes()[places & 0xFF] ^ places >> 8


def _apply(tables, values):
  return (tables[0][values & 0xFF] ^ tables[1][values >> 8 & 0xFF]
          ^ tables[2][values >> 16 & 0xFF] ^ tables[3][values >> 24])
