"""The chunks of a PNG file (third edition, section 5): their checksums, and what Pillow omits."""

import struct
import zlib

CODE_POINTS = "cicp"  # the key of `image.info` for the content of cICP
_FIRST_CHUNK = 8  # after the signature
_HEAD = 8  # of a chunk: its length and kind
_CHECKSUM = 4


def check(stream):
  """Raises `ValueError` unless a file is whole, which Pillow's decoder does not check."""
  kind = None
  for kind, length in _chunks(stream):
    content = stream.read(length)
    if zlib.crc32(content, zlib.crc32(kind)).to_bytes(_CHECKSUM) != stream.read(_CHECKSUM):
      raise ValueError(f"damaged PNG file: the checksum of chunk {kind!r} differs")
  if kind != b"IEND":
    raise ValueError("truncated PNG file")


def complete_info(image, stream):
  """Adds to `image.info` the Exif data behind the pixels, and the code points of the colours.

  Pillow would decode the whole image to look for the former.

  Args:
    image: a `PIL.PngImagePlugin.PngImageFile`, opened and not decoded.
    stream: its file.
  """
  for kind, length in _chunks(stream):
    if kind == b"eXIf":
      image.info.setdefault("exif", b"Exif\0\0" + stream.read(length))
    elif kind == b"cICP":
      image.info.setdefault(CODE_POINTS, stream.read(length))


def _chunks(stream):
  """Yields kind and length of the whole chunks up to the end of the image, at their content."""
  end = stream.seek(0, 2)
  position, kind = _FIRST_CHUNK, None
  while position + _HEAD <= end and kind != b"IEND":
    stream.seek(position)
    length, kind = struct.unpack(">I4s", stream.read(_HEAD))
    position += _HEAD + length + _CHECKSUM
    if position <= end:
      yield kind, length
