"""Sizes in which images are compared."""

import numpy as np
import pytest

from perceptual.data.images.view import WHOLE, View
from perceptual.errors import UserError


def test_nothing_asked_for_changes_nothing():
  image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
  assert WHOLE(image) is not None and (WHOLE(image) == image).all()
  assert WHOLE.size_of((3, 4)) == (3, 4) and str(WHOLE) == ""


def test_the_shorter_side_is_resized_and_the_ratio_kept():
  view = View(image_size=8)
  assert view.size_of((16, 24)) == (8, 12) and view.size_of((24, 16)) == (12, 8)
  assert view(np.zeros((16, 24, 3), np.uint8)).shape == (8, 12, 3)
  assert str(view) == "at 8 pixels"


@pytest.mark.parametrize("dtype, tolerance", [(np.uint8, 1), (np.float32, 1e-3)])
def test_resizing_is_antialiased(dtype, tolerance):
  """Of every second column white, half white remains; a filter without support gives stripes."""
  white = 255 if dtype == np.uint8 else 1.0
  stripes = np.zeros((32, 32, 3), dtype)
  stripes[:, ::2] = white
  small = View(image_size=8)(stripes)
  assert small.dtype == dtype
  inside = small[:, 1:-1].astype(float)
  np.testing.assert_allclose(inside, white / 2, atol=tolerance)


def test_the_crop_is_the_centre_after_resizing():
  image = np.zeros((8, 12, 3), np.uint8)
  image[2:6, 4:8] = 200
  assert (View(crop=4)(image) == 200).all()
  assert View(image_size=4, crop=2)(image).shape == (2, 2, 3)
  assert str(View(image_size=4, crop=2)) == "at 4 pixels, cropped to 2"


@pytest.mark.parametrize("options, size, message", [
    ({"image_size": 9}, (8, 12), "12x8 pixels, too small for an image_size of 9"),
    ({"crop": 9}, (8, 12), "12x8 pixels, too small for a crop of 9"),
])
def test_nothing_is_enlarged(options, size, message):
  with pytest.raises(UserError, match=message):
    View(**options).size_of(size)


@pytest.mark.parametrize("options, message", [
    ({"image_size": 0}, "image_size must be a whole number of at least 1, not 0"),
    ({"crop": 2.5}, "crop must be a whole number"),
    ({"image_size": 8, "crop": 9}, "crop 9 is larger than image_size 8"),
])
def test_illegal_views(options, message):
  with pytest.raises(UserError, match=message):
    View(**options)
