import io
import os
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from perceptual.data.images import image_files
from perceptual.errors import UserError

PHOTOGRAPH = np.random.default_rng(0).integers(0, 256, (10, 12, 3), dtype=np.uint8)


def encoded(image, file_format="PNG", **options):
  stream = io.BytesIO()
  image.save(stream, file_format, **options)
  return stream.getvalue()


def photograph(mode="RGB"):
  return Image.fromarray(PHOTOGRAPH).convert(mode)


@pytest.mark.parametrize("file_format", ["PNG", "BMP", "PPM", "TIFF", "TGA"])
def test_pixels_of_lossless_formats(file_format):
  np.testing.assert_array_equal(
      image_files.decode(encoded(photograph(), file_format), "a"), PHOTOGRAPH)


def test_png_keeps_every_pixel():
  np.testing.assert_array_equal(
      image_files.decode(image_files.encode_png(PHOTOGRAPH), "a"), PHOTOGRAPH)


@pytest.mark.parametrize("mode, file_format", [
    ("L", "PNG"), ("1", "PNG"), ("P", "PNG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG")])
def test_other_colour_modes_become_rgb(mode, file_format):
  image = photograph(mode)
  pixels = image_files.decode(encoded(image, file_format), "a")
  assert pixels.shape == (10, 12, 3)
  assert pixels.dtype == np.uint8
  if file_format != "JPEG":
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


def test_greyscale_gives_three_equal_channels():
  pixels = image_files.decode(encoded(photograph("L")), "a")
  assert (pixels == pixels[..., :1]).all()


def test_for_data_sets_deep_images_are_rounded_with_a_warning():
  grey = np.array([[0, 128, 129], [32768, 65278, 65535]], np.uint16)
  with pytest.warns(UserWarning, match="more than 8 bits are rounded to 8"):
    pixels = image_files.decode(encoded(Image.fromarray(grey)), "a")
  np.testing.assert_array_equal(pixels[..., 0], [[0, 0, 1], [128, 254, 255]])


def test_transparent_images_are_laid_over_white():
  rgba = np.zeros((1, 3, 4), np.uint8)
  rgba[0, :, 3] = 0, 255, 51  # black: clear, solid, one fifth
  pixels = image_files.decode(encoded(Image.fromarray(rgba)), "a")
  np.testing.assert_array_equal(pixels[0, :, 0], [255, 0, 204])


def test_transparent_palette_colour_is_laid_over_white():
  image = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
  image.putpalette([10, 20, 30, 40, 50, 60])
  pixels = image_files.decode(encoded(image, transparency=1), "a")
  np.testing.assert_array_equal(pixels, [[[10, 20, 30], [255, 255, 255]]])


def test_thirty_two_bits_are_refused():
  image = Image.fromarray(np.ones((2, 2), np.float32))
  with pytest.raises(image_files.UnreadableImage, match=r"a.tif: 32-bit pixels"):
    image_files.decode(encoded(image, "TIFF"), "a.tif")


@pytest.mark.parametrize(
    "file_format", ["JPEG", "PNG", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("lost", [1, 2, 4, 8, 12, 16, 30])
def test_truncated_by_a_few_bytes(file_format, lost):
  data = encoded(photograph(), file_format)
  with pytest.raises(image_files.UnreadableImage) as error:
    image_files.decode(data[:-lost], "folder/a")
  assert error.value.name == "folder/a"
  assert str(error.value) == f"folder/a: {error.value.reason}"


@pytest.mark.parametrize("file_format", [
    "JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "AVIF", "JPEG2000", "TGA"])
def test_truncated_to_any_part(file_format):
  data = encoded(photograph(), file_format)
  for part in np.linspace(1, 0.9 * len(data), 25, dtype=int):
    with pytest.raises(image_files.UnreadableImage):
      image_files.decode(data[:part], "a")


def test_damaged_png_is_found_by_its_checksums():
  data = bytearray(encoded(photograph()))
  data[len(data) // 2] ^= 1
  with pytest.raises(image_files.UnreadableImage):
    image_files.decode(bytes(data), "a")


@pytest.mark.parametrize("data, reason", [
    (b"", "empty file"), (b"hello, world", r"not an image \(PNG, .*, TGA\)")])
def test_no_image(data, reason):
  with pytest.raises(image_files.UnreadableImage, match=f"^a.png: {reason}$"):
    image_files.decode(data, "a.png")


@pytest.fixture
def folder(tmp_path):
  """A folder with hidden files, other files, and names that a naive sort would mix up."""
  root = tmp_path / "folder"
  for name in ("b/10.png", "b/9.PNG", "a/x.jpeg", "c/.hidden.png", "c/.secret/x.png",
               "__MACOSX/b/10.png"):
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(encoded(photograph(), "JPEG" if name.endswith("g") else "PNG"))
  (root / "a/notes.txt").write_text("about a")
  return root


def archive(folder, path, mode):
  with tarfile.open(path, mode) as tar:
    tar.add(folder, arcname=".")
  return path


@pytest.fixture(params=["folder", "x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz", "x.tgz"])
def source(request, folder, tmp_path):
  if request.param == "folder":
    return folder
  mode = {"tgz": "gz", "tar": ""}.get(request.param.split(".")[-1], request.param.split(".")[-1])
  return archive(folder, tmp_path / request.param, f"w:{mode}")


def test_lists_all_files_that_are_not_hidden(source, folder):
  sizes, contents = image_files.list_files(source, keep=("notes.txt",))
  assert sizes == {
      name: (folder / name).stat().st_size
      for name in ("a/notes.txt", "a/x.jpeg", "b/10.png", "b/9.PNG")}
  assert contents == {"a/notes.txt": b"about a"}


def test_gives_the_images_as_their_bytes(source, folder):
  files = {file.name: file.read() for file in image_files.image_files(source)}
  assert files == {
      name: (folder / name).read_bytes() for name in ("a/x.jpeg", "b/10.png", "b/9.PNG")}


def test_the_order_of_the_list_is_that_of_the_images(source):
  names = [name for name in image_files.list_files(source)[0] if image_files.is_image_name(name)]
  assert [file.name for file in image_files.image_files(source)] == names


@pytest.mark.parametrize("mode", ["", "gz", "bz2", "xz"])
def test_truncated_archive_is_found_out_unless_only_its_padding_is_lost(folder, tmp_path, mode):
  path = archive(folder, tmp_path / f"x.tar{mode and '.'}{mode}", f"w:{mode}")
  data = path.read_bytes()
  whole = {file.name: file.read() for file in image_files.image_files(path)}
  refused = 0
  for part in range(1, len(data), max(1, len(data) // 60)):
    path.write_bytes(data[:part])
    try:
      assert {file.name: file.read() for file in image_files.image_files(path)} == whole
    except UserError as error:
      assert "is damaged or truncated" in str(error)
      refused += 1
      with pytest.raises(UserError, match="is damaged or truncated"):
        image_files.list_files(path)
  assert refused > 15


def test_archive_cut_between_two_files(folder, tmp_path):
  path = archive(folder, tmp_path / "x.tar", "w")
  with tarfile.open(path) as tar:
    last = tar.getmembers()[-1].offset
  path.write_bytes(path.read_bytes()[:last])
  with pytest.raises(UserError, match="damaged or truncated"):
    image_files.list_files(path)


def test_links(folder, tmp_path):
  os.symlink("10.png", folder / "b/link.png")
  os.symlink("nowhere.png", folder / "b/dangling.png")
  files = {file.name: file for file in image_files.image_files(folder)}
  np.testing.assert_array_equal(files["b/link.png"].decode(), files["b/10.png"].decode())
  with pytest.raises(image_files.UnreadableImage, match=r"^b/dangling.png: No such file"):
    files["b/dangling.png"].decode()
  in_archive = image_files.image_files(archive(folder, tmp_path / "x.tar", "w"))
  link = next(file for file in in_archive if file.name == "b/link.png")
  with pytest.raises(image_files.UnreadableImage, match=r"^b/link.png: a link inside"):
    link.decode()


def test_two_files_of_one_name_in_an_archive(folder, tmp_path):
  path = archive(folder, tmp_path / "x.tar", "w")
  with tarfile.open(path, "a") as tar:
    tar.add(folder / "a/x.jpeg", arcname="a/x.jpeg")
  with pytest.raises(UserError, match=r"holds a/x.jpeg twice"):
    image_files.list_files(path)


def test_sources_that_are_none(tmp_path):
  with pytest.raises(UserError, match="No such folder or archive"):
    image_files.list_files(tmp_path / "nowhere")
  (tmp_path / "x.zip").write_bytes(b"PK")
  with pytest.raises(UserError, match=r"x.zip is neither a folder nor an archive \(.tar, "):
    image_files.list_files(tmp_path / "x.zip")


def test_a_bmp_that_claims_far_more_pixels_than_it_codes_is_refused_at_once():
  """37 million pixels in 58 bytes, found by `tools.faults.guided`: Pillow fills them one by one."""
  head = struct.pack("<2sIHHI", b"BM", 58, 0, 0, 54) + struct.pack(
      "<IiiHHIIiiII", 40, 0x470008, 8, 1, 8, 1, 0, 0, 0, 0, 0)
  with pytest.raises(image_files.UnreadableImage, match="BMP of 58 bytes holds no 37,224"):
    image_files.decode(head + bytes(4), "x.bmp")
