"""Gin: what it makes, where it looks for files, and every mistake as one line."""

import pytest

from perceptual.data.labelled.augment import Augmentation
from perceptual.errors import UserError
from perceptual.evaluation import scoring
from perceptual.experiments import config
from perceptual.training import optimizers, schedules
from perceptual.training.settings import Settings

DEMO = "gin/runs/demo.gin"
SETTINGS = tuple(name for name in config.TRAINING if name not in ("images", "judged"))


@pytest.fixture(autouse=True)
def clean():
  yield
  config.gin.clear_config()


def test_files_come_in_order_and_bindings_last(tmp_path):
  (tmp_path / "a.gin").write_text("network.name = 'resnet6'\nnetwork.width = 0.25\n"
                                  "train.seed = 1\ntrain.epochs = 2")
  (tmp_path / "b.gin").write_text("train.seed = 2\ntrain.epochs = 3")
  config.parse([tmp_path / "a.gin", tmp_path / "b.gin"], ["train.epochs = 4"])
  assert config.network() == ("resnet6", {"width": 0.25})
  assert (config.train_settings().seed, config.train_settings().epochs) == (2, 4)


def test_the_objects_are_the_libraries_own():
  """Gin's wrappers leave no trace on what is made: type, equality, parts."""
  config.parse([DEMO], ["train.seed = 5", "sgd.momentum = 0.5", "augmentation.padding = 2"])
  settings = config.train_settings()
  assert type(settings) is Settings
  assert type(settings.optimizer) is optimizers.Sgd
  assert settings.optimizer.momentum == 0.5
  assert settings.augmentation == Augmentation("pad", 2, True)
  assert settings == Settings(
      optimizer=optimizers.Sgd(schedules.StepDecay(0.1, 1, (8, 10)), 0.5), batch_size=128,
      epochs=12, steps_per_loop=20, eval_interval=60, seed=5,
      augmentation=Augmentation("pad", 2, True))


def test_without_bindings_everything_is_as_in_the_libraries():
  config.parse([])
  assert config.train_settings() == Settings()
  assert config.evaluate_settings() == scoring.Settings()


def test_parsing_again_forgets_what_was_parsed_before():
  config.parse([DEMO], ["train.seed = 5", "train.clip_norm = 1.0"])
  config.train_settings()
  config.parse([DEMO], ["train.seed = 6"])
  assert config.train_settings().seed == 6
  assert config.train_settings().clip_norm is None
  assert "clip_norm = None" in config.operative()
  assert "clip_norm" not in config.given()


def test_a_failed_parse_does_not_keep_the_next_from_working():
  with pytest.raises(UserError):
    config.parse([DEMO], ["train.sed = 5"])
  config.parse([DEMO], ["train.seed = 5"])
  assert config.train_settings().seed == 5


def test_files_and_their_includes_are_found_from_anywhere(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  config.parse([DEMO])
  assert config.network()[0] == "resnet6"
  (tmp_path / "mine.gin").write_text(f"include '{DEMO}'\ntrain.seed = 9")
  config.parse(["mine.gin"])
  assert (config.network()[0], config.train_settings().seed) == ("resnet6", 9)


def test_the_working_directory_comes_first_and_the_home_directory_is_known(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  (tmp_path / "gin" / "runs").mkdir(parents=True)
  (tmp_path / DEMO).write_text("train.seed = 77")
  config.parse([DEMO])
  assert config.train_settings().seed == 77
  monkeypatch.setenv("HOME", str(tmp_path))
  config.parse([f"~/{DEMO}"])
  assert config.train_settings().seed == 77


def test_what_was_given_or_used_makes_the_same_again(tmp_path):
  config.parse([DEMO], ["train.seed = 5", "train.score_distances = ('local', 'sort')"])
  settings, network = config.train_settings(), config.network()
  for text in (config.given(), config.operative()):
    (tmp_path / "again.gin").write_text(text)
    config.parse([tmp_path / "again.gin"])
    assert (config.train_settings(), config.network()) == (settings, network)


def test_macros_and_scopes_work():
  config.parse([DEMO], ["rate = 0.3", "step_decay.learning_rate = %rate",
                        "train.optimizer = @slow/sgd()", "slow/sgd.momentum = 0.1"])
  optimizer = config.train_settings().optimizer
  assert (optimizer.momentum, optimizer.schedule.learning_rate) == (0.1, 0.3)
  config.network()
  config.check_used(SETTINGS)


def test_images_and_judgements_come_from_where_the_bindings_say():
  config.parse([DEMO], ["images.train_per_photograph = 2", "images.validation_per_photograph = 1",
                        "judged.name = 'graded/monotone'", "judged.limit = 3"])
  images, judged_set = config.images(None), config.all_judged_sets(None)[0]
  assert images.sizes == {"train": 2 * images.num_classes, "validation": images.num_classes}
  assert (judged_set.name, judged_set.size) == ("graded/monotone", 3)


def _message(files, params):
  with pytest.raises(UserError) as caught:
    config.parse(files, params)
    config.network()
    config.train_settings()
    config.evaluate_settings()
    config.check_used(SETTINGS)
  message = str(caught.value)
  assert "\n" not in message
  assert "object at 0x" not in message
  return message


@pytest.mark.parametrize(("binding", "parts"), [
    ("trian.seed = 1", ["'trian'", "Available: network, images, judged, augmentation, step_decay"]),
    ("train.sed = 1", ["'train'", "'sed'", "Available: optimizer, augmentation, batch_size"]),
    ("sgd.momentun = 1", ["'momentun'", "Available: schedule, momentum, nesterov"]),
    ("adam.beta = 1", ["'beta'", "Available: schedule, beta_1, beta_2, epsilon, weight_decay"]),
    ("cosine.warmup_epochs = 1", ["'warmup_epochs'", "Available: learning_rate, warmup_steps"]),
    ("judged.data_dir = 'x'", ["'data_dir'", "Available: name, image_size, limit"]),
    ("evaluate.tap = 1", ["'tap'", "Available: distances, taps, baselines"]),
    ("train.optimizer = @sdg()", ["@sdg()", "Available: network"]),
    ("train.optimizer = @sgd", ["must be Sgd or RmsProp or Adam, in gin @sgd() or @rmsprop()"]),
    ("sgd.schedule = 0.1", ["@exponential_decay() or @cosine() or", "not 0.1."]),
    ("rmsprop.rho = 0.5", ["The bindings of rmsprop have no effect: nothing refers to @rmsprop()"]),
    ("train.ema_decay = 1", ["ema_decay must be a number above 0 and below 1, not 1."]),
    ("train.seed = '7'", ["seed must be a whole number of at least 0", "not '7'."]),
    ("train.epochs = '7'", ["epochs must be a number above 0, not '7'."]),
    ("train.seed = %sede", ["Unknown macro %sede. Defined: none."]),
    ("train.seed = %gin.REQUIRED", ["train.seed", "gin.REQUIRED"]),
    ("sede = 7", ["Nothing refers to the macro 'sede'. Referred to: none."]),
    ("fast/train.seed = 7", ["The bindings of fast/train have no effect: nothing refers to"]),
    ("train.seed = seven", ["'seven'", "without quotes?"]),
    ("train.seed = ", ["line 1"]),
    ("train.seed", ["line 1"]),
    ("include 'nowhere.gin'", ["nowhere.gin"]),
    ("import nowhere", ["nowhere"]),
    ("network.name = 'resnet7'", ["Unknown network 'resnet7'. Available: resnet2, resnet3"]),
    ("network.name = None", ["network.name is not given. Available: resnet2"]),
    ("network.depth = 6", ["Unknown option of resnet6 'depth'. Available: width, skip_conn"]),
    ("network.num_classes = 6", ["network.num_classes cannot be bound: it is the number of"]),
    ("augmentation.crop = 'corner'", ["Unknown crop 'corner'. Available: pad, inception"]),
    ("step_decay.decay_epochs = 30", ["decay_epochs must be a list of epochs, not 30."]),
])
def test_a_wrong_binding_is_one_line_with_the_culprit_and_what_is_legal(binding, parts):
  message = _message([DEMO], [binding])
  for part in parts:
    assert part in message


def test_an_optimizer_that_nothing_refers_to_is_told(tmp_path):
  (tmp_path / "a.gin").write_text("network.name = 'resnet6'\nsgd.momentum = 0.5")
  assert _message([tmp_path / "a.gin"], []) == (
      "The bindings of sgd have no effect: nothing refers to @sgd().")


def test_a_mistake_in_a_file_names_file_and_line(tmp_path):
  path = tmp_path / "mine.gin"
  path.write_text(f"include '{DEMO}'\n\ntrain.sed = 1\n")
  assert f'In file "{path}", line 3' in _message([path], [])
  path.write_text("# a comment\ntrain.seed = = 1\n")
  assert "mine.gin, line 2" in _message([path], [])
  path.write_text("include 'nowhere.gin'\n")
  message = _message([path], [])
  assert f'Unable to open file: nowhere.gin. In file "{path}", line 1' in message


def test_a_missing_file_is_named_beside_those_there_are():
  message = _message(["nowhere.gin"], [])
  assert message.startswith("There is no gin file nowhere.gin. Available: gin/runs/")
  assert "gin/runs/demo.gin" in message


def test_gin_says_nothing_of_the_places_it_searches(capfd):
  _message([DEMO], ["include 'nowhere.gin'"])
  assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("binding", "message"), [
    ("images.source = 'cifar'",
     "Unknown image source 'cifar'. Available: imagenet64, own, tfds, demo."),
    ("images.source = ['demo']", "Unknown image source ['demo']. Available: imagenet64, own"),
    ("images.source = None", "images.source is not given. Available: imagenet64, own, tfds, demo."),
    ("images.source = 'imagenet64'", "The image source 'imagenet64' needs --data_dir, the folder"),
    ("images.clases = (1, 2)", "Unknown option of the image source demo 'clases'. Available: "
     "classes, train_per_photograph, validation_per_photograph."),
    ("images.classes = (1, 99)", "Unknown class 99. Available: 0-16; or by name astronaut, brick"),
    ("images.train_per_photograph = '3'",
     "train_per_photograph must be a whole number of at least 1, not '3'."),
])
def test_images_that_cannot_be_had(binding, message):
  config.parse([DEMO], [binding])
  with pytest.raises(UserError) as caught:
    config.images(None)
  assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_prepared_images_that_are_not_there(tmp_path):
  config.parse(["gin/runs/resnet6.gin"])
  with pytest.raises(UserError, match=r"No data set in .*imagenet_resized") as caught:
    config.images(tmp_path)
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("binding", "message"), [
    ("judged.name = 'graded/hard'", "Unknown judged set 'graded/hard'. Available: bapps/2afc, "),
    ("judged.limit = '9'", "judged.limit must be a whole number of at least 1, not '9'."),
    ("judged.limit = 0", "judged.limit must be a whole number of at least 1, not 0."),
    ("judged.image_size = 64.5", "judged.image_size must be a whole number of at least 1, not 64"),
])
def test_judgements_that_cannot_be_had(binding, message):
  config.parse([DEMO], [binding])
  with pytest.raises(UserError) as caught:
    config.all_judged_sets(None)[0]
  assert str(caught.value).startswith(message)
  assert "\n" not in str(caught.value)


def test_bindings_for_another_command_are_left_alone():
  config.parse([DEMO], ["evaluate.resamples = 10"])
  config.network()
  config.train_settings()
  config.check_used(SETTINGS)


@pytest.mark.parametrize("line", [
    "import os", "import perceptual.models as m", "from os import path",
    "from __gin__ import dynamic_registration"])
def test_an_import_is_refused_wherever_it_stands(tmp_path, line):
  """Gin's imports run code: of a module beside the file, for instance."""
  (tmp_path / "inner.gin").write_text(f"train.seed = 1\n{line}\n")
  (tmp_path / "outer.gin").write_text(f"include '{tmp_path}/inner.gin'\n")
  for files, params in (([tmp_path / "inner.gin"], []), ([tmp_path / "outer.gin"], []),
                        ([], [line])):
    with pytest.raises(UserError, match="imports are refused, since they run code") as caught:
      config.parse(files, params)
    assert line.split()[1] in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_include_themselves_are_refused(tmp_path):
  (tmp_path / "a.gin").write_text(f"include '{tmp_path}/b.gin'\n")
  (tmp_path / "b.gin").write_text(f"include '{tmp_path}/a.gin'\n")
  with pytest.raises(UserError, match=r"a\.gin includes itself") as caught:
    config.parse([tmp_path / "a.gin"])
  assert "\n" not in str(caught.value)
  (tmp_path / "b.gin").write_text("train.seed = 4\n")
  (tmp_path / "c.gin").write_text(f"include '{tmp_path}/b.gin'\ninclude '{tmp_path}/b.gin'\n")
  config.parse([tmp_path / "c.gin"])
  assert config.train_settings().seed == 4


@pytest.mark.parametrize("params", [
    ["x = %x", "train.seed = %x"],
    ["x = %y", "y = %x", "train.seed = %x"],
    ["train.optimizer = @sgd()", "sgd.schedule = @sgd()"],
])
def test_bindings_in_a_circle_are_one_line(params):
  with pytest.raises(UserError, match="in a circle") as caught:
    config.parse([], params)
    config.train_settings()
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [
    b"train.seed = " + b"[" * 5000 + b"]" * 5000, b"train.seed = (", b"\xff\xfe", b"train.seed = '",
    b"\0", b"include '/dev/null'", b"include 'https://example.com/x.gin'"])
def test_damaged_files_are_one_line(tmp_path, text):
  (tmp_path / "a.gin").write_bytes(text)
  with pytest.raises(UserError) as caught:
    config.parse([tmp_path / "a.gin"])
  assert "\n" not in str(caught.value)
