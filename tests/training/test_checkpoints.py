"""Checkpoints: exact, kept for the right value, never half-written, never of the wrong network."""

import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.errors import UserError
from perceptual.models import preprocessing
from perceptual.training import (
  checkpoint_files,
  checkpoints,
  classifier,
  model_dir,
  optimizers,
)
from tests import leftovers

NETWORK = ("resnet2", {"width": 0.1, "num_classes": 3, "dropout": 0.5})


def _trainer(name=NETWORK[0], *, seed=0, momentum=0.9, **options):
  keras.utils.set_random_seed(seed)
  return classifier.ClassifierTrainer(
      models.build(name, **{**NETWORK[1], **options}),
      optimizers.Sgd(momentum=momentum).keras(4, 10, 100), None,
      strategy=tf.distribute.get_strategy(), batch_size=4, preprocess=preprocessing.IMAGENET)


def _at(trainer, step, value=None):
  """Moves a trainer to a step; its weights to a value, if one is given."""
  trainer.global_step.assign(step)
  if value is not None:
    for variable in trainer.model.weights:
      variable.assign(np.full(variable.shape, value))


def _state(trainer):
  return {f"{part} {path}": variable.numpy()
          for part, variables in trainer.train_state().items() if part != "step"
          for path, variable in variables.items()}


@pytest.fixture
def folder(tmp_path):
  return model_dir.ModelDir(tmp_path / "run")


@pytest.fixture
def saved(folder):
  """A folder with a last checkpoint of step 10, of weights 0.5; the files of that checkpoint."""
  trainer = _trainer()
  _at(trainer, 10, 0.5)
  checkpoints.Checkpoints(folder, trainer).save_last()
  return folder.checkpoint("last")


def test_all_of_the_state_comes_back_bit_for_bit(folder):
  trainer = _trainer()
  rng = np.random.default_rng(0)
  for part in ("weights", "optimizer", "seeds"):
    for variable in trainer.train_state()[part].values():
      if variable.dtype == tf.float32:
        variable.assign(rng.normal(size=variable.shape))
      else:
        variable.assign_add(tf.cast(rng.integers(1, 100, variable.shape), variable.dtype))
  _at(trainer, 7)
  checkpoints.Checkpoints(folder, trainer).save_last()
  other = _trainer(seed=1)
  assert checkpoints.Checkpoints(folder, other).restore() == 7
  assert int(other.global_step.numpy()) == 7
  expected = _state(trainer)
  assert len(expected) > 12
  for name, value in _state(other).items():
    np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_nothing_is_written_before_the_first_save(folder):
  found = checkpoints.Checkpoints(folder, _trainer())
  assert found.restore() == 0
  assert found.last is None
  assert not folder.path.exists()


def test_two_checkpoints_are_kept_of_each(folder):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  for step in (10, 20, 30):
    _at(trainer, step)
    kept.keep_best("best_score", step)
    kept.keep_best("best_accuracy", -step)
    kept.save_last()
  names = {name: sorted(p.name for p in folder.checkpoint(name).glob("*.index"))
           for name in model_dir.CHECKPOINTS}
  assert names == {"last": ["step-20.index", "step-30.index"],
                   "best_score": ["step-20.index", "step-30.index"],
                   "best_accuracy": ["step-10.index"]}


def test_ties_keep_the_earlier(folder):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  outcomes = []
  for step, value in ((1, 60.0), (2, 60.0), (3, 59.9), (4, 60.1), (5, float("nan"))):
    _at(trainer, step, step)
    outcomes.append(kept.keep_best("best_score", value))
  assert outcomes == [True, False, False, True, False]
  model = models.build(NETWORK[0], **NETWORK[1])
  assert model_dir.assign_weights(model, folder.latest("best_score")) == 4
  assert all((weight.numpy() == 4).all() for weight in model.weights)


def test_what_there_is_to_beat_survives_a_restart(folder):
  value = 61.23456789012345  # more digits than a float32 has
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  _at(trainer, 10, 0.5)
  kept.keep_best("best_score", value)
  kept.save_last()
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  kept.restore()
  _at(trainer, 20, 0.25)
  assert not kept.keep_best("best_score", value)
  assert kept.keep_best("best_accuracy", 1.0), "of which there was none"
  assert kept.keep_best("best_score", np.nextafter(value, 100))


def test_best_weights_of_a_step_that_was_lost_are_no_bar(folder):
  """Killed between keeping the best weights of step 20 and saving step 20 itself."""
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  _at(trainer, 10)
  kept.save_last()
  _at(trainer, 20)
  kept.keep_best("best_score", 70.0)
  resumed = checkpoints.Checkpoints(folder, _trainer())
  assert resumed.restore() == 10
  assert resumed.keep_best("best_score", 70.0), "the same value again, not a tie"


def test_a_worker_that_is_not_chief_writes_nothing_but_keeps_count(folder):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer, write=False)
  kept.save_last()
  assert [kept.keep_best("best_score", value) for value in (1.0, 0.5, 2.0)] == [True, False, True]
  assert not folder.path.exists()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_never_saved(folder, saved, bad):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  kept.restore()
  _at(trainer, 25)
  trainer.model.weights[-1].assign(np.full([3], bad))
  with pytest.raises(UserError) as caught:
    kept.save_last()
  assert str(caught.value) == (
      f"Training diverged by step 25: weight logits/bias is not finite; the last good checkpoint "
      f"is {saved}/step-10. Try a lower learning_rate, a longer warm-up, or clip_norm.")
  resumed = _trainer()
  assert checkpoints.Checkpoints(folder, resumed).restore() == 10
  assert all((weight.numpy() == 0.5).all() for weight in resumed.model.weights)


def test_divergence_before_the_first_save_says_so(folder):
  error = checkpoints.Checkpoints(folder, _trainer()).diverged("the loss is nan")
  assert "the loss is nan; no checkpoint had been saved yet." in str(error)


def _cut_short(path):
  path.write_bytes(path.read_bytes()[:60])


def _change(path):
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 255
  path.write_bytes(content)


def _newer(folder):
  """Adds a last checkpoint of step 20, of weights 0.75, to that of step 10."""
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  kept.restore()
  _at(trainer, 20, 0.75)
  kept.save_last({"told": 20})


def test_leftovers_of_a_save_that_was_killed_do_no_harm_and_go(folder, saved):
  """What kill -9 leaves: files of step 20 before they are complete, and temporaries of others."""
  (saved / "step-20_temp").mkdir()
  (saved / ".writing.123").mkdir()
  (saved / ".writing.123" / "step-20.index").write_bytes(b"half")
  leftovers.temporary(saved / "step-10.json").write_bytes(b"half")
  (saved / "step-20.data-00000-of-00001").write_bytes(b"half")
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  assert kept.restore() == 10
  kept.begin({})
  assert {path.name for path in saved.iterdir()} == {
      "checkpoint", "step-10.data-00000-of-00001", "step-10.index", "step-10.json"}
  _at(trainer, 20, 0.75)
  kept.save_last()
  trainer = _trainer()
  assert checkpoints.Checkpoints(folder, trainer).restore() == 20
  assert all((weight.numpy() == 0.75).all() for weight in trainer.model.weights)


def test_a_first_save_that_was_killed_is_no_checkpoint(folder, saved):
  for path in saved.iterdir():
    if ".data" not in path.name:
      path.unlink()
  assert checkpoints.Checkpoints(folder, _trainer()).restore() == 0


@pytest.mark.parametrize("lost", ["checkpoint", "step-10.json"])
def test_the_tensors_are_enough(folder, saved, lost):
  (saved / lost).unlink()
  trainer = _trainer(seed=1)
  assert checkpoints.Checkpoints(folder, trainer).restore() == 10
  assert all((weight.numpy() == 0.5).all() for weight in trainer.model.weights)
  (saved / lost).write_text("{")
  assert checkpoints.Checkpoints(folder, trainer).restore() == 10


_DAMAGE = [
    lambda file: _cut_short(file(".data-00000-of-00001")),
    lambda file: _change(file(".data-00000-of-00001")),
    lambda file: file(".data-00000-of-00001").unlink(),
    lambda file: _cut_short(file(".index")),
    lambda file: file(".index").unlink(),
]


@pytest.mark.parametrize("damage", _DAMAGE)
@pytest.mark.parametrize("has_checksums", [True, False])
def test_the_only_checkpoint_damaged_is_named_and_not_started_over(
    folder, saved, damage, has_checksums):
  if not has_checksums:  # as earlier versions wrote it
    (saved / "step-10.json").unlink()
  damage(lambda suffix: saved / f"step-10{suffix}")
  before = {path: path.read_bytes() for path in saved.iterdir()}
  message = r"last/step-10 is damaged: .*; there is no older one|The checkpoints of .* are missing"
  with pytest.raises(UserError, match=message) as caught:
    checkpoints.Checkpoints(folder, _trainer()).restore()
  assert "\n" not in str(caught.value)
  folder.write_network(*NETWORK)
  with pytest.raises(UserError, match=message):
    model_dir.load_network(folder.path, "last")
  assert {path: path.read_bytes() for path in saved.iterdir()} == before


@pytest.mark.parametrize("damage", _DAMAGE)
def test_the_older_checkpoint_is_taken_where_the_newer_is_damaged(folder, saved, damage):
  _newer(folder)
  damage(lambda suffix: saved / f"step-20{suffix}")
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  with pytest.warns(UserWarning, match=r"last/step-20 is damaged: .* is resumed from step 10 inst"):
    assert kept.restore() == 10
  assert all((weight.numpy() == 0.5).all() for weight in trainer.model.weights)
  folder.write_network(*NETWORK)
  with pytest.warns(UserWarning, match=r"last/step-20 is damaged: .*; the one of step 10 is taken"):
    assert model_dir.load_network(folder.path, "last")[-1] == 10
  kept.begin({})
  assert not list(saved.glob("step-20*")), "and will be made anew"


def test_every_byte_of_a_checkpoint_is_verified(folder, saved):
  for path in (saved / "step-10.data-00000-of-00001", saved / "step-10.index"):
    whole = path.read_bytes()
    for place in range(0, len(whole), 97):
      path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
      assert checkpoint_files.fault(saved, 10) is not None, place
    path.write_bytes(whole)
  assert checkpoint_files.fault(saved, 10) is None


def test_checksums_that_are_lost_are_made_anew(folder, saved):
  (saved / "step-10.json").unlink()
  kept = checkpoints.Checkpoints(folder, _trainer())
  kept.restore()
  kept.begin({})
  assert (saved / "step-10.json").exists()
  assert checkpoint_files.fault(saved, 10) is None
  _change(saved / "step-10.data-00000-of-00001")
  assert "checksum" in checkpoint_files.fault(saved, 10)


def test_what_was_noted_comes_back(folder, saved):
  _newer(folder)
  kept = checkpoints.Checkpoints(folder, _trainer())
  assert kept.notes() is None, "not restored"
  kept.restore()
  assert kept.notes() == {"told": 20}
  record = saved / "step-20.json"
  record.write_text(record.read_text().replace('"told": 20', '"told": 21'))
  assert kept.notes() is None, "nothing is believed of a record that was changed"
  assert checkpoint_files.fault(saved, 20) is None, "and the tensors are whole"


def test_best_weights_that_are_damaged_are_said_and_those_before_are_the_bar(folder):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  for step, value in ((10, 60.0), (20, 70.0), (30, 50.0)):
    _at(trainer, step, value)
    kept.keep_best("best_score", value)
    kept.save_last()
  _change(folder.checkpoint("best_score") / "step-20.data-00000-of-00001")
  resumed = checkpoints.Checkpoints(folder, _trainer())
  with pytest.warns(UserWarning, match="best_score/step-20 is damaged: the checksum of step-20"):
    resumed.restore()
  with pytest.warns(UserWarning, match=r"best evaluation, of step 20, are lost; those of step 10 "
                                       r"are kept. If training goes on, the best from here on"):
    resumed.check_best("best_score", 20)
  assert not resumed.keep_best("best_score", 60.0)
  folder.write_network(*NETWORK)
  with pytest.warns(UserWarning, match="best_score/step-20 is damaged"):
    assert model_dir.load_network(folder.path)[-1] == 10


def test_best_weights_that_are_lost_are_kept_again_where_they_are_the_last(folder, saved):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  kept.restore()
  with pytest.warns(UserWarning, match="lost; none are kept. They are those of the last checkpoi"):
    kept.check_best("best_score", 10)
  kept.begin({"best_score": (10, 60.0), "best_accuracy": (5, 20.0)})
  folder.write_network(*NETWORK)
  model, *_, step = model_dir.load_network(folder.path)
  assert step == 10
  assert all((weight.numpy() == 0.5).all() for weight in model.weights)
  assert folder.latest("best_accuracy") is None


def test_a_folder_that_tensorflow_would_take_for_a_pattern_is_refused(tmp_path):
  for name in ("lr=[0.1]", "a*", "who?", "a\\b"):
    with pytest.raises(UserError, match="cannot hold what TensorFlow writes"):
      model_dir.ModelDir(tmp_path / name)
  model_dir.ModelDir(tmp_path / "lr=0.1,(a)]")


@pytest.mark.parametrize(("other", "culprit"), [
    ({"name": "resnet3"}, r"does not fit resnet3: weight group1\S+ has shape none \(missing\)"),
    ({"width": 0.2}, r"stem_conv/kernel has shape \(7, 7, 3, 6\) in the .* and \(7, 7, 3, 13\) in"),
    ({"num_classes": 4}, r"weight logits/kernel has shape \(6, 3\) .* \(6, 4\) in the network"),
    ({"dropout": 0.0, "momentum": 0.5}, None),
])
def test_a_checkpoint_of_another_network_is_refused(folder, saved, other, culprit):
  trainer = _trainer(**other)
  kept = checkpoints.Checkpoints(folder, trainer)
  if culprit is None:
    assert kept.restore() == 10, "what fits may be gone on with"
    return
  before = _state(trainer)
  with pytest.raises(UserError, match=culprit):
    kept.restore()
  for name, value in _state(trainer).items():
    np.testing.assert_array_equal(value, before[name], err_msg="all weights or none")


def test_an_optimizer_that_needs_more_than_was_kept_is_refused(folder):
  checkpoints.Checkpoints(folder, _trainer(momentum=0.0)).save_last()
  with pytest.raises(UserError, match="does not fit this run: its network, its optimizer or the"):
    checkpoints.Checkpoints(folder, _trainer()).restore()


# The way back from a folder to a network.


def test_a_network_is_loaded_with_the_weights_of_any_checkpoint(folder):
  trainer = _trainer()
  kept = checkpoints.Checkpoints(folder, trainer)
  folder.write_network(*NETWORK)
  for step, score, accuracy in ((10, 80.0, 20.0), (20, 70.0, 30.0), (30, 60.0, 10.0)):
    _at(trainer, step, step / 100)
    kept.keep_best("best_score", score)
    kept.keep_best("best_accuracy", accuracy)
    kept.save_last()
  for name, step in (("best_score", 10), ("best_accuracy", 20), ("last", 30)):
    model, *network, found = model_dir.load_network(folder.path, name)
    assert (*network, found) == (*NETWORK, step)
    for weight in model.weights:
      np.testing.assert_array_equal(weight.numpy(), np.float32(step / 100))
  assert model_dir.load_network(str(folder.path))[-1] == 10, "the best score, by default"


def test_a_folder_may_be_moved(folder, saved, tmp_path):
  folder.write_network(*NETWORK)
  shutil.move(folder.path, tmp_path / "elsewhere")
  assert model_dir.load_network(tmp_path / "elsewhere", "last")[-1] == 10


@pytest.mark.parametrize(("prepare", "checkpoint", "culprit"), [
    (lambda folder: None, "last", "is not a run directory: it has no network.json. Make one with"),
    (lambda folder: folder.network.unlink(), "last", "has no network.json"),
    (lambda folder: folder.write_network(*NETWORK), "best_score",
     "has no checkpoint 'best_score'. Available: last."),
    (lambda folder: folder.write_network(*NETWORK), "first",
     "has no checkpoint 'first'. Available: last."),
    (lambda folder: folder.network.write_text("{"), "last", "network.json cannot be read: "),
    (lambda folder: folder.network.write_text("[1]"), "last", "network.json is damaged: it must"),
    (lambda folder: folder.network.write_text('{"name": "resnet6"}'), "last", "is damaged"),
    (lambda folder: folder.write_network("resnet7", {}), "last", "Unknown network 'resnet7'"),
    (lambda folder: folder.write_network("resnet2", {"depth": 3}), "last", "Unknown option"),
    (lambda folder: folder.write_network("resnet2", {"num_classes": 3}), "last", "does not fit"),
])
def test_what_cannot_be_loaded_is_one_line(folder, saved, prepare, checkpoint, culprit):
  if "network.json" in culprit:
    folder.write_network(*NETWORK)
  prepare(folder)
  path = folder.path.parent / "none" if "Make one with" in culprit else folder.path
  with pytest.raises(UserError, match=culprit) as caught:
    model_dir.load_network(path, checkpoint)
  assert "\n" not in str(caught.value)


def test_a_file_is_not_a_run_directory(tmp_path):
  (tmp_path / "file").write_text("")
  with pytest.raises(UserError, match=r"network\.json cannot be read: "):
    model_dir.load_network(tmp_path / "file")
  with pytest.raises(UserError, match="Cannot make the folder"):
    model_dir.ModelDir(tmp_path / "file" / "run").make()
  with pytest.raises(UserError, match="Cannot make the folder"):
    model_dir.ModelDir(tmp_path / "file").make()
