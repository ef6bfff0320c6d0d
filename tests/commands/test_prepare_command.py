"""`perceptual prepare images`: by the command, and with the gin file that trains on its result."""

import numpy as np
import pytest
from PIL import Image

from perceptual.commands import command_line, prepare
from perceptual.experiments import config


def _run(*arguments):
  prepare.main(prepare.FLAGS(["perceptual prepare", *arguments]))


@pytest.fixture(autouse=True)
def unparsed():
  yield
  prepare.FLAGS.unparse_flags()
  for flag in prepare.FLAGS:
    prepare.FLAGS[flag].unparse()
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
  prepare.FLAGS["validation"].unparse()
  _run("graded", "--source=own/mine", data)
  config.parse(["gin/runs/resnet6_short.gin", "gin/data/own_images.gin"])
  images = config.images(tmp_path / "data")
  assert (images.name, images.num_classes, images.sizes["train"]) == ("own_images/mine", 2, 4)
  assert config.all_judged_sets(tmp_path / "data")[0].size == 4


@pytest.mark.parametrize(("arguments", "message"), [
    ([], "imagenet64, images, bapps, graded, teacher, judged. Received: nothing."),
    (["image"], "imagenet64, images, bapps, graded, teacher, judged. Received: image."),
    (["images", "--name=mine"], "prepare images needs --source."),
    (["images", "--source=photos"], "prepare images needs --name."),
])
def test_a_wrong_command_says_what_is_right(arguments, message):
  with pytest.raises(command_line.UsageError) as caught:
    _run(*arguments, "--data_dir=data")
  assert str(caught.value).endswith(message)


def test_a_dry_run_writes_nothing(photos, tmp_path, capsys):
  _run("images", f"--source={photos}", "--name=mine", f"--data_dir={tmp_path / 'd'}", "--dry_run")
  assert capsys.readouterr().out == (
      f"Dry run: would prepare images from {photos} below {tmp_path / 'd'}.\n")
  assert not (tmp_path / "d").exists()
