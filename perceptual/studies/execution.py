"""Runs the runs of a study, one after another in this process; any of them may fail.

TensorFlow starts once, and judged sets are read once. A run that has finished is skipped, one
that was killed is resumed from where it was saved last.
"""

import dataclasses
import functools
import gc
import sys
import traceback

import keras
import tensorflow as tf

from perceptual import errors
from perceptual.common import files, machine_faults
from perceptual.data import tfds_files
from perceptual.data.judged import judged_sets
from perceptual.experiments import config
from perceptual.experiments import runs as experiments
from perceptual.studies import study_dir
from perceptual.studies.study_dir import State
from perceptual.tasks import evaluation, judgements, results
from perceptual.training import stopping


def execute(folder, runs, *, data_dir=None, strategy=None, jit_compile=False):
  """Trains runs that have not finished; returns a dict from each run's name to its `State`.

  Args:
    folder: `study_dir.StudyDir`, opened.
    runs: the `definition.Run`s.
    data_dir: the folder of prepared data sets; None if none is needed.
    strategy: `tf.distribute.Strategy` for all of them; None for the current one.
    jit_compile: whether XLA compiles steps.

  Raises:
    errors.Stopped: if the process was asked to stop (SIGTERM) before all was done. The same call
      goes on.
  """
  options = {"data_dir": data_dir, "strategy": strategy, "jit_compile": jit_compile,
             "load_judged": functools.lru_cache(maxsize=8)(judged_sets.load)}
  states = {}
  gc.collect()
  gc.freeze()  # what has been imported stays: no need to search it after every run
  with stopping.EndOnRequest(say=_say) as request:
    for number, run in enumerate(runs, start=1):
      request.check()
      _say(f"run {number} of {len(runs)}: {run.name} (index {run.index})")
      states[run.name] = _state_after(folder, run, options, request)
      state = states[run.name]
      _say(f"{state.state}: {run.name}{state.note and ': '}{state.note}")
  return states


def _state_after(folder, run, options, request):
  """Trains a run if it needs it, and returns its `State`; no error leaves this function."""
  try:
    before = folder.state(run)
  except errors.UserError as error:
    return State(study_dir.FAILED, note=str(error))
  if before.state == study_dir.FINISHED:
    return dataclasses.replace(before, note="before, so it is skipped")
  if before.state == study_dir.CHANGED:
    return before
  if before.state == study_dir.FAILED:
    files.remove(_traceback_path(folder, run))
  folder.write_state(run, study_dir.STARTED, steps=before.steps)
  try:
    _train(folder, run, options, request)
  except Exception as error:
    note = _note(folder, run, error)
    folder.write_state(run, study_dir.FAILED, steps=before.steps, note=note)
  finally:
    # What Keras and TensorFlow keep of a run must not slow down or swell the next one. This
    # searches for garbage, too.
    keras.backend.clear_session()
  return folder.state(run)


def _train(folder, run, options, request):
  """Trains a run to its end."""
  run.parse(folder.path)
  if run.kind == "task":
    _train_for_task(folder, run, options, request)
    return
  if run.kind == "judge":
    _judge(folder, run, options)
    return
  path = folder.model_dir(run).path
  if run.kind == "learn":
    folder.require_trunk(run)
    trunk_dir = folder.path / "runs" / run.trunk
    training = experiments.learned(
        path, trunk_dir=trunk_dir, trunk_checkpoint=run.trunk_checkpoint, **options)
  else:
    training = experiments.training(path, **options)
  folder.write_state(run, study_dir.STARTED, steps=training.steps)
  training.train(config=experiments.configuration())
  folder.write_state(run, study_dir.FINISHED, steps=training.steps)


def _train_for_task(folder, run, options, request):
  """Trains the network of a task to its end, and tests it."""
  path = folder.model_dir(run).path
  options = {name: value for name, value in options.items() if name != "load_judged"}
  training = experiments.task(path, **options)
  folder.write_state(run, study_dir.STARTED, steps=training.steps)
  training.train(config=experiments.configuration())
  request.check()
  evaluation.evaluate(path, training.task, seed=run.seed, progress=_say)
  folder.write_state(run, study_dir.FINISHED, steps=training.steps)


def _judge(folder, run, options):
  """Scores a loss on judged sets."""
  loss = config.loss_settings()
  judged_sets = config.all_judged_sets(options["data_dir"], options["load_judged"])
  config.check_used(config.JUDGEMENTS)
  found = judgements.score(loss.make(), judged_sets, progress=_say)
  model_dir = folder.model_dir(run)
  model_dir.write_task({"name": judgements.NAME})
  results.write(found, model_dir.path / evaluation.FOLDER)
  folder.write_state(run, study_dir.FINISHED, steps=0)


def _note(folder, run, error):
  """Returns an error as one line; of a bug, the traceback is left in the run's folder."""
  if (known := _explained(error)) is not None:
    return errors.first_line(known)
  path = _traceback_path(folder, run)
  files.write_text(path, traceback.format_exc())
  return f"{type(error).__name__}: {errors.first_line(error)} (see {path})"


def _explained(error):
  """The `UserError` that an error is, or that names a damaged record or the machine's fault."""
  if isinstance(error, errors.UserError):
    return error
  if isinstance(error, tf.errors.DataLossError):
    return tfds_files.damaged_record()
  return machine_faults.explained(error)


def _traceback_path(folder, run):
  return folder.model_dir(run).path / "failure.txt"


def _say(line):
  print(line, file=sys.stderr, flush=True)
