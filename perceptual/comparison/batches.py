"""Pairs in batches of one image size, and their pixels, decoded while the metrics are at work."""

import collections
import threading
from typing import NamedTuple

import numpy as np

from perceptual.common import in_order
from perceptual.comparison import cache
from perceptual.comparison.pairing import printable
from perceptual.data.images import decoding, depth, loading
from perceptual.data.images.decoding import UnreadableImage

# A batch of two million pixels, of references and candidates together, is enough to keep two cores
# busy and holds the features of a wide network in less than 2 GB.
_PIXELS = 2**21
_MOST_PAIRS = 64
_AHEAD = 2  # batches decoded while one is compared

_IMAGE_CACHE_BYTES = 2**28

# Pairs that share images are compared in tiles of so many references by as many candidates that
# what a network has found in them fits: VGG16, the widest, keeps about 512 bytes a pixel.
FEATURE_CACHE_BYTES = 2**30
_FEATURE_BYTES_PER_PIXEL = 512


class Batch(NamedTuple):
  """Pairs to be compared in one call.

  Attributes:
    pairs: indices into `Pairing.pairs`.
    size: height and width of all their images.
    deep: whether they are compared as float32, since one image of each pair has more than 8 bits.
    room: how many pairs the call is padded to. Frameworks compile again for every shape, so all
      batches of a size have the same.
  """

  pairs: np.ndarray
  size: tuple[int, int]
  deep: bool
  room: int


class Images(NamedTuple):
  """A decoded batch.

  Attributes:
    pairs: indices into `Pairing.pairs`, of those that could be read.
    reference: `[pairs, height, width, 3]` uint8, or float32 in [0, 1].
    candidate: the same.
    room: see `Batch`.
    unreadable: `[(pair, reason)]` of those that could not.
  """

  pairs: np.ndarray
  reference: np.ndarray
  candidate: np.ndarray
  room: int
  unreadable: list

  def padded(self):
    """Returns reference and candidate, `[room, height, width, 3]`, the last pair repeated."""
    return pad(self.reference, self.room), pad(self.candidate, self.room)


def pad(images, room):
  """Returns `[room, ...]` of an array `[at most room, ...]`, its last entry repeated."""
  missing = room - len(images)
  return np.concatenate([images, np.repeat(images[-1:], missing, axis=0)]) if missing else images


def next_power_of_two(number):
  """Returns the least power of two that is not below a positive integer."""
  return 1 << (number - 1).bit_length()


def batches(pairing, headers, pairs, *, batch_size=None):
  """Returns the `Batch`es of pairs, those of one image size and dtype in a row.

  Args:
    pairing: `Pairing`.
    headers: of each of its files a `Header`, or an error for files in none of the pairs.
    pairs: indices into `pairing.pairs`, whose two images are of one size.
    batch_size: pairs a batch; None for what suits the images' size.
  """
  alike = collections.defaultdict(list)
  for pair in pairs:
    reference, candidate = (headers[file] for file in pairing.pairs[pair])
    alike[reference.size, reference.deep or candidate.deep].append(pair)
  found = []
  for (size, deep), members in alike.items():
    room = min(batch_size or _suitable(size), next_power_of_two(len(members)))
    members = _in_tiles(np.array(members), pairing.pairs, size)
    found += [Batch(members[i:i + room], size, deep, room) for i in range(0, len(members), room)]
  return found


def read(pairing, found, decoder=None):
  """Yields the `Images` of `Batch`es, in order; threads decode the next ones meanwhile.

  Args:
    pairing: `Pairing`.
    found: its `Batch`es.
    decoder: `keeping_decoder(pairing)`, where its images are read several times; None for one of
      this call.
  """
  if decoder is None:
    decoder = (_ImageCache if shares_images(pairing) else _Decoder)(pairing)
  return in_order.map_in_order(
      lambda batch: _read(batch, pairing.pairs, decoder), found, ahead=_AHEAD)


def keeping_decoder(pairing):
  """Returns what decodes the images of a pairing, and keeps those used last from read to read."""
  return _ImageCache(pairing)


def shares_images(pairing):
  """Whether some image is in more than one pair."""
  return len(pairing.files) < pairing.pairs.size


def _suitable(size):
  height, width = size
  pairs = max(1, _PIXELS // (2 * height * width))
  return min(_MOST_PAIRS, pairs)


def _in_tiles(members, pairs, size):
  """Returns pairs in an order in which the images of few files are needed at a time."""
  bytes_per_image = _FEATURE_BYTES_PER_PIXEL * size[0] * size[1]
  side = max(1, FEATURE_CACHE_BYTES // (2 * bytes_per_image))
  reference, candidate = pairs[members].T
  return members[np.lexsort((candidate, reference, candidate // side, reference // side))]


def _read(batch, pairs, decoder):
  readable, references, candidates, unreadable = [], [], [], []
  for pair in batch.pairs:
    try:
      reference, candidate = (decoder.read(file, batch) for file in pairs[pair])
    except UnreadableImage as error:
      unreadable.append((pair, str(error)))
      continue
    readable.append(pair)
    references.append(reference)
    candidates.append(candidate)
  empty = np.empty((0, *batch.size, 3), np.float32 if batch.deep else np.uint8)
  return Images(np.array(readable, int), np.stack(references) if readable else empty,
                np.stack(candidates) if readable else empty, batch.room, unreadable)


class _Decoder:
  """Decodes files by their index."""

  def __init__(self, pairing):
    self._files = pairing.files
    self._bit_depth = pairing.bit_depth
    self._view = pairing.view

  def read(self, file, batch):
    """Returns the image of a `Batch` as its other images are; raises `UnreadableImage`."""
    image = self._image(file)
    if image.shape[:2] != tuple(batch.size) or (image.dtype != np.uint8 and not batch.deep):
      raise UnreadableImage(printable(self._files[file]), "changed while it was being read")
    return depth.to_float(image) if batch.deep else image

  def _image(self, file):
    path = self._files[file]
    name = printable(path)
    return self._view(
        decoding.decode(loading.read_bytes(path, name), name, bit_depth=self._bit_depth))


class _ImageCache(_Decoder):
  """Keeps the images used last, within a number of bytes; used by several threads."""

  def __init__(self, pairing):
    super().__init__(pairing)
    self._cache = cache.Cache(_IMAGE_CACHE_BYTES)
    self._lock = threading.Lock()

  def _image(self, file):
    with self._lock:
      image = self._cache.get(file)
    if image is None:
      image = super()._image(file)
      with self._lock:
        self._cache.put(file, image, image.nbytes)
    return image
