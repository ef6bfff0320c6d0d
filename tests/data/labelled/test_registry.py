"""The table of labelled data sets: every row works, and what is asked wrongly is told."""

import inspect

import pytest

from perceptual.commands import prepare
from perceptual.data.labelled import registry
from perceptual.errors import UserError

PREPARED = [name for name, source in registry.SOURCES.items() if source.prepared_by]


@pytest.mark.parametrize("name", registry.SOURCES)
def test_every_data_set_has_options_for_gin(name):
  assert "classes" in registry.options(name)
  assert "data_dir" not in registry.options(name)


@pytest.mark.parametrize("name", registry.SOURCES)
def test_an_outline_has_the_options_of_the_images(name):
  images, outline = (inspect.signature(registry.SOURCES[name].function(function)).parameters
                     for function in ("labelled_images", "outline"))
  assert ([(option.name, option.default) for option in images.values() if option.name != "data_dir"]
          == [(option.name, option.default) for option in outline.values()
              if option.name != "data_dir"])


def test_only_what_is_published_has_an_outline_without_a_folder():
  assert registry.outline("imagenet64", classes=(0, 1)).sizes["validation"] == 100
  with pytest.raises(UserError, match=r"needs --data_dir, .* images .* --name=pets --data_dir"):
    registry.outline("own", name="pets")


@pytest.mark.parametrize("name", PREPARED)
def test_every_option_of_a_preparation_is_a_flag(name):
  called = registry.prepared_by(name).partition(" ")[0]
  assert called in prepare.DATASETS
  options = inspect.signature(registry.SOURCES[name].function("prepare")).parameters
  assert set(options) <= set(prepare.FLAGS)


@pytest.mark.parametrize("name", PREPARED)
def test_without_a_folder_the_command_is_named(name):
  options = {"name": "pets"} if name == "own" else {}
  with pytest.raises(UserError, match=r"needs --data_dir, .* with: perceptual prepare \w+ --source="
                                      r"DIR_OR_TAR (--name=pets )?--data_dir=DATA_DIR$"):
    registry.load(name, **options)


@pytest.mark.parametrize(("source", "options", "message"), [
    ("cifar", {}, "Unknown image source 'cifar'. Available: imagenet64, own, tfds, demo."),
    (["demo"], {}, "Unknown image source ['demo']. Available: imagenet64, own, tfds, demo."),
    ("demo", {"clases": (1, 2)}, "Unknown option of the image source demo 'clases'. Available: "
                                 "classes, train_per_photograph, validation_per_photograph."),
    ("own", {}, "images.name is not given: the image source 'own' needs it."),
])
def test_what_is_asked_wrongly_is_told(source, options, message):
  with pytest.raises(UserError) as caught:
    registry.load(source, "data", **options)
  assert str(caught.value) == message
