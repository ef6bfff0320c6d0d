"""Settings: the papers' ResNet by default, checked as soon as they are given, counted in steps."""

import types

import pytest

from perceptual.data.labelled.augment import Augmentation
from perceptual.errors import UserError
from perceptual.training import optimizers, schedules
from perceptual.training.settings import Settings


@pytest.mark.parametrize(("make", "culprit"), [
    (lambda: Settings(optimizer="sgd"), "must be Sgd or .* in gin @sgd.. or .* not 'sgd'"),
    (lambda: Settings(augmentation=None), "augmentation must be Augmentation, .* not None"),
    (lambda: Settings(batch_size=0), "batch_size must be a whole number of at least 1, not 0"),
    (lambda: Settings(batch_size="64"), "batch_size .* not '64'"),
    (lambda: Settings(batch_size=64.0), "batch_size .* not 64.0"),
    (lambda: Settings(train_steps=0), "train_steps .* not 0"),
    (lambda: Settings(checkpoint_interval=-5), "checkpoint_interval .* not -5"),
    (lambda: Settings(epochs=float("inf")), "epochs .* not inf"),
    (lambda: Settings(epochs=float("nan")), "epochs .* not nan"),
    (lambda: Settings(label_smoothing=1), "label_smoothing .* below 1, not 1"),
    (lambda: Settings(weight_decay=-1e-4), "weight_decay .* not -0.0001"),
    (lambda: Settings(ema_decay=1.0), "ema_decay .* below 1, not 1.0"),
    (lambda: Settings(ema_decay=0), "ema_decay .* above 0 .* not 0"),
    (lambda: Settings(clip_norm=0), "clip_norm .* above 0, not 0"),
    (lambda: Settings(seed=-1), "seed .* not -1"),
    (lambda: Settings(seed=2**32), "seed .* below 4294967296"),
    (lambda: Settings(precision="float16"), "precision 'float16'. Available: float32, bfloat16"),
    (lambda: Settings(precision=["float32"]), "precision .* Available"),
    (lambda: Settings(score_distances="local"), "score_distances must be a list .* not 'local'"),
    (lambda: Settings(score_distances=("local", "l9")), "distance 'l9'. Available: "),
    (lambda: Settings(score_distances=("local", 9)), "score_distances must be a list"),
    (lambda: Settings(score_distances=("local", "local")), "names one twice"),
    (lambda: Settings(score_distances=("spatial",)), "'spatial' is called 'local' here"),
    (lambda: Settings(score_steps=5), "score_steps must be a list of steps, not 5"),
    (lambda: Settings(score_steps=(5, -1)), "score_steps .* at least 0, not -1"),
    (lambda: Settings(keep_checkpoints="every"),
     "keep_checkpoints must be a list of steps or \"all\", not 'every'"),
    (lambda: Settings(score_taps="stem"), "score_taps must be a list of taps, not 'stem'"),
    (lambda: Settings(score_resamples=0), "score_resamples .* at least 1, not 0"),
    (lambda: Settings(score_by="sort"), "score_by 'sort' is not one of .* local, mean_pool, style"),
])
def test_illegal_settings_are_refused_in_one_line(make, culprit):
  with pytest.raises(UserError, match=culprit) as caught:
    make()
  assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("options", "per_epoch", "steps"), [
    ({"batch_size": 100, "epochs": 2}, 10, 20),
    ({"batch_size": 300, "epochs": 1}, 3, 3),  # whole batches, as the papers count
    ({"batch_size": 100, "epochs": 0.25}, 10, 3),
    ({"batch_size": 100, "epochs": 2, "train_steps": 7}, 10, 7),
    ({"batch_size": 4000, "epochs": 5}, 1, 5),
])
def test_epochs_are_counted_in_steps(options, per_epoch, steps):
  settings, images = Settings(**options), types.SimpleNamespace(sizes={"train": 1000})
  assert (settings.steps_per_epoch(images), settings.steps(images)) == (per_epoch, steps)


def test_the_defaults_are_the_papers_resnet():
  settings = Settings()
  assert settings.optimizer == optimizers.Sgd(
      schedules.StepDecay(0.1, 5.0, (30.0, 60.0, 80.0), 0.1), 0.9, True)
  assert settings.augmentation == Augmentation("pad", 4, True)
  assert (settings.batch_size, settings.epochs, settings.weight_decay) == (1024, 90.0, 1e-4)
  assert (settings.label_smoothing, settings.clip_norm) == (0.0, None)
