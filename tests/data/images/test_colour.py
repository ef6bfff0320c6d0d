"""Colours that a file says are not sRGB's are converted, with a note; those that are stay."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from perceptual.data.images import srgb
from perceptual.data.images.decoding import UnreadableImage, decode, decode_with_head

_PIXELS = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
# XYZ under D50 of red, green and blue, as in published profiles of Display P3 and sRGB.
_P3 = ((0.515102, 0.241182, -0.001049), (0.291965, 0.692236, 0.041882),
       (0.157153, 0.066582, 0.784378))
_SRGB = ((0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_P3_TO_SRGB = np.array(  # of linear light: CSS Color 4
    ((1.224940, -0.224940, 0), (-0.042057, 1.042057, 0), (-0.019638, -0.078636, 1.098274)))


def _fixed(*numbers):
  return b"".join(struct.pack(">i", round(65536 * number)) for number in numbers)


def _curve(*parameters, kind=3):
  return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*parameters)


def _table(values):
  return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + np.array(values, ">u2").tobytes()


def _profile(space, tags, name="Test", connection=b"XYZ "):
  """An ICC profile of version 4 for a display, with the tags that it needs and some more."""
  text = name.encode("utf-16-be")
  tags = {b"desc": b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28)
                   + text,
          b"wtpt": b"XYZ \0\0\0\0" + _fixed(0.9642, 1, 0.8249), **tags}
  table, data = struct.pack(">I", len(tags)), b""
  start = 128 + 4 + 12 * len(tags)
  for kind, content in tags.items():
    table += struct.pack(">4sII", kind, start + len(data), len(content))
    data += content + b"\0" * (-len(content) % 4)
  head = struct.pack(">I4sI4s4s4s12x4s28x", start + len(data), b"\0\0\0\0", 0x04300000, b"mntr",
                     space, connection, b"acsp")
  head = head[:68] + _fixed(0.9642, 1, 0.8249)
  return head.ljust(128, b"\0") + table + data


def _rgb_profile(columns, curve, **options):
  return _profile(b"RGB ", {
      **{kind: b"XYZ \0\0\0\0" + _fixed(*xyz)
         for kind, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns)},
      **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)}, **options)


_DISPLAY_P3 = _rgb_profile(_P3, _curve(*_SRGB_CURVE), name="Display P3")
_PLAIN_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
_GREY_LINEAR = _profile(b"GRAY", {b"kTRC": _table([])}, name="Linear grey")


def _saved(kind, mode="RGB", **options):
  stream = io.BytesIO()
  Image.fromarray(_PIXELS).convert(mode).save(stream, kind, **options)
  return stream.getvalue()


def _in_srgb(pixels, matrix=_P3_TO_SRGB, linear=srgb.decode):
  """The same colours in sRGB, by the definition, in [0, 1]."""
  light = linear(np.float64(pixels) / np.iinfo(pixels.dtype).max)
  return srgb.encode(light @ np.float64(matrix).T)


def _distance(found, expected):
  return np.abs(255 * expected - found).max()


def test_the_curve_of_srgb():
  np.testing.assert_allclose(srgb.decode(np.array((0, 0.04, 0.5, 1))),
                             (0, 0.04 / 12.92, 0.214041, 1), rtol=1e-5)
  values = np.linspace(0, 1, 1001)
  np.testing.assert_allclose(srgb.encode(srgb.decode(values)), values, atol=1e-6)


def test_primaries_of_srgb_are_those_of_its_profile():
  np.testing.assert_allclose(
      srgb.primaries_in_xyz(srgb.PRIMARIES), np.transpose(_SRGB), atol=2e-4)


@pytest.mark.parametrize(("kind", "options"), [
    ("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})])
def test_display_p3_is_converted(kind, options):
  pixels, head = decode_with_head(_saved(kind, icc_profile=_DISPLAY_P3, **options), "a")
  assert pixels.dtype == np.uint8
  assert _distance(pixels, _in_srgb(_PIXELS)) <= 1.5
  assert head.notes == ("Display P3 converted to sRGB",)


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_profiles_of_lossy_formats_are_applied(kind):
  plain = decode(_saved(kind, quality=95), "a")
  assert _distance(decode(_saved(kind, quality=95, icc_profile=_DISPLAY_P3), "a"),
                   _in_srgb(plain)) <= 1.5


def test_the_profile_of_a_jpeg_2000_is_applied():
  data = _saved("JPEG2000")
  start = data.index(b"colr") - 4
  old, = struct.unpack_from(">I", data, start)
  box = struct.pack(">I4sBBB", 11 + len(_DISPLAY_P3), b"colr", 2, 0, 0) + _DISPLAY_P3
  header = data.index(b"jp2h") - 4
  length, = struct.unpack_from(">I", data, header)
  data = (data[:header] + struct.pack(">I", length - old + len(box)) + data[header + 4:start] + box
          + data[start + old:])
  pixels, head = decode_with_head(data, "a")
  assert head.notes == ("Display P3 converted to sRGB",)
  assert _distance(pixels, _in_srgb(_PIXELS)) <= 1.5


def test_deep_images_keep_their_depth_through_a_profile(png, samples):
  found = samples(20, 18, 3)
  data = png(found, {b"iCCP": b"P3\0\0" + zlib.compress(_DISPLAY_P3)})
  pixels, head = decode_with_head(data, "a")
  np.testing.assert_allclose(pixels, _in_srgb(found), atol=1e-3)
  assert pixels.dtype == np.float32
  assert len(np.unique(pixels)) > 300
  assert head.notes == ("Display P3 converted to sRGB",)


@pytest.mark.parametrize(("curve", "linear"), [
    (_table([]), lambda x: x),
    (_table([round(1.8 * 256)]), lambda x: x ** (461 / 256)),
    (_table(np.round(65535 * np.linspace(0, 1, 4096) ** 2)), lambda x: x ** 2),
    (_curve(2.2, kind=0), lambda x: x ** 2.2),
    (_curve(2, 1.25, -0.25, kind=1), lambda x: np.maximum(1.25 * x - 0.25, 0) ** 2),
    (_curve(2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045, 0, 0, kind=4), srgb.decode),
], ids=["identity", "gamma", "table", "para0", "para1", "para4"])
def test_curves_of_deep_images_are_those_of_little_cms(png, samples, curve, linear):
  profile = _rgb_profile(_P3, curve)
  found = samples(20, 18, 3)
  deep = decode(png(found, {b"iCCP": b"x\0\0" + zlib.compress(profile)}), "a")
  np.testing.assert_allclose(deep, _in_srgb(found, linear=linear), atol=2e-3)
  bytes_ = np.uint8(found >> 8)
  little_cms = decode(png(bytes_, {b"iCCP": b"x\0\0" + zlib.compress(profile)}), "a")
  assert _distance(little_cms, decode(
      png(bytes_.astype(np.uint16) * 257, {b"iCCP": b"x\0\0" + zlib.compress(profile)}), "a")) < 2


def test_a_curve_with_an_offset(png, samples):
  profile = _rgb_profile(_P3, _curve(2, 0.9, 0.01, 0.1, kind=2))
  found = samples(20, 18, 3)
  deep = decode(png(found, {b"iCCP": b"x\0\0" + zlib.compress(profile)}), "a")
  np.testing.assert_allclose(
      deep, _in_srgb(found, linear=lambda x: (0.9 * x + 0.01) ** 2 + 0.1), atol=1e-3)


def test_profiles_with_tables_are_refused_for_deep_images(png, samples):
  straight = bytes(range(256)) * 3
  corners = bytes(255 * ((corner >> axis) & 1) for corner in range(8) for axis in (2, 1, 0))
  profile = _profile(b"RGB ", {b"A2B0": b"mft1\0\0\0\0\3\3\2\0" + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
                                        + straight + corners + straight}, connection=b"Lab ")
  chunks = {b"iCCP": b"x\0\0" + zlib.compress(profile)}
  assert decode_with_head(png(_PIXELS, chunks), "a")[1].notes == ("Test converted to sRGB",)
  with pytest.raises(UnreadableImage, match="profile with tables is not applied to images of more"):
    decode(png(samples(2, 2, 3), chunks), "a")


def test_grey_profiles(png, samples):
  found = np.uint8(np.arange(256).reshape(16, 16, 1))
  chunks = {b"iCCP": b"x\0\0" + zlib.compress(_GREY_LINEAR)}
  expected = srgb.encode(np.float64(found) / 255)
  pixels, head = decode_with_head(png(found, chunks), "a")
  assert _distance(pixels, expected) <= 1.5
  assert head.notes == ("Linear grey converted to sRGB",)
  deep = samples(4, 4, 1)
  np.testing.assert_allclose(decode(png(deep, chunks), "a")[..., :1], srgb.encode(deep / 65535),
                             atol=1e-4)


@pytest.mark.parametrize("profile", [
    _PLAIN_SRGB, _rgb_profile(_SRGB, _curve(*_SRGB_CURVE), name="another sRGB")])
def test_srgb_profiles_leave_every_pixel(profile):
  pixels, head = decode_with_head(_saved("PNG", icc_profile=profile), "a")
  np.testing.assert_array_equal(pixels, _PIXELS)
  assert head.notes == ()


def test_transparent_and_palette_images_are_converted_too():
  rgba = np.concatenate([_PIXELS, np.full((12, 10, 1), 255, np.uint8)], axis=-1)
  rgba[0, 0, 3] = 0
  stream = io.BytesIO()
  Image.fromarray(rgba).save(stream, "PNG", icc_profile=_DISPLAY_P3)
  pixels, head = decode_with_head(stream.getvalue(), "a")
  expected = _in_srgb(_PIXELS)
  expected[0, 0] = 1
  assert _distance(pixels, expected) <= 1.5
  assert head.notes == ("Display P3 converted to sRGB", "laid over white")
  assert _distance(decode(_saved("PNG", "P", icc_profile=_DISPLAY_P3), "a"),
                   _in_srgb(decode(_saved("PNG", "P"), "a"))) <= 1.5


@pytest.mark.parametrize(("mode", "profile", "note"), [
    ("RGB", b"not a profile", "damaged colour profile ignored"),
    ("RGB", _DISPLAY_P3[:200], "damaged colour profile ignored"),
    ("RGB", _GREY_LINEAR, "GRAY profile of a RGB image ignored"),
    ("CMYK", _DISPLAY_P3, "RGB profile of a CMYK image ignored"),
])
def test_profiles_that_cannot_be_used_are_noted(mode, profile, note):
  data = _saved("TIFF", mode, icc_profile=profile)
  pixels, head = decode_with_head(data, "a")
  assert note in head.notes
  np.testing.assert_array_equal(pixels, decode(_saved("TIFF", mode), "a"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_gamma_of_a_png(png, dtype):
  found = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (8, 8, 3), dtype)
  pixels, head = decode_with_head(png(found, {b"gAMA": struct.pack(">I", 100000)}), "a")
  expected = _in_srgb(found, np.eye(3), lambda x: x)
  if dtype == np.uint8:
    assert _distance(pixels, expected) <= 0.51
  else:
    np.testing.assert_allclose(pixels, expected, atol=1e-5)
  assert head.notes == ("gAMA converted to sRGB",)


def test_chromaticities_of_a_png(png):
  p3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
  chunks = {b"gAMA": struct.pack(">I", 45455),
            b"cHRM": struct.pack(">8I", *(round(1e5 * number) for number in p3))}
  pixels, head = decode_with_head(png(_PIXELS, chunks), "a")
  assert _distance(pixels, _in_srgb(_PIXELS, linear=lambda x: x ** 2.2)) <= 0.6
  assert head.notes == ("gAMA and cHRM converted to sRGB",)
  # What says that it is sRGB is, and what is written for readers who do not know that is not used.
  np.testing.assert_array_equal(decode(png(_PIXELS, {**chunks, b"sRGB": b"\0"}), "a"), _PIXELS)


@pytest.mark.parametrize("chunks", [
    {b"gAMA": struct.pack(">I", 45455)},
    {b"gAMA": struct.pack(">I", 45455), b"cHRM": struct.pack(
        ">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)},
    {b"sRGB": b"\0"},
    {b"cICP": bytes((1, 13, 0, 1))},
])
def test_pngs_that_say_srgb_leave_every_pixel(png, chunks):
  pixels, head = decode_with_head(png(_PIXELS, chunks), "a")
  np.testing.assert_array_equal(pixels, _PIXELS)
  assert head.notes == ()


def test_impossible_chromaticities_are_ignored_with_a_note(png):
  pixels, head = decode_with_head(png(_PIXELS, {b"cHRM": bytes(32)}), "a")
  np.testing.assert_array_equal(pixels, _PIXELS)
  assert head.notes == ("impossible cHRM ignored",)


def test_code_points_of_a_png_go_before_all(png):
  chunks = {b"cICP": bytes((12, 13, 0, 1)), b"sRGB": b"\0"}
  pixels, head = decode_with_head(png(_PIXELS, chunks), "a")
  assert _distance(pixels, _in_srgb(_PIXELS)) <= 0.6
  assert head.notes == ("Display P3 converted to sRGB",)


@pytest.mark.parametrize(("code_points", "reason"), [
    ((9, 16), "PQ, of high dynamic range, has no single look in sRGB"),
    ((9, 18), "HLG, of high dynamic range"),
    ((99, 13), "code points 99 and 13 are not understood")])
def test_colours_without_one_look_are_refused(png, code_points, reason):
  with pytest.raises(UnreadableImage, match=reason):
    decode(png(_PIXELS, {b"cICP": bytes((*code_points, 0, 1))}), "a")


def test_code_points_of_an_avif():
  data = _saved("AVIF", quality=100, subsampling="4:4:4")
  place = data.index(b"colrnclx") + 8
  plain = decode(data, "a")
  changed = data[:place] + struct.pack(">HH", 12, 13) + data[place + 4:]
  pixels, head = decode_with_head(changed, "a")
  assert _distance(pixels, _in_srgb(plain)) <= 0.6
  assert head.notes == ("Display P3 converted to sRGB",)
