"""`perceptual prepare images`: by the command, and with the gin file that trains on its result."""

import numpy as np
import pytest
from PIL import Image

from perceptual.commands import command_line, prepare
from perceptual.experiments import config


def _run(*arguments):
  prepare.main(prepare.FLAGS(["perceptual prepare", *arguments]))


def _unparse():
  prepare.FLAGS.unparse_flags()
  for flag in prepare.FLAGS:
    prepare.FLAGS[flag].unparse()


@pytest.fixture(autouse=True)
def unparsed():
  _unparse()  # of what other tests gave
  yield
  _unparse()
  config.gin.clear_config()


@pytest.fixture
def photos(tmp_path):
  rng = np.random.default_rng(0)
  for name in ("cat", "dog"):
    (tmp_path / "photos" / name).mkdir(parents=True)
    for number in range(4):
      Image.fromarray(rng.integers(0, 256, (70, 60, 3), np.uint8)).save(
          tmp_path / "photos" / name / f"{number}.png")
  return tmp_path / "photos"


def test_the_commands_in_the_gin_file_make_what_it_trains_on(photos, tmp_path, capsys):
  data = f"--data_dir={tmp_path / 'data'}"
  _run("images", f"--source={photos}", "--name=mine", "--validation=0.5", data)
  assert capsys.readouterr().out == (
      "own_images/mine:1.0.0 from photos: 4 train images of 2 classes, 4 validation images of 2 "
      "classes; 8 of them resized.\n")
  _unparse()
  _run("graded", "--source=own/mine", data)
  config.parse(["gin/runs/resnet6_short.gin", "gin/data/own_images.gin"])
  images = config.images(tmp_path / "data")
  assert (images.name, images.num_classes, images.sizes["train"]) == ("own_images/mine", 2, 4)
  assert config.all_judged_sets(tmp_path / "data")[0].size == 4


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "imagenet64, images, bapps, graded, teacher, judged. Received: nothing."),
    (["image"], "imagenet64, images, bapps, graded, teacher, judged. Received: image. Did you mean "
     "imagenet64 or images?"),
    (["images", "--name=mine"], "prepare images needs --source."),
    (["images", "--source=photos"], "prepare images needs --name."),
    (["images", "--source=photos", "--name=mine", "--per_image=2"],
     "prepare images does not take --per_image, which is for graded and teacher. Beside flags "
     "that all take it takes --seed, --max_unreadable, --name, --image_size, "
     "--validation."),
    (["graded", "--source=demo", "--split=train"],
     "--kinds, --per_image, --limit, --under."),
    (["bapps", "--seed=0"],
     "prepare bapps does not take --seed, which is for imagenet64, images, graded and teacher. "
     "Beside flags that all take it takes none."),
])
def test_a_wrong_command_says_what_is_right(arguments, message):
  with pytest.raises(command_line.UsageError) as caught:
    _run(*arguments, "--data_dir=data")
  assert str(caught.value).endswith(message)


def test_every_flag_says_which_data_sets_take_it():
  common = {"source", "data_dir", "overwrite", "dry_run", "log"}  # the last once a command has run
  assert set(prepare.FLAGS) - common == set(prepare._TAKEN_BY)
  assert {name for names in prepare._TAKEN_BY.values() for name in names} < set(prepare.DATASETS)


def test_what_was_altered_on_reading_is_reported(photos, tmp_path, capsys):
  for name in ("cat", "dog"):
    Image.new("RGBA", (70, 60), (255, 0, 0, 100)).save(photos / name / "0.png")
  data = f"--data_dir={tmp_path / 'data'}"
  _run("images", f"--source={photos}", "--name=mine", data)
  assert "\naltered on reading, 2 images: laid over white\n" in capsys.readouterr().out
  _unparse()
  _run("graded", f"--source={photos}", "--kinds=monotone", data)
  assert "\naltered on reading, 2 images: laid over white\n" in capsys.readouterr().out


def test_a_dry_run_writes_nothing(photos, tmp_path, capsys):
  _run("images", f"--source={photos}", "--name=mine", f"--data_dir={tmp_path / 'd'}", "--dry_run")
  assert capsys.readouterr().out == (
      f"Dry run: would prepare images from {photos} below {tmp_path / 'd'}.\n")
  assert not (tmp_path / "d").exists()
