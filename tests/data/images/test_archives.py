"""A compressed archive is verified to its checksum; what would fill a memory is not read."""

import gzip
import io
import lzma
import tarfile

import numpy as np
import pytest

from perceptual.common import budgets
from perceptual.data.images import archives, image_files
from perceptual.errors import UserError


def _tar(names=("a.bmp", "b.bmp"), size=200):
  stream = io.BytesIO()
  with tarfile.open(fileobj=stream, mode="w") as archive:
    for number, name in enumerate(names):
      data = np.random.default_rng(number).bytes(size)
      member = tarfile.TarInfo(name)
      member.size = size
      archive.addfile(member, io.BytesIO(data))
  return stream.getvalue()


def _stored(data):
  """A gzip file that is not compressed, in which a flipped bit is one of the content."""
  return gzip.compress(data, compresslevel=0)


def test_any_flipped_bit_of_a_gzip_archive_is_found(tmp_path):
  path = tmp_path / "x.tar.gz"
  whole = _stored(_tar())
  for place in [*range(600, 10000, 701), len(whole) - 5]:  # in files, padding and checksum
    data = bytearray(whole)
    data[place] ^= 1
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"x\.tar\.gz is damaged or truncated: "):
      image_files.list_files(path)
    with pytest.raises(UserError, match=r"x\.tar\.gz is damaged or truncated: "):
      archives.verify(path)


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress])
def test_a_flipped_bit_of_the_checksum_is_found(tmp_path, compress):
  path = tmp_path / "x.tar.gz"
  data = bytearray(compress(_tar()))
  data[-6] ^= 1
  path.write_bytes(data)
  with pytest.raises(UserError, match="is damaged or truncated"):
    list(archives.members(path))


def test_an_xz_archive_without_a_checksum_is_refused(tmp_path):
  path = tmp_path / "x.tar.xz"
  path.write_bytes(lzma.compress(_tar(), check=lzma.CHECK_NONE))
  with pytest.raises(UserError, match=r"x\.tar\.xz has no checksum"):
    image_files.list_files(path)


def _with_sparse_member(path, size):
  """Writes an archive with a file of which the archive holds nothing but its size."""
  member = tarfile.TarInfo("huge.png")
  member.pax_headers = {"GNU.sparse.map": "0,0", "GNU.sparse.size": str(size)}
  with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
    archive.addfile(member)


def test_a_sparse_member_is_refused(tmp_path):
  path = tmp_path / "x.tar"
  _with_sparse_member(path, 40 * 2**30)
  for read in (image_files.list_files, archives.verify,
               lambda path: list(image_files.image_files(path))):
    with pytest.raises(UserError, match=r"x\.tar holds a sparse file, huge\.png: it is not read"):
      read(path)


def test_an_archive_that_grows_out_of_proportion_is_refused(tmp_path, monkeypatch):
  monkeypatch.setattr(budgets, "ALWAYS_ALLOWED", 2**16)
  path = tmp_path / "x.tar.gz"
  path.write_bytes(gzip.compress(_tar(("a.png",)) + bytes(10**6)))
  assert path.stat().st_size < 5000
  with pytest.raises(UserError, match=r"unpacks to more than 200 times its [\d,]+ bytes"):
    image_files.list_files(path)


def test_a_member_larger_than_any_image_is_not_read(tmp_path, monkeypatch):
  path = tmp_path / "x.tar"
  path.write_bytes(_tar())
  monkeypatch.setenv("PERCEPTUAL_MAX_MEGAPIXELS", "0.00001")  # ten pixels
  file = next(image_files.image_files(path))
  with pytest.raises(UserError, match=r"a\.bmp: 200 bytes, more than an image of the pixels"):
    file.decode()
  with pytest.raises(UserError, match=r"a\.bmp: 200 bytes, more than"):
    image_files.list_files(path, keep=("a.bmp",))
  with pytest.raises(UserError, match=r"a\.bmp has 200 bytes"):
    archives.verify(path)


def test_the_compression_is_told_by_the_content(tmp_path):
  for number, compress in enumerate((bytes, gzip.compress, lzma.compress)):
    path = tmp_path / f"{number}.tar"
    path.write_bytes(compress(_tar()))
    assert list(image_files.list_files(path)[0]) == ["a.bmp", "b.bmp"]


@pytest.mark.parametrize(("header", "reason"), [
    ({"GNU.sparse.map": "a,b"}, "a header cannot be read"),
    ({"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}, "a header cannot be read"),
    ({"size": "-5"}, r"a\.png has -5 bytes")])
def test_an_impossible_header_is_damage(tmp_path, header, reason):
  path = tmp_path / "x.tar"
  member = tarfile.TarInfo("a.png")
  member.size, member.pax_headers = 3, header
  for names in ((), ("b.png",)):  # tarfile reads the first header when it opens an archive
    path.write_bytes(_tar(names)[:1024 if names else 0])
    with open(path, "ab") as file, tarfile.open(
        fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
      archive.addfile(member, io.BytesIO(b"abc"))
    with pytest.raises(UserError, match=rf"x\.tar is damaged or truncated: {reason}"):
      list(archives.members(path))


def test_a_long_chain_of_headers_is_damage(tmp_path):
  name = tarfile.TarInfo("././@LongLink")
  name.type, name.size = tarfile.GNUTYPE_LONGNAME, 2
  path = tmp_path / "x.tar"
  path.write_bytes(2000 * (name.tobuf(tarfile.GNU_FORMAT)[:512] + b"a\0".ljust(512, b"\0")))
  with pytest.raises(UserError, match="damaged or truncated: a header cannot be read"):
    list(archives.members(path))
