"""Augmentation: what each crop may do, by images whose pixels tell where they came from."""

import numpy as np
import pytest
import tensorflow as tf

from perceptual.data.labelled import augment
from perceptual.data.labelled.augment import Augmentation
from perceptual.errors import UserError

SIZE = 16


@pytest.fixture(scope="module")
def noise():
  """An image no two of whose 16-pixel windows are alike."""
  return tf.constant(np.random.default_rng(0).integers(1, 256, (SIZE, SIZE, 3), np.uint8))


def _varied(augmentation, image, count, first=0):
  """`[count, height, width, 3]`: the image augmented by seeds (7, first), (7, first + 1), ..."""
  seeds = tf.data.Dataset.range(first, first + count)
  varied = seeds.map(lambda i: augmentation.train(image, tf.stack([tf.constant(7, tf.int64), i])))
  return np.stack(list(varied.as_numpy_iterator()))


def test_pad_crop_is_a_window_of_the_padded_image_at_every_offset(noise):
  padded = np.pad(noise.numpy(), [(2, 2), (2, 2), (0, 0)])
  windows = {padded[y:y + SIZE, x:x + SIZE].tobytes(): (y, x) for y in range(5) for x in range(5)}
  crops = _varied(Augmentation("pad", padding=2, flip=False), noise, 300)
  assert {windows[crop.tobytes()] for crop in crops} == set(windows.values())


def test_flip_mirrors_half_the_images(noise):
  varied = _varied(Augmentation("none", flip=True), noise, 400)
  mirrored = (varied == noise.numpy()[:, ::-1]).all(axis=(1, 2, 3))
  assert (varied[~mirrored] == noise.numpy()).all()
  assert 160 < mirrored.sum() < 240, "4 standard deviations about a half"


def test_crop_and_flip_are_independent(noise):
  """Were one seed used for both, some offsets would never be mirrored."""
  padded = np.pad(noise.numpy(), [(1, 1), (1, 1), (0, 0)])
  windows = {}
  for offset in np.ndindex(3, 3):
    window = padded[offset[0]:offset[0] + SIZE, offset[1]:offset[1] + SIZE]
    windows[window.tobytes()] = (*offset, False)
    windows[window[:, ::-1].tobytes()] = (*offset, True)
  varied = _varied(Augmentation("pad", padding=1, flip=True), noise, 400)
  assert {windows[image.tobytes()] for image in varied} == set(windows.values())


def _ramp(size=64):
  """Channel 0 rises by 4 a column, channel 1 by 4 a row."""
  x = 4 * np.arange(size, dtype=np.uint8)
  return tf.constant(np.stack(np.broadcast_arrays(x, x[:, np.newaxis], 0), axis=-1))


def _box_sides(images):
  """Heights and widths of the boxes of a ramp that were stretched to `images`, in pixels."""
  images = images.astype(float)
  width = (images[:, 32, 56, 0] - images[:, 32, 8, 0]) / 48 / 4 * 64
  height = (images[:, 56, 32, 1] - images[:, 8, 32, 1]) / 48 / 4 * 64
  return height, width


def test_inception_boxes_are_as_large_and_as_long_as_in_the_papers():
  images = _varied(Augmentation("inception", flip=False), _ramp(), 1000)
  assert images.shape == (1000, 64, 64, 3)
  assert images.dtype == np.uint8
  height, width = _box_sides(images)
  area, aspect = height * width / 64**2, width / height
  # Slack: a box has whole pixels, and its sides are read off rounded values.
  assert 0.09 < area.min() < 0.14
  assert 0.9 < area.max() < 1.03
  assert 0.7 < aspect.min() < 0.8
  assert 1.25 < aspect.max() < 1.42
  assert 0.35 < area.mean() < 0.5
  assert not np.allclose(height, width, atol=3), "two sides, not one"


def test_the_centre_is_taken_where_no_inception_box_was_found(monkeypatch, noise):
  def whole(*args, **kwargs):
    return tf.constant([0, 0, 0]), tf.constant([SIZE, SIZE, -1]), None

  monkeypatch.setattr(tf.image, "stateless_sample_distorted_bounding_box", whole)
  found = augment.inception_crop(noise, tf.constant([0, 0], tf.int64))
  np.testing.assert_array_equal(found, augment.center_crop(noise))


def test_the_centre_is_the_inner_seven_eighths():
  height, width = _box_sides(augment.center_crop(_ramp()).numpy()[np.newaxis])
  np.testing.assert_allclose([height, width], 56, atol=0.7)
  middle = augment.center_crop(_ramp()).numpy()[31:33, 31:33].astype(float).mean(axis=(0, 1))
  np.testing.assert_allclose(middle[:2], 4 * 31.5, atol=1.0)


@pytest.mark.parametrize("crop", augment.CROPS)
def test_one_seed_gives_one_image_in_any_order_and_mode(noise, crop):
  augmentation = Augmentation(crop)
  varied = _varied(augmentation, noise, 12)
  np.testing.assert_array_equal(_varied(augmentation, noise, 4, first=8), varied[8:])
  eager = augmentation.train(noise, tf.constant([7, 3], tf.int64))
  np.testing.assert_array_equal(eager, varied[3])
  assert eager.dtype == tf.uint8
  assert eager.shape == noise.shape


@pytest.mark.parametrize("crop", augment.CROPS)
def test_another_seed_gives_another_image(noise, crop):
  varied = _varied(Augmentation(crop), noise, 64)
  assert len(np.unique(varied, axis=0)) > (1 if crop in ("center", "none") else 10)


def test_nothing_is_done_where_nothing_is_asked_for(noise):
  for augmentation in (Augmentation("none", flip=False), Augmentation("pad", 0, flip=False)):
    np.testing.assert_array_equal(_varied(augmentation, noise, 3), [noise] * 3)


def test_evaluation_has_no_randomness(noise):
  for crop in ("pad", "none"):
    np.testing.assert_array_equal(Augmentation(crop).evaluation(noise), noise)
  for crop in ("inception", "center"):
    np.testing.assert_array_equal(Augmentation(crop).evaluation(noise), augment.center_crop(noise))


def test_a_central_crop_takes_its_part_of_each_side():
  whole, half = (Augmentation("center", flip=False, center_fraction=part) for part in (1.0, 0.5))
  np.testing.assert_array_equal(_varied(whole, _ramp(), 1)[0], _ramp())
  image = _varied(half, _ramp(), 1)[0]
  np.testing.assert_array_equal(half.evaluation(_ramp()), image)
  assert abs(int(image[0, 0, 0]) - 64) <= 4, "a quarter of the way in"
  assert abs(int(image[0, -1, 0]) - 188) <= 4


def test_noise_has_a_deviation_of_its_own_for_each_image():
  """Uniform up to the largest: its mean is a half of it, and so it is on average."""
  grey = tf.fill([SIZE, SIZE, 3], tf.constant(128, tf.uint8))
  varied = _varied(Augmentation("none", flip=False, noise=0.2), grey, 300).astype(float)
  deviations = varied.std(axis=(1, 2, 3)) / 255
  assert deviations.max() < 0.22
  assert deviations.min() < 0.02
  assert abs(deviations.mean() - 0.1) < 4 * 0.2 / np.sqrt(12 * 300)
  assert abs(varied.mean() - 128) < 1


@pytest.mark.parametrize(("options", "culprit"), [
    ({"center_fraction": 0}, "center_fraction .* above 0, not 0"),
    ({"center_fraction": 1.1}, "center_fraction must be at most 1, not 1.1"),
    ({"noise": -0.1}, "noise .* not -0.1"),
    ({"policy": "auto"}, "policy 'auto'. Available: autoaugment"),
    ({"crop": "corner"}, "'corner'. Available: pad, inception, center, none"),
    ({"padding": -1}, "padding .* not -1"),
    ({"padding": 1.5}, "padding .* not 1.5"),
    ({"padding": "4"}, "padding .* not '4'"),
    ({"flip": "yes"}, "flip .* not 'yes'"),
])
def test_illegal_values_are_refused(options, culprit):
  with pytest.raises(UserError, match=culprit):
    Augmentation(**options)
