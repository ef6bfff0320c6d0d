"""A study small enough to run in a test: two widths of a tiny ResNet-2 for two steps each."""

import pytest

from perceptual.experiments import config

BASE = """
include 'gin/runs/demo.gin'
network.name = 'resnet2'
network.width = 0.1
images.train_per_photograph = 2
images.validation_per_photograph = 1
judged.limit = 6
train.batch_size = 8
train.eval_batch_size = 16
train.train_steps = 2
train.steps_per_loop = 1
train.eval_interval = 2
train.score_distances = ['local']
train.score_resamples = 20
step_decay.warmup_epochs = 0
"""

STUDY = """
study.name = 'micro'
study.sweeps = [@widths/sweep()]
study.bindings = {'train.score_steps': [1]}
widths/sweep.bases = ['BASE']
widths/sweep.vary = {'network.width': [0.1, 0.2]}
"""


@pytest.fixture(autouse=True)
def clean():
  yield
  config.gin.clear_config()


@pytest.fixture
def base(tmp_path):
  """The gin file of the runs."""
  path = tmp_path / "base.gin"
  path.write_text(BASE)
  return path


@pytest.fixture
def write(tmp_path, base):
  """Writes a study's gin file, `BASE` standing for its base file, and returns its path."""
  def write(text=STUDY, name="study.gin"):
    path = tmp_path / name
    path.write_text(text.replace("BASE", str(base)))
    return str(path)
  return write
