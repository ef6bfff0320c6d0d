"""Aerial photographs and their masks, in windows that have imagery.

A folder holds `images` and `masks`, which pair by their names without suffixes. Of the
Massachusetts Roads, whose tiles are 1500 pixels a side, part of many photographs is blank, white,
while the mask goes on: a network can learn nothing there but to guess. Windows are therefore taken
only where nearly all pixels are imagery.
"""

import functools
from typing import NamedTuple

import numpy as np

from perceptual.common import progress
from perceptual.errors import UserError
from perceptual.tasks import image_sources

BLANK = 250  # a pixel all of whose colours are at least this has no imagery
MOST_BLANK = 0.01  # share of a window's pixels, of which there must be less than this
_KEPT_TILES = 64  # in memory: 1.5 GB of 1500 pixels a side


class Tile(NamedTuple):
  """One photograph and its mask.

  Attributes:
    image: `[height, width, 3]` uint8.
    mask: `[height, width]` uint8, 0 or 255.
    corners: `[n]` int32, where windows with imagery may begin: row * columns of `choice` + column.
    choice: (rows, columns) of all places where a window may begin.
  """

  image: np.ndarray
  mask: np.ndarray
  corners: np.ndarray
  choice: tuple[int, int]


class Tiles:
  """The tiles of a folder that have windows with imagery.

  Attributes:
    name: of the folder.
    names: of the tiles.
    left_out: names of those without such a window.
    side: height and width of a window in pixels.
  """

  def __init__(self, source, data_dir, side):
    """Pairs and checks the files, all of which are read once.

    Args:
      source: a folder that holds `images` and `masks`; see `image_sources.folder`.
      data_dir: as there.
      side: of a window in pixels.

    Raises:
      UserError: photographs and masks do not pair, differ in size, are smaller than a window, or
        a mask is not of two values, or is transparent in part.
    """
    self.name = source
    self.side = side
    folder = image_sources.folder(source, data_dir)
    self._paths = _paired(folder)
    self.read = functools.lru_cache(maxsize=_KEPT_TILES)(self._read)
    with progress.progress(list(self._paths), description=f"looking through {source}",
                           silent=len(self._paths) < 20) as bar:
      windows = {name: len(self.read(name).corners) for name in bar}
    self.names = tuple(name for name, count in windows.items() if count)
    self.left_out = tuple(name for name, count in windows.items() if not count)
    if not self.names:
      raise UserError(f"No tile of {folder} has a window of {side} pixels a side with imagery.")

  def window(self, name, corner):
    """Returns `(image, mask)` of a window: uint8, `[side, side, 3]` and `[side, side, 1]`."""
    tile = self.read(name)
    top, left = corner
    place = slice(top, top + self.side), slice(left, left + self.side)
    return tile.image[place], tile.mask[place][..., np.newaxis]

  def drawn(self, name, draw):
    """Returns a window with imagery of a tile, drawn by a `np.random.Generator`, as `window`."""
    tile = self.read(name)
    corner = int(tile.corners[draw.integers(len(tile.corners))])
    return self.window(name, divmod(corner, tile.choice[1]))

  def grid(self, names=None):
    """Returns `(name, corner)` of the windows with imagery that lie side by side, a list."""
    found = []
    for name in self.names if names is None else names:
      tile = self.read(name)
      allowed = set(tile.corners.tolist())
      found += [(name, (top, left))
                for top in range(0, tile.choice[0], self.side)
                for left in range(0, tile.choice[1], self.side)
                if top * tile.choice[1] + left in allowed]
    return found

  def _read(self, name):
    image_path, mask_path = self._paths[name]
    image = image_sources.read_image(image_path)
    mask = _binary(image_sources.read_image(mask_path), mask_path)
    if not image_sources.is_opaque(mask_path):  # which was laid over white: a road
      raise UserError(f"{mask_path} is not a mask: some of it is transparent. Save it as black and "
                      "white, without transparency.")
    if image.shape[:2] != mask.shape:
      raise UserError(f"{mask_path} has {mask.shape[1]}x{mask.shape[0]} pixels, its photograph "
                      f"{image.shape[1]}x{image.shape[0]}: they must be of one size.")
    if min(mask.shape) < self.side:
      raise UserError(f"{image_path} has {image.shape[1]}x{image.shape[0]} pixels; windows of "
                      f"{self.side} need that many a side. Leave it out, or set delineation.side.")
    corners = windows_with_imagery(image, self.side)
    return Tile(image, mask, np.flatnonzero(corners).astype(np.int32), corners.shape)


def windows_with_imagery(image, side):
  """Returns where windows may begin: `[height - side + 1, width - side + 1]` bool.

  Args:
    image: `[height, width, 3]` uint8.
    side: of a window.
  """
  blank = image.min(axis=-1) >= BLANK
  summed = np.zeros((blank.shape[0] + 1, blank.shape[1] + 1), np.int64)
  summed[1:, 1:] = blank.cumsum(axis=0, dtype=np.int64).cumsum(axis=1)
  inside = summed[side:, side:] - summed[:-side, side:] - summed[side:, :-side] + (
      summed[:-side, :-side])
  return inside < MOST_BLANK * side**2


def _paired(folder):
  """Returns `{name: (image, mask)}` of a folder."""
  found = {}
  for part in ("images", "masks"):
    paths = image_sources.image_paths(image_sources.folder(folder / part))
    found[part] = {}
    for name, path in paths.items():
      other = found[part].setdefault(name.rpartition(".")[0], path)
      if other != path:
        raise UserError(f"{folder / part} has both {other.name} and {path.name}: photographs and "
                        "masks pair by their names without suffixes.")
    if not paths:
      raise UserError(f"There are no images in {folder / part}.")
  alone = sorted(set(found["images"]) ^ set(found["masks"]))
  if alone:
    part, other = ("images", "masks") if alone[0] in found["images"] else ("masks", "images")
    raise UserError(f"{folder / part} has {alone[0]}, {folder / other} does not: every photograph "
                    "needs a mask of its name.")
  return {name: (path, found["masks"][name]) for name, path in found["images"].items()}


def _binary(image, path):
  """Returns a mask `[height, width]` of 0 and 255."""
  values = np.unique(image)
  if not np.isin(values, (0, 255)).all() and not np.isin(values, (0, 1)).all():
    raise UserError(f"{path} is not a mask: its values must be 0 and 255 (or 0 and 1), not "
                    f"{', '.join(map(str, values[:4]))}{' and others' * (len(values) > 4)}.")
  return np.where(image.max(axis=-1) > 0, 255, 0).astype(np.uint8)
