"""Files of more than 8 bits are read as they are, or refused: never rounded in silence."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image

from perceptual.data.images.decoding import UnreadableImage, decode, decode_with_head, read_head

_MAXIMUM = np.float32(65535)


def _saved(array, kind, **options):
  stream = io.BytesIO()
  Image.fromarray(array).save(stream, kind, **options)
  return stream.getvalue()


def _tiff(array, **options):
  stream = io.BytesIO()
  tifffile.imwrite(stream, array, **options)
  return stream.getvalue()


def _netpbm(samples, maximum, plain=False):
  height, width, channels = samples.shape
  head = f"P{(2 if plain else 5) + (channels == 3)}\n# made here\n{width} {height}\n{maximum}\n"
  if plain:
    body = " # no sample 7\n".join(map(str, samples.ravel())).encode()
  else:
    body = samples.astype(">u2" if maximum > 255 else "u1").tobytes()
  return head.encode() + body


def _expected(samples):
  return np.broadcast_to(samples / _MAXIMUM, (*samples.shape[:2], 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_16_bits(png, samples, channels):
  pixels, head = decode_with_head(png(samples(6, 9, channels)), "a")
  assert pixels.dtype == np.float32
  np.testing.assert_array_equal(pixels, _expected(samples(6, 9, channels)))
  assert head.notes == ()


@pytest.mark.parametrize("channels", [2, 4])
def test_png_of_16_bits_with_alpha_is_laid_over_white(png, samples, channels):
  found = samples(6, 9, channels)
  pixels, head = decode_with_head(png(found), "a")
  alpha = found[..., -1:] / _MAXIMUM
  np.testing.assert_allclose(
      pixels, _expected(found[..., :-1]) * alpha + (1 - alpha), rtol=1e-6)
  assert head.notes == ("laid over white",)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_16_bits_with_a_transparent_colour(png, samples, channels):
  found = samples(6, 9, channels)
  found[0, 0], found[0, 1] = 5000, 5001  # of one high byte
  pixels, head = decode_with_head(png(found, {b"tRNS": found[0, 0].astype(">u2").tobytes()}), "a")
  expected = _expected(found).copy()
  expected[0, 0] = 1
  np.testing.assert_array_equal(pixels, expected)
  assert head.notes == ("laid over white",)


@pytest.mark.parametrize("options", [
    {}, {"byteorder": ">"}, {"rowsperstrip": 2}, {"photometric": "miniswhite"}])
def test_grey_tiff_of_16_bits(samples, options):
  found = samples(6, 9)
  pixels = decode(_tiff(found, **options), "a")
  if "photometric" in options:
    found = 65535 - found
  np.testing.assert_array_equal(pixels, _expected(found[..., np.newaxis]))


@pytest.mark.parametrize("options", [{}, {"byteorder": ">"}, {"rowsperstrip": 2},
                                     {"tile": (16, 16)}])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_tiff_of_16_bits(samples, channels, options):
  found = samples(20, 18, channels)
  if channels == 4:
    found[..., 3] = 65535
    options = {**options, "extrasamples": ["unassalpha"]}
  pixels = decode(_tiff(found, photometric="rgb", **options), "a")
  np.testing.assert_array_equal(pixels, _expected(found[..., :3]))


def test_compressed_tiff_of_16_bits(samples):
  cv2 = pytest.importorskip("cv2")
  found = samples(20, 18, 3)
  data = cv2.imencode(".tiff", found[..., ::-1])[1].tobytes()  # by LZW
  assert tifffile.TiffFile(io.BytesIO(data)).pages[0].compression == 5
  np.testing.assert_array_equal(decode(data, "a"), _expected(found))


def test_tiff_of_separate_planes_is_refused(samples):
  data = _tiff(samples(3, 6, 9), photometric="rgb", planarconfig="separate")
  with pytest.raises(UnreadableImage, match="16 bits in separate planes"):
    decode(data, "a")


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("maximum", [65535, 1023, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_netpbm_of_any_range(channels, maximum, plain):
  found = np.random.default_rng(0).integers(0, maximum + 1, (6, 9, channels))
  pixels, head = decode_with_head(_netpbm(found, maximum, plain), "a")
  np.testing.assert_array_equal(
      pixels, np.broadcast_to(np.float32(found) / np.float32(maximum), (6, 9, 3)))
  assert head.notes == ()


def test_netpbm_beyond_its_range_or_truncated():
  data = _netpbm(np.full((6, 9, 3), 1024), 1023)
  with pytest.raises(UnreadableImage, match="a sample outside 0 to 1023"):
    decode(data, "a")
  with pytest.raises(UnreadableImage, match="truncated"):
    decode(data[:-1], "a")


def test_grey_jpeg_2000_of_16_bits(samples):
  found = samples(20, 18)
  pixels = decode(_saved(found, "JPEG2000"), "a")
  np.testing.assert_array_equal(pixels, _expected(found[..., np.newaxis]))


def test_what_is_not_kept_is_noted(png):
  cv2 = pytest.importorskip("cv2")
  found = np.random.default_rng(0).integers(0, 65536, (64, 64, 3), np.uint16)
  _, head = decode_with_head(cv2.imencode(".jp2", found)[1].tobytes(), "a")
  assert head.notes == ("high 8 of 16 bits",)


@pytest.mark.parametrize("bits", [10, 12])
def test_fewer_bits_in_a_file_of_16(png, bits):
  found = np.random.default_rng(0).integers(0, 2**bits, (20, 18, 3), np.uint16)
  found[0, 0] = 2**bits - 1
  with pytest.raises(UnreadableImage, match=rf"at most {2**bits - 1}: give .*, which is {bits} if"):
    decode(png(found), "a")
  np.testing.assert_array_equal(decode(png(found), "a", bit_depth=bits),
                                found / np.float32(2**bits - 1))
  np.testing.assert_array_equal(decode(png(found), "a", bit_depth=16), found / _MAXIMUM)
  with pytest.raises(UnreadableImage, match=f"a sample of {2**bits - 1}, above {2**bits // 2 - 1}"):
    decode(png(found), "a", bit_depth=bits - 1)


def test_black_is_black_at_any_depth(png):
  assert not decode(png(np.zeros((2, 2, 3), np.uint16)), "a").any()


def test_pictures_that_differ_in_low_bytes_differ(png, samples):
  first = samples(6, 9, 3)
  assert (decode(png(first), "a") != decode(png(first ^ 1), "a")).all()


def test_bit_depth_says_nothing_about_files_that_declare_theirs(png):
  found = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)
  np.testing.assert_array_equal(decode(png(found), "a", bit_depth=10), found)
  np.testing.assert_array_equal(decode(_netpbm(found, 1000), "a", bit_depth=10),
                                found / np.float32(1000))


@pytest.mark.parametrize("bit_depth", [7, 17, 10.0, True, "10"])
def test_impossible_bit_depths(png, bit_depth):
  with pytest.raises(ValueError, match="bit_depth must be a whole number of at least 8 and"):
    decode(png(np.zeros((1, 1, 3), np.uint8)), "a", bit_depth=bit_depth)


def test_16_bits_that_repeat_8_are_those_8(png):
  bytes_ = np.arange(256, dtype=np.uint16).reshape(16, 16, 1)
  pixels = decode(png(bytes_ * 257), "a")
  np.testing.assert_array_equal(pixels[..., :1], bytes_ / np.float32(255))


def test_grey_of_4_bits_with_a_transparent_level(png):
  data = png(np.uint8([[[0x35]]]), {b"tRNS": b"\0\3"}, bits=4)
  np.testing.assert_array_equal(decode(data, "a")[..., 0], [[255, 5 * 17]])


@pytest.fixture(params=["with boxes", "codestream"])
def jpeg_2000(request):
  data = _saved(np.full((20, 18), 200, np.uint8), "JPEG2000")
  return data if request.param == "with boxes" else data[data.index(b"\xff\x4f\xff\x51"):]


@pytest.mark.parametrize("bits", [9, 16, 17])
def test_a_jpeg_2000_says_its_bits(jpeg_2000, bits):
  data = bytearray(jpeg_2000)
  place = data.index(b"\xff\x4f\xff\x51") + 42  # Ssiz
  assert data[place] == 7
  data[place] = bits - 1
  if bits == 17:
    with pytest.raises(UnreadableImage, match="a JPEG 2000 of 17 bits; at most 16 are read"):
      read_head(io.BytesIO(data), "a")
  else:
    assert read_head(io.BytesIO(data), "a").depth.bits == bits


def test_a_codestream_without_its_end_is_refused(jpeg_2000):
  assert (decode(jpeg_2000, "a") == 200).all()
  for damaged in (jpeg_2000[:-2], jpeg_2000[:-2] + b"\0\0"):
    with pytest.raises(UnreadableImage):
      decode(damaged, "a")


def test_boxes_may_follow_a_codestream():
  data = _saved(np.full((20, 18), 200, np.uint8), "JPEG2000")
  start = data.index(b"jp2c") - 4
  sized = data[:start] + (len(data) - start).to_bytes(4) + data[start + 4:]
  assert (decode(sized + b"\0\0\0\x0cfree\0\0\0\0", "a") == 200).all()
