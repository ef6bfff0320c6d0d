"""Pairs in batches: every pair once, one size and shape a batch, and memory that does not grow."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from perceptual.comparison import batches, cache, headers, pairing


@pytest.fixture
def listed(tmp_path, write_grey):
  """Seven pairs of 8x8, one of 16x8 and one of a file that is cut short."""
  values = {f"{i}.png": 10 * i for i in range(7)}
  write_grey(tmp_path / "r", values)
  write_grey(tmp_path / "c", values)
  for folder in ("r", "c"):
    write_grey(tmp_path / folder, {"wide.png": 1}, size=(8, 16))
    write_grey(tmp_path / folder, {"short.png": 2})
  path = tmp_path / "c" / "short.png"
  path.write_bytes(path.read_bytes()[:60])
  return pairing.folders(tmp_path / "r", tmp_path / "c")


def _batches(found, **options):
  return batches.batches(found, headers.read_all(found.files), range(len(found.pairs)), **options)


def test_batches_hold_every_pair_once_and_one_size_each(listed):
  found = _batches(listed, batch_size=4)
  assert sorted(np.concatenate([batch.pairs for batch in found])) == list(range(9))
  assert [(batch.size, len(batch.pairs), batch.room) for batch in found] == [
      ((8, 8), 4, 4), ((8, 8), 4, 4), ((8, 16), 1, 1)]


def test_a_few_pairs_make_a_small_batch(listed):
  found = _batches(listed, batch_size=64)
  assert [(len(batch.pairs), batch.room) for batch in found] == [(8, 8), (1, 1)]


@pytest.mark.parametrize(("size", "pairs"), [
    ((8, 8), 64), ((256, 256), 16), ((1024, 1024), 1), ((4000, 6000), 1)])
def test_the_larger_the_images_the_smaller_the_batch(size, pairs):
  count = 100
  found = pairing.Pairing("", (), np.arange(2 * count).reshape(-1, 2))
  inspected = [headers.Header(size, (), (0, 0))] * (2 * count)
  assert {batch.room for batch in batches.batches(found, inspected, range(count))} == {pairs}


def test_pixels_and_what_cannot_be_read(listed):
  read = list(batches.read(listed, _batches(listed, batch_size=4)))
  assert [image.room for image in read] == [4, 4, 1]
  for images in read:
    assert images.reference.shape == (len(images.pairs), 8, 16 if images.room == 1 else 8, 3)
    np.testing.assert_array_equal(images.reference, images.candidate)
    for pair, pixels in zip(images.pairs, images.reference):
      name = listed.files[listed.pairs[pair, 0]].stem
      assert (pixels == (1 if name == "wide" else 10 * int(name))).all()
  (pair, reason), = [failure for images in read for failure in images.unreadable]
  assert listed.names(pair)[1].endswith("c/short.png") and "c/short.png: " in reason


def test_a_file_that_changes_its_size_meanwhile_is_not_compared(listed, write_grey):
  found = _batches(listed)
  write_grey(listed.files[0].parent, {listed.files[0].name: 3}, size=(9, 9))
  unreadable = [failure for images in batches.read(listed, found) for failure in images.unreadable]
  assert (0, f"{listed.files[0]}: changed while it was being read") in unreadable


def test_pairs_with_a_deep_image_are_float_and_the_others_stay_uint8(tmp_path, write_grey):
  write_grey(tmp_path / "r", {"a.png": 51, "b.png": 51, "c.png": 51})
  write_grey(tmp_path / "c", {"b.png": 102, "c.png": 102})
  deep = Image.fromarray(np.full((8, 8), 1023, np.uint16))
  deep.save(tmp_path / "c" / "a.png")
  found = dataclasses.replace(pairing.folders(tmp_path / "r", tmp_path / "c"), bit_depth=10)
  inspected = headers.read_all(found.files, bit_depth=10)
  read = list(batches.read(found, batches.batches(found, inspected, range(3))))
  assert [(images.pairs.tolist(), images.reference.dtype, images.candidate.dtype)
          for images in read] == [([0], np.float32, np.float32), ([1, 2], np.uint8, np.uint8)]
  np.testing.assert_array_equal(read[0].reference, np.full((1, 8, 8, 3), 51 / 255, np.float32))
  assert (read[0].candidate == 1).all() and (read[1].candidate == 102).all()


def test_padding_repeats_the_last():
  images = np.arange(3)[:, None]
  assert batches.pad(images, 5).ravel().tolist() == [0, 1, 2, 2, 2]
  assert batches.pad(images, 3) is images


def test_all_pairs_need_few_images_at_a_time(monkeypatch):
  side, count, size = 4, 32, (16, 16)
  monkeypatch.setattr(batches, "FEATURE_CACHE_BYTES", 2 * side * 512 * size[0] * size[1])
  pairs = np.stack(np.triu_indices(count, 1), axis=1)
  found = pairing.Pairing("", tuple(range(count)), pairs)
  inspected = [headers.Header(size, (), (0, 0))] * count
  order = np.concatenate([b.pairs for b in batches.batches(found, inspected, range(len(pairs)))])
  assert sorted(order) == list(range(len(pairs)))
  assert _reads(pairs[order], 2 * side) < len(pairs) / 2 < _reads(pairs, 2 * side)


def _reads(pairs, kept):
  """How often a cache of so many images must decode one."""
  held, reads = cache.Cache(kept), 0
  for image in pairs.ravel():
    if held.get(image) is None:
      reads += 1
      held.put(image, True, 1)
  return reads


def test_a_shared_image_is_decoded_once(tmp_path, write_grey, monkeypatch):
  write_grey(tmp_path, {f"{i}.png": i for i in range(6)})
  found = pairing.every_pair(tmp_path)
  decoded = []
  decode = batches._Decoder._image
  monkeypatch.setattr(batches._Decoder, "_image",
                      lambda self, file: decoded.append(file) or decode(self, file))
  assert sum(len(images.pairs) for images in batches.read(found, _batches(found))) == 15
  assert sorted(decoded) == list(range(6))


def test_no_more_than_a_few_batches_are_decoded_ahead(tmp_path, write_grey, monkeypatch):
  write_grey(tmp_path / "r", {f"{i}.png": i for i in range(40)})
  write_grey(tmp_path / "c", {f"{i}.png": i for i in range(40)})
  found = pairing.folders(tmp_path / "r", tmp_path / "c")
  decoded = []
  decode = batches._Decoder._image
  monkeypatch.setattr(batches._Decoder, "_image",
                      lambda self, file: decoded.append(file) or decode(self, file))
  reader = batches.read(found, _batches(found, batch_size=2))
  next(reader)
  assert len(decoded) <= 3 * 2 * 2  # this one and two ahead, of two pairs each
  reader.close()


def test_a_cache_drops_what_was_used_longest_ago():
  held = cache.Cache(10)
  held.put("a", 1, 4)
  held.put("b", 2, 4)
  assert held.get("a") == 1
  held.put("c", 3, 4)
  assert (held.get("a"), held.get("b"), held.get("c")) == (1, None, 3)
  held.put("c", 4, 2)
  held.put("d", 5, 4)
  assert (held.get("a"), held.get("c"), held.get("d")) == (1, 4, 5)
  held.put("huge", 6, 11)
  assert held.get("huge") is None
