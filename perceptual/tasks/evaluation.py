"""The test of a network that was trained for a task, from its folder."""

from perceptual.common import precision
from perceptual.errors import UserError
from perceptual.tasks import results
from perceptual.training import model_dir

FOLDER = "evaluation"  # of a run's results, inside its own


def evaluate(path, task, *, checkpoint="best_score", seed=0, output_dir=None, progress=print):
  """Tests a trained network, writes the results, and returns them.

  Args:
    path: the folder of the run.
    task: the `task.Task` that it was trained for, with the tests wanted.
    checkpoint: one of `model_dir.CHECKPOINTS`, or a `step-N` that was kept.
    seed: of what a test draws.
    output_dir: the folder of the results; None for `FOLDER` in that of the run.
    progress: called with a line of text as something begins that takes long.

  Returns:
    (results, paths): the `results.Result`s, and the tables that were written.

  Raises:
    UserError: there is no such run or checkpoint, it is of another task or of another network, or
      there is nothing to test on.
  """
  folder = model_dir.ModelDir(path)
  model, step = load(folder, task, checkpoint)
  progress(f"the network of step {step:,} ({checkpoint})")
  with precision.full_float32():
    found = task.test(model, seed=seed, progress=progress)
  return found, results.write(found, folder.path / FOLDER if output_dir is None else output_dir)


def load(folder, task, checkpoint):
  """Returns (network, step): that of a run with the weights of a checkpoint, and its step.

  Args:
    folder: `model_dir.ModelDir`.
    task: the `task.Task`.
    checkpoint: as of `evaluate`.
  """
  folder.read_task()  # for its errors
  trained = (folder.read_run() or {}).get("task", {})
  for option, value in task.architecture.items():
    if option in trained and trained[option] != value:
      raise UserError(f"The network in {folder.path} was trained with {task.name}.{option} = "
                      f"{trained[option]!r}: with {value!r} it would be another.")
  latest = folder.require_latest(checkpoint)
  model = task.build()
  return model, model_dir.assign_weights(model, latest)
