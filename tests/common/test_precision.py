"""What is scored has all digits of float32, and what is trained beside it is left as it was."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from perceptual.common import precision
from perceptual.comparison import pairing, run
from perceptual.data.judged import judged_sets, prepare_teacher
from perceptual.evaluation import judged_pass
from perceptual.metrics.classical import build

_SHORTER = tf.config.experimental.tensor_float_32_execution_enabled


@pytest.mark.parametrize("allowed", [True, False])
def test_it_is_put_back_even_after_an_error(allowed):
  before = _SHORTER()
  tf.config.experimental.enable_tensor_float_32_execution(allowed)
  try:
    with pytest.raises(ZeroDivisionError), precision.full_float32():
      assert not _SHORTER()
      raise ZeroDivisionError
    assert _SHORTER() is allowed
  finally:
    tf.config.experimental.enable_tensor_float_32_execution(before)


def test_other_backends(on_another_backend):
  printed = on_another_backend("""
import sys
import keras
from perceptual.common import precision
if "torch" in sys.modules:
  import torch
  shorter = lambda: (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
else:
  import jax
  shorter = lambda: jax.config.jax_default_matmul_precision
before = shorter()
with precision.full_float32():
  print(shorter() in ((False, False), "float32"))
print(shorter() == before)
""")
  assert printed.split() == ["True", "True"]


class _Noting:
  """A metric that notes in which precision it is called; another one's in all else."""

  def __init__(self):
    self._metric = build("mse")
    self.noted = []

  def __getattr__(self, name):
    return getattr(self._metric, name)

  def __call__(self, reference, candidate):
    self.noted.append(_SHORTER())
    return self._metric(reference, candidate)

  def two_afc(self, *images):
    self.noted.append(_SHORTER())
    return self._metric.two_afc(*images)


def test_judged_sets_and_files_are_scored_so(tmp_path):
  metric = _Noting()
  judged = judged_sets.load("graded/nuisance", limit=4)
  judged_pass.JudgedPass(metric, distances=None)(judged.subsets[0], judged.kind)
  assert metric.noted and not any(metric.noted)

  from PIL import Image
  metric = _Noting()
  for name in ("a.png", "b.png"):
    Image.fromarray(np.zeros([16, 16, 3], np.uint8)).save(tmp_path / name)
  pairs = pairing.Pairing(about="", files=(tmp_path / "a.png", tmp_path / "b.png"),
                          pairs=np.array([[0, 1]], np.int32), explicit=True)
  run.compare(run.inspect(pairs), {"mse": metric})
  assert metric.noted == [False]


def test_teachers_judge_so():
  metric, image = _Noting(), np.zeros([4, 4, 3], np.uint8)
  triplet = {"reference": image, "candidate_0": image, "candidate_1": image + 1, "id": "a"}
  assert len(list(prepare_teacher.judged([triplet], metric, collections.Counter()))) == 1
  assert metric.noted == [False, False]
