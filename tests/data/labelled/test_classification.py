"""Labelled images: the training stream as a function of seed and step, classes, padded batches."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from perceptual.data.labelled import class_subsets, classification, demo, imagenet64
from perceptual.data.labelled.augment import Augmentation
from perceptual.errors import UserError

UNCHANGED = Augmentation("none", flip=False)


def numbered(train=13, validation=5, *, classes=3, decodes=None):
  """Images whose first pixel is their number; labels are number mod classes."""
  sizes = {"train": train, "validation": validation}

  def examples(split):
    numbers = np.arange(sizes[split])
    pixels = np.random.default_rng(1).integers(0, 256, (sizes[split], 16, 16, 3), np.uint8)
    pixels[:, 0, 0, 0] = numbers
    return tf.data.Dataset.from_tensor_slices({"image": pixels, "label": numbers % classes})

  def decode(image):
    if decodes is not None:
      decodes.assign_add(1)
    return tf.ensure_shape(image, [16, 16, 3])

  return classification.LabelledImages(
      name="numbered", note="", num_classes=classes, image_size=8, sizes=sizes,
      examples=examples, decode=decode)


def batches(count, images=None, **options):
  """The next `count` batches of the stream: images `[count, batch, 16, 16, 3]` and labels."""
  options = {"batch_size": 4, "seed": 3, **options}
  stream = classification.train_batches(images or numbered(), **options).take(count)
  found = list(stream.as_numpy_iterator())
  return np.stack([b["image"] for b in found]), np.stack([b["label"] for b in found])


def order(count, images=None, **options):
  """The numbers of the next `count` examples."""
  found, _ = batches(-(-count // 4), images, augmentation=UNCHANGED, **options)
  return found[..., 0, 0, 0].reshape(-1)[:count]


@pytest.mark.parametrize("shard", [(0, 1), (1, 2)])
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("first_step", [1, 3, 4, 11])
def test_a_resumed_stream_is_the_uninterrupted_one_from_there_on(first_step, cache, shard):
  """13 examples in batches of 4: most of these steps lie within an epoch, some batches in two."""
  images, labels = batches(14, cache=cache, shard=shard)
  resumed, resumed_labels = batches(
      14 - first_step, cache=cache, shard=shard, first_step=first_step)
  np.testing.assert_array_equal(resumed, images[first_step:])
  np.testing.assert_array_equal(resumed_labels, labels[first_step:])


def test_the_cache_changes_nothing():
  for found, expected in zip(batches(8, cache=True), batches(8, cache=False)):
    np.testing.assert_array_equal(found, expected)


def test_every_example_comes_once_an_epoch_in_an_order_of_its_own():
  epochs = order(4 * 13).reshape(4, 13)
  np.testing.assert_array_equal(np.sort(epochs), [np.arange(13)] * 4)
  assert len(np.unique(epochs, axis=0)) == 4
  assert not (epochs == np.arange(13)).all(axis=1).any()


def test_labels_stay_with_their_images():
  images, labels = batches(10, augmentation=UNCHANGED)
  np.testing.assert_array_equal(images[..., 0, 0, 0] % 3, labels)
  assert labels.dtype == np.int64


def test_seeds_share_no_epoch():
  """Were the epoch added to the seed, the runs of seeds 0, 1, 2 would see one another's epochs."""
  epochs = np.stack([order(3 * 13, seed=s).reshape(3, 13) for s in (0, 1, 2, 2**32 - 1)])
  assert len(np.unique(epochs.reshape(12, 13), axis=0)) == 12


def test_an_example_is_augmented_anew_in_every_epoch():
  images, _ = batches(26, numbered(1, classes=1), batch_size=1, augmentation=Augmentation("pad"))
  assert len(np.unique(images, axis=0)) > 20


def test_a_small_buffer_still_passes_every_example_once_an_epoch():
  epochs = order(3 * 13, shuffle_buffer=2).reshape(3, 13)
  np.testing.assert_array_equal(np.sort(epochs), [np.arange(13)] * 3)
  assert (np.abs(epochs - np.arange(13)) <= 12).all()
  assert len(np.unique(epochs, axis=0)) == 3


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("count", [2, 3])
def test_pipelines_together_make_the_batches_of_one(count, cache):
  """So a run may go on with another number of workers, and sees each example once an epoch."""
  images, labels = batches(9, batch_size=2 * count, first_step=1, cache=cache)
  shards = [batches(9, batch_size=2, first_step=1, cache=cache, shard=(i, count))
            for i in range(count)]
  for whole, parts in ((images, [s[0] for s in shards]), (labels, [s[1] for s in shards])):
    interleaved = np.stack(parts, axis=2).reshape(whole.shape)
    np.testing.assert_array_equal(interleaved, whole)


def test_a_pipeline_decodes_its_own_share_alone():
  decodes = tf.Variable(0, dtype=tf.int64)
  batches(5, numbered(40, decodes=decodes), cache=False, shard=(0, 4))
  assert 5 * 4 <= decodes.numpy() < 4 * 5 * 4, "and some for the batches that are fetched ahead"


def test_a_cache_decodes_every_image_once():
  decodes = tf.Variable(0, dtype=tf.int64)
  batches(30, numbered(decodes=decodes), cache=True)
  assert decodes.numpy() == 13


@pytest.mark.parametrize(("limit", "cached"), [(13, True), (12, False)])
def test_small_sets_are_cached_and_large_ones_are_not(monkeypatch, limit, cached):
  monkeypatch.setattr(classification, "CACHE_LIMIT", limit)
  decodes = tf.Variable(0, dtype=tf.int64)
  batches(10, numbered(decodes=decodes))
  assert (decodes.numpy() == 13) == cached


@pytest.mark.parametrize("threads", [1, 8])
def test_the_number_of_threads_changes_nothing(threads):
  options = tf.data.Options()
  options.threading.private_threadpool_size = threads
  stream = classification.train_batches(numbered(), batch_size=4, seed=3)
  found = [b["image"] for b in stream.with_options(options).take(6).as_numpy_iterator()]
  np.testing.assert_array_equal(found, batches(6)[0])


def test_batches_have_static_shapes():
  stream = classification.train_batches(numbered(), batch_size=4, seed=3)
  assert stream.element_spec == {"image": tf.TensorSpec([4, 16, 16, 3], tf.uint8),
                                 "label": tf.TensorSpec([4], tf.int64)}


@pytest.mark.parametrize("replicas", [1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 12, 13])
def test_padded_batches_hold_everything_once_and_are_alike_in_every_shard(size, shards, replicas):
  dataset = tf.data.Dataset.from_tensor_slices({"x": np.arange(100, 100 + size)})
  found = []
  for shard in range(shards):
    part = classification.padded_batches(dataset, size, 4, (shard, shards), replicas)
    assert part.element_spec["x"].shape == part.element_spec["index"].shape == [4]
    found.append(list(part.as_numpy_iterator()))
  counts = {len(part) for part in found}
  assert counts == {-(-size // (4 * shards * replicas)) * replicas}, "whole steps, no more"
  index = np.concatenate([batch["index"] for part in found for batch in part])
  x = np.concatenate([batch["x"] for part in found for batch in part])
  real = index >= 0
  np.testing.assert_array_equal(np.sort(index[real]), np.arange(size))
  np.testing.assert_array_equal(x[real], 100 + index[real])
  assert (index[~real] == -1).all()
  assert (x[~real] == 0).all()


def test_validation_batches_are_the_images_in_order_with_their_labels():
  found = list(classification.validation_batches(numbered(), batch_size=4).as_numpy_iterator())
  np.testing.assert_array_equal([b["index"] for b in found], [[0, 1, 2, 3], [4, -1, -1, -1]])
  np.testing.assert_array_equal(found[0]["image"][:, 0, 0, 0], [0, 1, 2, 3])
  np.testing.assert_array_equal(found[0]["label"], [0, 1, 2, 0])


def test_validation_images_are_cropped_as_the_augmentation_says():
  def images(crop):
    stream = classification.validation_batches(
        numbered(), batch_size=5, augmentation=Augmentation(crop))
    return next(stream.as_numpy_iterator())["image"]

  np.testing.assert_array_equal(images("pad"), images("none"))
  assert (images("center") != images("none")).any()


# imagenet_resized/64x64, prepared from a folder of images by class. Pixels are the class, so that
# a wrong label shows.

CLASSES = ("ant", "bee", "cat", "dog")
COUNTS = {"train": 5, "val": 2}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  folder = tmp_path_factory.mktemp("imagenet64")
  for split, count in COUNTS.items():
    for label, name in enumerate(CLASSES):
      place = folder / "images" / split / name
      place.mkdir(parents=True)
      for i in range(count):
        image = np.full((64, 64, 3), 10 * label, np.uint8)
        image[0, 0] = i
        Image.fromarray(image).save(place / f"{i}.png")
  imagenet64.prepare(folder / "images", folder / "data")
  return folder / "data"


def _read(images, split):
  """(first corner pixel, class by its pixels, label) of every example, in order."""
  found = []
  for example in images.examples(split):
    pixels = images.decode(example["image"]).numpy()
    assert pixels.shape == (64, 64, 3)
    found.append((int(pixels[0, 0, 0]), int(pixels[9, 9, 0]) // 10, int(example["label"])))
  return found


def test_imagenet64_is_read_as_it_was_prepared(data_dir):
  images = imagenet64.labelled_images(data_dir)
  assert (images.num_classes, images.image_size, images.classes) == (4, 64, None)
  assert images.sizes == {"train": 20, "validation": 8}
  for split, size in images.sizes.items():
    found = _read(images, split)
    assert len(set(found)) == len(found) == size
    assert all(seen == label for _, seen, label in found)


@pytest.mark.parametrize("classes", [(2, 0), (3, 2, 1, 0), [1, 3, 0]])
def test_a_subset_of_classes_is_renumbered_in_the_order_given(data_dir, classes):
  """All classes in another order too: nothing is filtered, but all is renumbered."""
  images = imagenet64.labelled_images(data_dir, classes=classes)
  everything = imagenet64.labelled_images(data_dir)
  assert (images.num_classes, images.classes) == (len(classes), tuple(classes))
  for split, count in (("train", 5), ("validation", 2)):
    expected = [(number, seen, list(classes).index(seen))
                for number, seen, _ in _read(everything, split) if seen in classes]
    assert _read(images, split) == expected, "the order of the files is kept"
    assert images.sizes[split] == len(expected) == count * len(classes)


def test_classes_may_be_named(data_dir):
  images = imagenet64.labelled_images(data_dir, classes=("cat", 0))
  assert images.classes == (2, 0)


def test_imagenet64_feeds_training(data_dir):
  images = imagenet64.labelled_images(data_dir, classes=(2, 0))
  stream = classification.train_batches(images, batch_size=10, seed=0, augmentation=UNCHANGED)
  batch = next(stream.as_numpy_iterator())
  assert batch["image"].shape == (10, 64, 64, 3)
  np.testing.assert_array_equal(batch["image"][:, 9, 9, 0] // 10, 2 - 2 * batch["label"])


def test_an_outline_has_the_numbers_without_the_images(data_dir):
  subset = class_subsets.ClassSubset("top", 2, "not there yet")
  for options in ({}, {"classes": (2, 0), "image_size": 96}):
    images = imagenet64.labelled_images(data_dir, **options)
    outline = imagenet64.outline(data_dir, **options)
    for name in ("name", "note", "num_classes", "image_size", "sizes"):
      assert getattr(outline, name) == getattr(images, name)
  outline = imagenet64.outline(data_dir, classes=subset)
  assert (outline.num_classes, outline.sizes) == (2, {"train": 10, "validation": 4})
  published = imagenet64.outline()
  assert (published.num_classes, published.sizes["train"]) == (1000, 1281167)
  with pytest.raises(UserError, match=r"class_subset\.count is 5, but the data have 4 classes"):
    imagenet64.outline(data_dir, classes=class_subsets.ClassSubset(count=5))


def test_classes_may_be_a_subset_by_accuracy(data_dir, tmp_path):
  path = tmp_path / "class_accuracy.csv"
  path.write_text("label,images,accuracy\n0,2,50\n1,2,0\n2,2,100\n3,2,0\n")
  images = imagenet64.labelled_images(
      data_dir, classes=class_subsets.ClassSubset("top", 2, str(path)))
  assert (images.classes, images.sizes["train"]) == ((0, 2), 10)


def test_images_are_made_larger(data_dir):
  images = imagenet64.labelled_images(data_dir, image_size=96)
  example = next(iter(images.examples("train")))
  assert images.decode(example["image"]).shape == (96, 96, 3)
  assert images.note == "resized to 96x96"


@pytest.mark.parametrize(("classes", "culprit"), [
    ((0, 7), "Unknown class 7. Available: 0-3; or by name ant, bee, cat, dog."),
    (("cow", 1), "Unknown class 'cow'. Available: 0-3; or by name ant, bee, cat, dog."),
    ((1.0, 2), "Unknown class 1.0. Available: 0-3; or by name ant, bee, cat, dog."),
    ((True, 2), "Unknown class True. Available: 0-3; or by name ant, bee, cat, dog."),
    (("bee", 1), "classes names 1 more than once."),
    ("cat", "classes must be a list of labels, not 'cat'."),
    ((1, 2, 1), "classes names 1 more than once."),
    ((1,), "A classifier needs 2 classes or more, not 1."),
    ((), "A classifier needs 2 classes or more, not 0."),
    (5, "classes must be a list of labels, not 5."),
])
def test_illegal_classes_are_refused(data_dir, classes, culprit):
  with pytest.raises(UserError) as caught:
    imagenet64.labelled_images(data_dir, classes=classes)
  assert str(caught.value) == culprit


def test_a_missing_data_set_is_one_line(tmp_path):
  with pytest.raises(UserError, match="imagenet_resized") as caught:
    imagenet64.labelled_images(tmp_path)
  assert "\n" not in str(caught.value)


def test_classes_that_are_there_are_listed_in_short():
  assert classification._ranges([7, 0, 1, 2, 5, 9, 8]) == "0-2, 5, 7-9"


def test_the_demo_is_balanced_and_says_what_it_is():
  images = demo.labelled_images(train_per_photograph=2, validation_per_photograph=1)
  assert images.sizes == {"train": 2 * images.num_classes, "validation": images.num_classes}
  assert "no benchmark" in images.note
  for split, size in images.sizes.items():
    labels = [int(example["label"]) for example in images.examples(split)]
    np.testing.assert_array_equal(np.bincount(labels), size // images.num_classes)


def test_classes_of_the_demo_are_renumbered_in_the_order_given():
  whole, some = (demo.labelled_images(classes=classes, train_per_photograph=3,
                                      validation_per_photograph=1)
                 for classes in (None, (5, "astronaut", 2)))
  assert (some.num_classes, some.classes) == (3, (5, 0, 2))
  assert some.sizes == {"train": 9, "validation": 3}
  for split in ("train", "validation"):
    expected = [(example["image"].numpy(), some.classes.index(example["label"]))
                for example in whole.examples(split) if example["label"] in some.classes]
    for example, (image, label) in zip(some.examples(split), expected, strict=True):
      np.testing.assert_array_equal(example["image"], image)
      assert example["label"] == label


def test_the_demo_takes_a_subset_of_classes_and_has_an_outline():
  for classes in (None, ("astronaut", 3), class_subsets.ClassSubset(count=4)):
    options = {"classes": classes, "train_per_photograph": 2, "validation_per_photograph": 1}
    images, outline = demo.labelled_images(**options), demo.outline(**options)
    for name in ("name", "note", "num_classes", "image_size", "sizes"):
      assert getattr(outline, name) == getattr(images, name)


@pytest.mark.parametrize(("classes", "culprit"), [
    ((0, 17), r"Unknown class 17\. Available: 0-16; or by name astronaut, brick, .*"),
    (("cat", "dog"), r"Unknown class 'cat'\. Available: 0-16; or by name"), ((3,), "2 classes")])
def test_illegal_classes_of_the_demo_are_refused(classes, culprit):
  with pytest.raises(UserError, match=culprit):
    demo.labelled_images(classes=classes, train_per_photograph=1, validation_per_photograph=1)


@pytest.mark.parametrize("option", ["train_per_photograph", "validation_per_photograph"])
@pytest.mark.parametrize("value", [0, "3", 1.5])
def test_illegal_numbers_of_demo_crops_are_refused(option, value):
  with pytest.raises(UserError, match=f"{option} .* not {value!r}"):
    demo.labelled_images(**{option: value})
