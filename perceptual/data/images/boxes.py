"""What Pillow leaves out of AVIF and JPEG 2000 files, from their boxes (ISO 14496-12, 15444-1)."""

import re
import struct

_HEAD_BYTES = 2**20  # the boxes before the pixels, profile and all
# AV1 codec configuration (AV1-ISOBMFF, 2.3.3): version 1, profile and level, then the flags.
_AV1C = re.compile(rb"av1C\x81.(.)", re.DOTALL)
_HIGH_BIT_DEPTH, _TWELVE_BIT = 0x40, 0x20
_NCLX = re.compile(rb"colrnclx(....)", re.DOTALL)
# JPEG 2000 (A.5.1): the start of the codestream, SIZ and 36 bytes, then the number of components.
_SIZ = re.compile(rb"\xff\x4f\xff\x51.{36}", re.DOTALL)
_PROFILE = re.compile(rb"(....)colr\x02..", re.DOTALL)  # I.5.3.3
_CODESTREAM_START, _CODESTREAM_END = b"\xff\x4f", b"\xff\xd9"


def avif_bits(stream):
  """Returns how many bits a sample of an AVIF file has: 8, 10 or 12."""
  found = _AV1C.search(_head(stream))
  flags = found[1][0] if found else 0
  if not flags & _HIGH_BIT_DEPTH:
    return 8
  return 12 if flags & _TWELVE_BIT else 10


def avif_code_points(stream):
  """Returns the code points of an AVIF's primaries and of its transfer curve, or None."""
  found = _NCLX.search(_head(stream))
  return struct.unpack(">HH", found[1]) if found else None


def jpeg2000_bits(stream):
  """Returns how many bits the finest component of a JPEG 2000 file has, 1 to 38."""
  head = _head(stream)
  found = _SIZ.search(head)
  if not found:
    return 8
  components, = struct.unpack_from(">H", head, found.end())
  start = found.end() + 2
  return max((size & 0x7f) + 1 for size in head[start:start + 3 * components:3])


def jpeg2000_profile(stream):
  """Returns the ICC profile of a JPEG 2000 file, or None."""
  head = _head(stream)
  found = _PROFILE.search(head)
  return found and head[found.end():found.start() + struct.unpack(">I", found[1])[0]]


def check_jpeg2000(data):
  """Raises `ValueError` unless the codestream has its end, without which it may decode as well."""
  start, end = 0, len(data)
  while not data.startswith(_CODESTREAM_START, start):
    size, kind = struct.unpack_from(">I4s", data, start)
    head = 8
    if size == 1:  # the size follows, in eight bytes
      size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
    end = start + size if size else len(data)
    start = start + head if kind == b"jp2c" else max(end, start + head)
  if end > len(data) or data[end - 2:end] != _CODESTREAM_END:
    raise ValueError("truncated JPEG 2000 file")


def _head(stream):
  stream.seek(0)
  return stream.read(_HEAD_BYTES)
