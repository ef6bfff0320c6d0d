"""The run that learns a metric from judgements."""

import dataclasses

import keras
import orbit

from perceptual.common import progress
from perceptual.data.judged import judged_batches
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass
from perceptual.metrics import distances
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models.preprocessing import IMAGENET
from perceptual.training import (
    input_shapes,
    judged_loop,
    learned_distance,
    learning_settings,
    ranking,
    records,
)


class Run(judged_loop.JudgedLoop):
  """A run in its folder: started, or resumed.

  Attributes, besides those of `judged_loop.JudgedLoop`:
    train_set: the `judged.JudgedSet` that is learned from.
    trunk: the `trunks.Trunk`.
    model: `learned_distance.LearnedDistance`.
  """

  examples = "triplets"
  curve = ("loss", "training loss, cross entropy")

  def __init__(self, path, *, trunk, train_set, judged_set, settings, further_sets=(),
               strategy=None, jit_compile=False):
    """Builds everything and restores the last checkpoint, if there is one; writes nothing.

    Args:
      path: the folder.
      trunk: takes the names of the taps, or None for all, and returns a `trunks.Trunk`; called in
        the strategy's scope.
      train_set: `judged.JudgedSet` of kind `2afc` to learn from.
      judged_set: another one, of other images, scored at every evaluation.
      settings: `learning_settings.Settings`.
      further_sets: further ones; `settings.best_by` says which of all keeps the best weights.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles steps.

    Raises:
      UserError: if the parts do not fit each other, or the folder holds another run.
    """
    super().__init__(
        path, judged_set=judged_set, further_sets=further_sets, settings=settings,
        steps=settings.steps(train_set.size),
        steps_per_epoch=settings.steps_per_epoch(train_set.size), strategy=strategy)
    self.train_set = train_set
    self.mode = learning_settings.MODES[settings.mode]
    self._check()
    keras.utils.set_random_seed(settings.seed)
    with self._strategy.scope():
      self.trunk = trunk(settings.taps)
      input_shapes.require_taken(
          self.trunk.model, self.trunk.network,
          input_shapes.of_judged_sets((train_set, *self.judged_sets)))
      self._trunk_as_data = self.trunk.as_data()
      self.trunk.model.trainable = self.mode.trunk_learns
      self.model = learned_distance.LearnedDistance(self.trunk.model, dropout=settings.dropout)
      self._trainer = ranking.RankingTrainer(
          self.model, learned_distance.judge_network(),
          settings.optimizer.keras(settings.batch_size, self.steps_per_epoch, self.steps),
          strategy=self._strategy, batch_size=settings.batch_size, preprocess=IMAGENET,
          trunk_training=self.mode.trunk_training, jit_compile=jit_compile)
    self._evaluator = _Nothing()
    self._judged_pass = judged_pass.JudgedPass(
        self._metric_in_training(), distances=settings.score_distances,
        batch_size=settings.eval_batch_size, strategy=self._strategy, jit_compile=jit_compile)
    self._resume()

  def description(self):
    """Returns what the run is, as text for people."""
    channels = sum(weights.shape[0] for weights in self.model.channel_weights.values())
    lines = [
        f"trunk     {self.trunk.network}, {self.trunk.origin}: "
        f"{self.trunk.model.count_params():,} parameters, taps "
        f"{', '.join(self.trunk.model.output)}",
        f"learns    {self.settings.mode}: {self.mode.tells}; {channels:,} channels",
        f"from      {self.train_set.name}, "
        f"{progress.plural(self.train_set.size, 'triplet')}",
        f"          {self.train_set.note}" if self.train_set.note else "",
        *self._common_description()]
    return "\n".join(filter(None, lines))

  def summary(self):
    """Returns where the results are and what the best was, as text for people."""
    best = records.peak(self._metrics.rows, self._score_column)
    if best is None:
      return f"No evaluation is recorded in {self.folder.metrics}."
    return (f"Best score: {best[self._score_column]:.1f} on {self._score_name} at step "
            f"{best['step']}; the same features without weights "
            f"{best[records.SCORE_PREFIX + 'local']:.1f}.\n"
            f"Curves: {self.folder.plot}  {self.folder.metrics}")

  @property
  def _title(self):
    return (f"{self.trunk.network} {self.settings.mode} from {self.train_set.name}, scored on "
            f"{self._score_name}")

  def _check(self):
    super()._check()
    if self.train_set.kind != "2afc":
      raise UserError(f"{self.train_set.name} is of kind {self.train_set.kind}; metrics are "
                      "learned from a 2afc set.")

  def _metric_in_training(self):
    """The metric with the weights as they are whenever it is called."""
    metric = FeatureMetric(
        self.trunk.model, name=self.trunk.network, taps=self.trunk.model.output)
    return metric.with_tap_distances({
        tap: distances.linear(weights) for tap, weights in self.model.channel_weights.items()})

  def _learned(self):
    """What the metric is learned from, as plain data."""
    return {"mode": self.settings.mode, "taps": list(self.trunk.model.output),
            "trunk": self._trunk_as_data, "judged_set": self.train_set.name,
            "note": self.train_set.note, "triplets": self.train_set.size}

  def _as_data(self):
    """What is learned, from what and how, as plain data."""
    return {
        "network": {"name": self.trunk.network, **self.trunk.options},
        "learned": self._learned(),
        "score": {"judged_set": self.judged_set.name, "triplets": self.judged_set.size,
                  "subset": self.settings.score_subset},
        "further_sets": self._further_sets(),
        "learn": dataclasses.asdict(self.settings),
    }

  def _write_network(self):
    self.folder.write_network(self.trunk.network, self.trunk.options)
    self.folder.write_learned(self._learned())

  def _train_batches(self, context):
    return judged_batches.train_batches(self.train_set, **self._stream(context))


class _Nothing(orbit.AbstractEvaluator):
  """What there is to evaluate beside the score."""

  def evaluate(self, num_steps):
    del num_steps
    return {}
