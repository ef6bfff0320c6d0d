"""Plans: costs by hand, refused values found, estimates beside what was measured."""

import dataclasses
import types

import pytest

from perceptual import models
from perceptual.errors import UserError
from perceptual.models import costs
from perceptual.studies import definition, devices, plan_text, planning, tpu_costs

from .conftest import STUDY

# docs/benchmarks.md, images a second in training, of a CPU whose peak is 504 GFLOP/s: of runs
# ("Studies"), and of steps alone ("Networks"), which are quicker than a run.
RUNS = {("resnet6", ()): 705, ("resnet6", (("width", 0.25),)): 3450,
        ("vit_b8", (("depth", 0.3333), ("width", 0.125))): 518}
STEPS = {"resnet6": 1102, "resnet18": 355, "resnet50": 134, "efficientnet_b0": 354, "vit_b8": 11}


def test_a_plan_adds_up(write):
  run, wide = planning.plan(definition.read(write()), folder="anywhere")
  model = models.build("resnet2", width=0.1, num_classes=17)
  assert run.parameters == costs.parameters(model)
  assert run.flops == costs.flops(model, 64)
  assert wide.parameters > run.parameters
  # 2 steps of 8 images, forward and twice back; 3 evaluations of 17 images and 6 triplets.
  assert (run.steps, run.batch_size, run.evaluations) == (2, 8, 3)
  assert run.total_flops == run.flops * (3 * 2 * 8 + 3 * (17 + 3 * 6))
  # The last weights with a slot of SGD each, and the two best.
  assert run.checkpoints == 4 * run.parameters * 4
  assert run.memory > 4 * run.parameters * 3 + 4 * run.activations * 8 - 1


def test_kept_checkpoints_and_averages_take_room(write, base):
  base.write_text(base.read_text() + "train.keep_checkpoints = 'all'\ntrain.ema_decay = 0.9\n")
  run = planning.plan(definition.read(write()), folder="anywhere")[0]
  assert run.checkpoints == 4 * run.parameters * (5 + 3)


def test_activations_are_what_all_layers_put_out():
  model = models.build("resnet2", width=1 / 64, num_classes=3)
  # Padded image, convolution, normalisation, ReLU; pool and tap; mean; logits.
  assert costs.activations(model, 64) == 70 * 70 * 3 + 3 * 32 * 32 + 2 * 16 * 16 + 1 + 3


def test_refused_values_are_found_before_anything_runs(write):
  text = STUDY.replace("[0.1, 0.2]", "[0.1, -1, 0.2, 'wide']")
  with pytest.raises(UserError) as caught:
    planning.plan(definition.read(write(text)), folder="anywhere")
  message = str(caught.value)
  assert message.startswith("Refused: 2 of 4 runs. 1 run (resnet2-width-1-seed0): width must be "
                            "a number > 0")
  assert " 1 run (resnet2-widthwide-seed0): width" in message


def test_equal_reasons_are_told_once_with_three_of_their_runs(write, base):
  text = STUDY.replace("'network.width': [0.1, 0.2]", "'network.width': [0.1, 0.2, 0.3, 0.4]")
  base.write_text(base.read_text() + "train.label_smoothing = 2.0\n")
  with pytest.raises(UserError) as caught:
    planning.plan(definition.read(write(text)), folder="anywhere")
  message = str(caught.value)
  assert message.startswith(
      "Refused: 4 of 4 runs. 4 runs (resnet2-seed0, resnet2-width0.2-seed0, "
      "resnet2-width0.3-seed0, ...): label_smoothing")
  assert message.count("label_smoothing") == 1 and "\n" not in message


@pytest.mark.parametrize("binding", [
    "'train.label_smoothing': [2.0]", "'train.epoch': [1]", "'network.depth': [2]",
    "'cosine.warmup_steps': [3]", "'augmentation.policy': ['magic']"])
def test_so_are_bindings_that_gin_or_a_recipe_refuses(write, binding):
  with pytest.raises(UserError):
    planning.plan(definition.read(write(STUDY.replace("'network.width': [0.1, 0.2]", binding))),
                  folder="anywhere")


def _images_per_second(cost, device):
  return 1 / (3 * cost.flops / device.flops + cost.weighted_values * device.value_seconds
              + device.image_seconds)


@pytest.mark.parametrize(("network", "options"), RUNS)
def test_the_cpu_is_fitted_to_runs(network, options):
  found = _images_per_second(
      planning._network_cost(network, 64, 100, options), devices.device("cpu"))
  assert 0.75 < found / RUNS[network, options] < 1.25


@pytest.mark.parametrize("name", STEPS)
def test_a_run_is_up_to_a_third_slower_than_its_steps(name):
  found = _images_per_second(planning._network_cost(name, 64, 1000, ()), devices.device("cpu"))
  assert 0.75 < found / STEPS[name] < 1.15


def test_what_distances_embed_of_an_image():
  cost = planning._NetworkCost(0, 0, 0, taps=((16, 8), (1, 32)))
  features = 16 * 8 + 32
  assert cost.embedded(["local"]) == 2 * features
  assert cost.embedded(["mean_pool", "style"]) == features + (8 + 32) + (8**2 + 32**2)
  assert cost.embedded(["local+sort"]) == 3 * features


def test_a_plan_has_a_line_for_each_sweep(write):
  planned = planning.plan(definition.read(write()), folder="anywhere")
  text = plan_text.subtotals(planned, devices.DEVICES["cpu"])
  assert [line.split()[:2] for line in text.splitlines()[2:]] == [
      ["micro", "nothing:"], ["micro", "width"]]
  assert plan_text.subtotals(planned[:1], devices.DEVICES["cpu"]) == ""
  many = plan_text.table(100 * planned, "cpu", devices.DEVICES["cpu"])
  assert "seed0" in many and "seed0" not in plan_text.table(
      101 * planned, "cpu", devices.DEVICES["cpu"])


def test_h200_is_fitted_to_what_was_measured_and_half_the_speed_takes_twice_as_long():
  cost = planning._network_cost("resnet50", 64, 1000, ())
  device = devices.DEVICES["h200"]
  assert 0.75 < _images_per_second(cost, device) / 25_400 < 1.34
  whole, half = (devices.device("cpu", peak) for peak in (504e9, 252e9))
  assert half.flops == whole.flops / 2
  assert half.value_seconds == 2 * whole.value_seconds
  assert half.image_seconds == 2 * whole.image_seconds > 0


def test_the_table_says_what_its_numbers_are(write):
  planned = planning.plan(definition.read(write()), folder="anywhere")
  for name, device in devices.DEVICES.items():
    text = plan_text.table(planned, name, device)
    assert "2 runs, 2 different networks" in text
    assert device.origin in text
    assert "measured" in device.origin or "assumed" in device.origin
    assert "\nPFLOPs are of the whole run, MFLOPs of one image.\n" in text
    assert ("not compiled" in text) == name.startswith("tpu-"), "networks of such a width"
  columns, rows = plan_text.as_csv_rows(planned)
  assert [len(row) for row in rows] == [len(columns)] * 2


def test_what_a_compiler_says_of_memory_counts_before_the_estimate(write, monkeypatch):
  run = planning.plan(definition.read(write()), folder="anywhere")[0]
  run = dataclasses.replace(run, memory=20 * 10**9, batch_size=1024)

  def warned():
    return "More than the 16 GB of one tpu-v5e: 1 runs" in plan_text.totals(
        [run], "tpu-v5e", devices.DEVICES["tpu-v5e"])

  assert warned()
  for gigabytes, is_too_large in ((1, False), (3, True)):  # of 128 of the 1,024 images
    step = tpu_costs.Step(128, gigabytes * 10**9, 1)
    monkeypatch.setattr(tpu_costs, "training", lambda name, one, step=step: step)
    assert warned() == is_too_large


@pytest.mark.parametrize("hours, text", [
    (1234.5, "1,234"), (99.97, "100"), (12.345, "12.3"), (1, "1"), (0.012345, "0.0123"),
    (0.00001, "<0.0001")])
def test_numbers_have_three_digits_or_all_before_the_point(write, hours, text):
  run, _ = planning.plan(definition.read(write()), folder="anywhere")
  device = devices.DEVICES["cpu"]
  planned = dataclasses.replace(run, steps=0, memory=2_345_600_000_000, values=0,
                                total_flops=round(hours * 3600 * device.flops))
  line = plan_text.table([planned], "cpu", device).splitlines()[2].split()
  assert (line[7], line[9]) == ("2,346", text)


def test_published_sizes_are_told_where_they_were_taken(write, base):
  planned = planning.plan(definition.read(write()), folder="anywhere")
  assert plan_text.sizes(planned) == ""  # photographs that need no folder
  kept = [line for line in base.read_text().splitlines() if not line.startswith("images.")]
  base.write_text("\n".join([*kept, "images.source = 'imagenet64'", ""]))
  planned = planning.plan(definition.read(write()), folder="anywhere")
  assert plan_text.sizes(planned) == (
      "Sizes: ImageNet's 1,281,167 images of 1,000 classes, as no --data_dir was given; with "
      "--data_dir=DIR those of the prepared data.")


def test_losses_without_their_weights_are_told(monkeypatch, tmp_path):
  monkeypatch.setenv("PERCEPTUAL_WEIGHTS", str(tmp_path))

  def told(*losses):
    return plan_text.missing_weights([types.SimpleNamespace(run=types.SimpleNamespace(
        has_loss=True, network=name)) for name in losses])

  assert told("pixels", "gaussian-alexnet", "perceptual", "../runs/resnet6") == ""
  assert told("pixels", "alexnet", "vgg16", "alexnet") == (
      "Weights that are missing on this machine: alexnet, vgg16; to get those of the first: "
      "perceptual convert --network=alexnet --download")
