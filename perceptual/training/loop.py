"""The training run of a classifier: batches, steps, evaluations and three kept checkpoints.

Kumar et al. find that the best perceptual score comes long before the best accuracy, so the score
is evaluated during training and the weights at its peak are kept, beside the most accurate and the
last.
"""

import dataclasses

import keras

from perceptual import models
from perceptual.common import files
from perceptual.data.labelled import classification
from perceptual.errors import UserError
from perceptual.evaluation import judged_pass
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import taps
from perceptual.models.preprocessing import IMAGENET
from perceptual.training import averaging, classifier, input_shapes, judged_loop, records
from perceptual.training.settings import PRECISIONS
from perceptual.training.settings import Settings as Settings  # given to `Run`, so at hand here


class Run(judged_loop.JudgedLoop):
  """A training run in its folder: started, or resumed.

  Attributes, besides those of `judged_loop.JudgedLoop`:
    images: `classification.LabelledImages`.
    network: (name, options) of the network, every option of it.
    model: the Keras model in training.
  """

  def __init__(self, path, *, network, images, judged_set, settings, further_sets=(),
               strategy=None, jit_compile=False):
    """Builds everything and restores the last checkpoint, if there is one; writes nothing.

    Args:
      path: the run directory.
      network: (name, options) for `models.build`; `num_classes` is that of the images.
      images: `classification.LabelledImages`.
      judged_set: `judged.JudgedSet` of kind `2afc`, scored at every evaluation.
      settings: `Settings`.
      further_sets: further ones; `settings.best_by` says which of all keeps the best weights.
      strategy: `tf.distribute.Strategy`; None for the current one.
      jit_compile: whether XLA compiles steps.

    Raises:
      UserError: if the parts do not fit each other, or the folder holds another run.
    """
    super().__init__(
        path, judged_set=judged_set, further_sets=further_sets, settings=settings,
        steps=settings.steps(images), steps_per_epoch=settings.steps_per_epoch(images),
        strategy=strategy)
    self.images = images
    self._check()
    name, options = network
    self.network = (name, {**models.network_options(name), **options,
                           "num_classes": images.num_classes})
    keras.utils.set_random_seed(settings.seed)
    with self._strategy.scope():
      self.model = _built(self.network, settings.precision)
      input_shapes.require_taken(self.model, name, {
          images.name: (images.image_size, images.image_size, 3),
          **input_shapes.of_judged_sets(self.judged_sets)})
      self._trainer = self._make_trainer(jit_compile)
      self._evaluator = classifier.ClassifierEvaluator(
          self._trainer.evaluated_model, self._distributed(self._validation_batches),
          strategy=self._strategy,
          preprocess=IMAGENET, jit_compile=jit_compile,
          progress=lambda: self._progress.evaluated(settings.eval_batch_size))
    self._judged_pass = judged_pass.JudgedPass(
        FeatureMetric(self._trainer.evaluated_model, name=name),
        distances=settings.score_distances, batch_size=settings.eval_batch_size,
        strategy=self._strategy, jit_compile=jit_compile)
    self._resume()

  def description(self):
    """Returns what the run is, as text for people."""
    images = self.images
    lines = [
        f"network   {self.network[0]} {_options_text(self.network)}: "
        f"{self.model.count_params():,} parameters, taps "
        f"{', '.join(tap.name for tap in taps.list_taps(self.model))}",
        f"images    {images.name}: {images.sizes['train']} to train, "
        f"{images.sizes['validation']} to validate, {images.num_classes} classes",
        f"          {images.note}" if images.note else "",
        *self._common_description()]
    return "\n".join(filter(None, lines))

  def summary(self):
    """Returns where the results are and what the best were, as text for people."""
    score = self._score_column
    best_score = records.peak(self._metrics.rows, score)
    best_accuracy = records.peak(self._metrics.rows, "validation_accuracy")
    if best_score is None:
      return f"No evaluation is recorded in {self.folder.metrics}."
    return (f"Best score: {self.settings.score_by} {best_score[score]:.1f} on {self._score_name} "
            f"at step {best_score['step']}, with {best_score['validation_accuracy']:.1f}% "
            f"accuracy.\nBest accuracy: {best_accuracy['validation_accuracy']:.1f}% at step "
            f"{best_accuracy['step']}, with {self.settings.score_by} "
            f"{best_accuracy[score]:.1f}.\nCurves: {self.folder.plot}  {self.folder.metrics}")

  def replica_steps(self):
    evaluator = self._evaluator
    return {**super().replica_steps(),
            "evaluate": (evaluator.replica_step, evaluator.eval_dataset.element_spec)}

  @property
  def _best_columns(self):
    return {**super()._best_columns, "best_accuracy": "validation_accuracy"}

  @property
  def _title(self):
    return f"{self.network[0]} on {self.images.name}, scored on {self._score_name}"

  @property
  def _evaluation_size(self):
    return self.images.sizes["validation"] + super()._evaluation_size

  def _after_evaluation(self, means):
    super()._after_evaluation(means)
    if self._step == self.steps:
      counts = self._evaluator.class_counts()  # by all workers together
      if self._is_chief:
        self._write_class_accuracy(*counts)

  def _write_class_accuracy(self, correct, count):
    """Writes the validation accuracy of every class, by its label in the source."""
    labels = self.images.classes or range(len(count))
    files.write_csv(self.folder.class_accuracy, ["label", "images", "accuracy"], [
        [label, int(of), f"{100 * right / of:.4f}"]
        for label, right, of in zip(labels, correct, count) if of])

  def _check(self):
    """Raises `UserError` unless the parts fit each other."""
    super()._check()
    if not self.images.sizes["train"] or not self.images.sizes["validation"]:
      raise UserError(f"{self.images.name} needs training and validation images; it has "
                      f"{self.images.sizes}.")

  def _make_trainer(self, jit_compile):
    settings = self.settings
    average = settings.ema_decay and averaging.WeightAverage(
        self.model, _built(self.network, settings.precision), settings.ema_decay)
    return classifier.ClassifierTrainer(
        self.model,
        settings.optimizer.keras(settings.batch_size, self.steps_per_epoch, self.steps),
        dataset=None, strategy=self._strategy, batch_size=settings.batch_size,
        preprocess=IMAGENET, label_smoothing=settings.label_smoothing,
        weight_decay=settings.weight_decay, clip_norm=settings.clip_norm, average=average,
        jit_compile=jit_compile)

  def _as_data(self):
    """What is trained, on what and how, as plain data."""
    name, options = self.network
    return {
        "network": {"name": name, **options},
        "images": {"name": self.images.name, "classes": self.images.classes, **self.images.sizes},
        "score": {"judged_set": self.judged_set.name, "triplets": self.judged_set.size,
                  "distance": self.settings.score_by, "subset": self.settings.score_subset},
        "further_sets": self._further_sets(),
        "train": dataclasses.asdict(self.settings),
    }

  def _write_network(self):
    self.folder.write_network(*self.network)

  def _train_batches(self, context):
    return classification.train_batches(
        self.images, augmentation=self.settings.augmentation, **self._stream(context))

  def _validation_batches(self, context):
    return classification.validation_batches(
        self.images, batch_size=context.get_per_replica_batch_size(self.settings.eval_batch_size),
        augmentation=self.settings.augmentation,
        shard=(context.input_pipeline_id, context.num_input_pipelines),
        replicas=context.num_replicas_in_sync // context.num_input_pipelines)


def _built(network, precision):
  """Builds a network under a dtype policy, which is put back afterwards."""
  before = keras.config.dtype_policy()
  keras.config.set_dtype_policy(PRECISIONS[precision])
  try:
    return models.build(network[0], **network[1])
  finally:
    keras.config.set_dtype_policy(before)


def _options_text(network):
  """The options that are not the network's defaults."""
  defaults = models.network_options(network[0])
  return " ".join(f"{name}={value}" for name, value in network[1].items()
                  if value != defaults[name])
