"""The benchmark without training: how often a loss sides with people, on judged triplets.

Of a triplet people said which of two candidates is closer to the reference. So does a loss: the
candidate that it would take for the better output. The score is 2AFC as BAPPS has it (Zhang et al.
2018), in percent; Pihlgren et al. have it as their fourth benchmark.
"""

import numpy as np
import tensorflow as tf

from perceptual.common import precision
from perceptual.errors import UserError
from perceptual.evaluation import two_afc
from perceptual.tasks import results
from perceptual.tasks.task import unit

NAME = "judgements"  # what the benchmark is called where tasks are
PROTOCOL, MEASURE = "2afc", "score"
BATCH_SIZE = 64  # triplets


def score(loss, judged_sets, *, batch_size=BATCH_SIZE, progress=print):
  """Returns a `results.Result` for each subset of judged sets.

  Args:
    loss: `loss.Loss`.
    judged_sets: `data.judged.judged_sets.JudgedSet`s of triplets.
    batch_size: triplets at a time.
    progress: called with a line of text as a subset begins.

  Raises:
    UserError: a set has no triplets, or images too small for the loss.
  """
  for judged_set in judged_sets:
    if judged_set.kind != "2afc":
      raise UserError(f"{judged_set.name} has no triplets: a loss is scored on sets of kind 2afc, "
                      "such as bapps/2afc, teacher and graded.")
  return [_of_subset(loss, judged_set, subset, batch_size, progress)
          for judged_set in judged_sets for subset in judged_set.subsets]


def _of_subset(loss, judged_set, subset, batch_size, progress):
  test = judged_set.name
  if len(judged_set.subsets) > 1:
    test += f"/{subset.name}"
  progress(f"scoring {test}: {subset.size:,} triplets")
  loss.require_fits(test, subset.images.element_spec["reference"].shape[:2])

  @tf.function(reduce_retracing=True)
  def distances(images):
    reference = loss.of_target(unit(images["reference"]))
    return [loss(reference, unit(images[name])) for name in ("candidate_0", "candidate_1")]

  with precision.full_float32():
    found = [distances(images) for images in subset.images.batch(batch_size)]
  agreement = two_afc.two_afc_agreement(*np.concatenate(found, axis=1), subset.answers)
  return results.Result(
      test, PROTOCOL, "network", tuple(f"{number:06d}" for number in range(subset.size)),
      {MEASURE: 100 * agreement}, note=judged_set.note)
