"""A run of a task in its folder: what it writes, keeps, resumes and refuses."""

import json

import numpy as np
import pytest
import tensorflow as tf

from perceptual import models
from perceptual.errors import UserError
from perceptual.metrics import classical
from perceptual.models import loss_networks
from perceptual.tasks import evaluation, loss, registry, settings, training
from perceptual.tasks.super_resolution import make as super_resolution
from perceptual.training import model_dir, records


def _weights(run):
  return {variable.path: variable.numpy() for variable in run.model.weights}


def test_a_run_writes_all_that_its_folder_is_said_to_hold(make_run, capsys):
  run = make_run()
  assert "401,865" not in run.description() and "super_resolution" in run.description()
  assert not run.folder.path.exists(), "nothing is written before training"
  rows = run.train(config={"config.gin": "a = 1\n"})
  assert {path.name for path in run.folder.path.iterdir()} == {
      "task.json", "run.json", "config.gin", "metrics.csv", "training.png", "progress.json",
      "tensorboard", "checkpoints"}
  assert run.folder.read_task() == {"name": "super_resolution"}
  about = json.loads(run.folder.run.read_text())
  assert about["task"]["scale"] == 4 and about["loss"]["name"] == "alexnet relu2 by l2 + 1 mse"
  assert [row["step"] for row in rows] == [0, 2, 4]
  assert set(rows[-1]) == {"step", "epoch", "loss", "learning_rate", "images_per_second",
                           "validation_loss", "validation_psnr"}
  assert records.read_metrics(run.folder.metrics) == rows
  err = capsys.readouterr().err
  assert "accuracy" not in err and "evaluation at step 4: loss " in err


def test_a_killed_run_resumes_bit_equal(make_run, monkeypatch):
  whole = make_run(name="whole", train_steps=6)
  whole.train()

  report = records.Progress.report

  def killing(self, step, means):
    if step == 4:
      raise RuntimeError("killed")
    return report(self, step, means)

  with monkeypatch.context() as patch:
    patch.setattr(records.Progress, "report", killing)
    with pytest.raises(RuntimeError, match="killed"):
      make_run(train_steps=6).train()
  resumed = make_run(train_steps=6)
  assert resumed.first_step == 2
  resumed.train()
  found, expected = _weights(resumed), _weights(whole)
  assert found.keys() == expected.keys()
  for path, value in expected.items():
    np.testing.assert_array_equal(found[path], value, err_msg=path)
  speed = "images_per_second"
  assert [{**row, speed: 0} for row in resumed._metrics.rows[2:]] == [
      {**row, speed: 0} for row in whole._metrics.rows[2:]]


def test_the_best_weights_are_those_of_the_best_validation(make_run, tasks):
  run = make_run()
  rows = run.train()
  best = max(rows[1:], key=lambda row: row["validation_psnr"])
  path = run.folder.require_latest("best_score")
  model = tasks["super_resolution"].build()
  assert model_dir.assign_weights(model, path) == best["step"]


def test_lower_is_better_where_it_is_and_patience_ends_training(make_run, monkeypatch):
  losses = iter([9.0, 5.0, 6.0, 7.0, 8.0])
  monkeypatch.setattr(training.TaskEvaluator, "eval_end", lambda self: {
      "validation_loss": next(losses), "validation_psnr": 1.0})
  run = make_run("autoencoding", train_steps=20, eval_interval=1, patience=2)
  rows = run.train()
  assert [row["step"] for row in rows] == [0, 1, 2, 3], "two evaluations after the best"
  assert "at step 1" in run.summary()
  assert make_run("autoencoding", train_steps=20, eval_interval=1, patience=2).is_complete


def test_another_loss_or_task_is_another_run(make_run, tiny_metric):
  make_run(train_steps=2).train()
  with pytest.raises(UserError, match=r"holds another run \(loss.name: alexnet relu2 .*relu1"):
    make_run(train_steps=2, metric=tiny_metric(taps=("relu1",)))


def test_two_replicas_validate_as_one(make_run, one_device, two_cpus):
  mirrored = tf.distribute.MirroredStrategy(
      two_cpus, cross_device_ops=tf.distribute.ReductionToOneDevice())
  losses = {}
  for name, strategy in (("one", one_device), ("two", mirrored)):
    rows = make_run("delineation", name, strategy=strategy, train_steps=1).train()
    losses[name] = rows[0]["validation_loss"], rows[0]["validation_bce"]
    assert np.isfinite(rows[1]["loss"])
  np.testing.assert_allclose(losses["two"], losses["one"], rtol=1e-5)


@pytest.mark.parametrize("network", loss_networks.LAYERS)
def test_every_loss_network_trains_two_steps_in_every_task(
    network, tasks, tiny_metric):
  metric = tiny_metric(network, loss_networks.LAYERS[network][1:2])
  before = {v.path: v.numpy().copy() for v in metric.trunk.weights}
  for task in tasks.values():
    made = loss.Loss(metric, pixels={"mse": 0.1})
    made.require_fits(task.name, task.target_size)
    losses = _two_steps(task, made)
    assert np.isfinite(losses).all() and (losses > 0).all()
  for variable in metric.trunk.weights:
    np.testing.assert_array_equal(variable.numpy(), before[variable.path], err_msg=variable.path)


def _two_steps(task, made):
  """Takes two steps, not compiled, and returns the losses; every weight must have moved."""
  model = task.build()
  before = [v.numpy().copy() for v in model.trainable_variables]
  trainer = training.TaskTrainer(
      model, settings.Settings().optimizer.keras(2, 1, 2), task=task, loss=made,
      strategy=tf.distribute.get_strategy(), batch_size=2)
  batches = iter(task.train_batches(batch_size=2, seed=0, first_step=0, shard=(0, 1)))
  losses = []
  for _ in range(2):
    trainer.train_loop_begin()
    trainer._step_of_replica(next(batches))
    losses.append(trainer._sums.means()["loss"])
  moved = [not np.array_equal(v.numpy(), old) for v, old in zip(model.trainable_variables, before)]
  assert all(moved), "every weight has a gradient"
  return np.array(losses)


def test_every_published_loss_network_is_one_of_the_study():
  assert set(loss_networks.LAYERS) <= set(models.names())


def test_a_run_is_tested_from_its_folder_alone(make_run, tasks):
  run = make_run("delineation", train_steps=2)
  run.train()
  said = []
  found, paths = evaluation.evaluate(
      run.folder.path, tasks["delineation"], checkpoint="last", progress=said.append)
  assert said[0] == "the network of step 2 (last)" and all(path.is_file() for path in paths)
  assert {result.protocol for result in found} == {"windows", "study"}
  assert list((run.folder.path / "evaluation" / "pictures").glob("*.png"))
  _, (path, *_) = evaluation.evaluate(
      run.folder.path, tasks["delineation"], output_dir=run.folder.path / "other")
  assert path.parent == run.folder.path / "other"
  with pytest.raises(UserError, match="is not the folder of a task"):
    evaluation.evaluate(run.folder.path.parent, tasks["delineation"])


def test_weights_are_not_put_into_another_network_of_their_shapes(make_run, tasks, monkeypatch):
  run = make_run("delineation", train_steps=1)
  run.train()
  monkeypatch.setattr(tasks["delineation"], "_leak", 0.2)
  with pytest.raises(UserError, match=r"was trained with delineation\.leak = 0\.0: with 0\.2 it"):
    evaluation.evaluate(run.folder.path, tasks["delineation"], checkpoint="last")


def test_a_metric_too_large_for_the_targets_is_refused(make_run):
  with pytest.raises(UserError, match=r"ms-ssim needs images of at least 161 pixels a side; "
                                      r"those of the task super_resolution have 48x48"):
    make_run(metric=classical.build("ms-ssim"))


def test_a_tap_too_deep_for_the_targets_is_refused(make_run, tiny_metric, data_dir):
  task = super_resolution(data_dir, train="photographs", held_out=1, side=40, channels=2)
  with pytest.raises(UserError, match=r"inception_v3 at Mixed_6e needs images of at least \d+ "
                                      r"pixels a side; .* have 40x40; choose an earlier tap"):
    make_run(task, metric=tiny_metric("inception_v3", ["Mixed_6e"]))


def test_the_registry_names_the_tasks_and_their_run_files(tasks):
  assert list(registry.TASKS) == list(tasks)
  assert registry.options("delineation")["side"] == 224
  with pytest.raises(UserError, match=r"Unknown task 'denoising'. Available: super_resolution, "):
    registry.maker("denoising")
