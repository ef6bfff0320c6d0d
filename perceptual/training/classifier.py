"""One training step and one evaluation of a classifier, as orbit's trainer and evaluator.

Works around two more faults of Keras 3 under `tf.distribute` than `trainer`: batch normalisation
averages its moving statistics over replicas (`models.layers`), and gradients are clipped after they
are summed over replicas.
"""

import orbit
import tensorflow as tf

from perceptual.training import model_dir, regularization, trainer


class ClassifierTrainer(trainer.Trainer):
  """Trains a network, whose outputs hold `logits`, on labelled images.

  What is evaluated and kept is the network, or its average over steps.
  """

  def __init__(self, model, optimizer, dataset, *, strategy, batch_size, preprocess,
               label_smoothing=0.0, weight_decay=0.0, clip_norm=None, average=None,
               jit_compile=False):
    """Makes the trainer; call it inside the strategy's scope.

    Args:
      model: the network.
      optimizer: not yet built.
      dataset: distributed data set of `{'image', 'label'}`.
      strategy: `tf.distribute.Strategy`.
      batch_size: examples a step, over all replicas.
      preprocess: `preprocessing.Preprocessing`.
      label_smoothing: share of the label's probability that is spread over all classes.
      weight_decay: factor of `regularization.l2_loss`.
      clip_norm: largest global norm of the gradient; None for no limit.
      average: `averaging.WeightAverage` of the network; None for none.
      jit_compile: whether XLA compiles the step of a replica.
    """
    super().__init__(
        model, optimizer, model.trainable_variables, dataset=dataset, strategy=strategy,
        batch_size=batch_size, preprocess=preprocess, jit_compile=jit_compile)
    if average:
      self.evaluated_model = average.model
    self._label_smoothing = label_smoothing
    self._weight_decay = weight_decay
    self._clip_norm = clip_norm
    self._average = average

  def train_state(self):
    state = super().train_state()
    if self._average:
      state["averaged"] = model_dir.keyed_by_path(self.evaluated_model.weights)
    return state

  def _step_of_replica(self, batch):
    replicas = self._strategy.num_replicas_in_sync
    variables = self.model.trainable_variables
    with tf.GradientTape() as tape:
      logits = self.model(self._preprocess(batch["image"]), training=True)["logits"]
      losses = cross_entropy(batch["label"], logits, self._label_smoothing)
      decay = self._weight_decay * regularization.l2_loss(variables)
      # Summed over replicas, this is the mean over the global batch, with one L2 term.
      loss = tf.reduce_sum(losses) / self._batch_size + decay / replicas
    gradients = tape.gradient(loss, [v.value for v in variables])
    if self._clip_norm is not None:
      gradients = self._clipped(gradients)
    self.optimizer.apply(gradients, variables)
    if self._average:
      self._average.update(self.optimizer.iterations.value)
    self._sums.add(losses + decay, is_correct(batch["label"], logits))

  def _clipped(self, gradients):
    """Clips the sum over replicas; `optimizer.apply` will sum over replicas once more."""
    context = tf.distribute.get_replica_context()
    gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
    gradients, _ = tf.clip_by_global_norm(gradients, self._clip_norm)
    return [g / self._strategy.num_replicas_in_sync for g in gradients]


class ClassifierEvaluator(orbit.StandardEvaluator):
  """Validation loss and accuracy of a network, over padded batches.

  Attributes:
    replica_step: what one replica runs in a step, a `tf.function` of its batch.
  """

  def __init__(self, model, dataset, *, strategy, preprocess, jit_compile=False, progress=None):
    """Makes the evaluator; call it inside the strategy's scope.

    Args:
      model: the network.
      dataset: distributed data set of `{'image', 'label', 'index'}`; index -1 marks padding.
      strategy: `tf.distribute.Strategy`.
      preprocess: `preprocessing.Preprocessing`.
      jit_compile: whether XLA compiles the step of a replica.
      progress: called without arguments after each step; None for nothing.
    """
    super().__init__(dataset)
    self._model = model
    self._progress = progress
    self._strategy = strategy
    self._preprocess = preprocess
    self._sums = trainer.Sums({"validation_loss": 1, "validation_accuracy": 100})
    self._classes = ClassCounts(model.output["logits"].shape[-1])
    self.replica_step = tf.function(self._step_of_replica, jit_compile=jit_compile or None,
                                    autograph=False)

  def eval_begin(self):
    self._sums.reset()
    self._classes.reset()

  def eval_step(self, iterator):
    self._strategy.run(self.replica_step, args=(next(iterator),))

  def eval_reduce(self, state=None, step_outputs=None):
    """Called by orbit after each step; the sums are kept in variables."""
    if self._progress is not None:
      self._progress()

  def eval_end(self):
    return self._sums.means()

  def class_counts(self):
    """Returns right answers and images by class of the last evaluation: two `[classes]` arrays."""
    return self._classes.read()

  def _step_of_replica(self, batch):
    logits = self._model(self._preprocess(batch["image"]), training=False)["logits"]
    real = tf.cast(batch["index"] >= 0, tf.float32)
    losses = cross_entropy(batch["label"], logits)
    correct = is_correct(batch["label"], logits)
    self._sums.add(losses, correct, weights=real)
    self._classes.add(batch["label"], correct, real)


class ClassCounts:
  """Right answers and images by class, over steps and replicas."""

  def __init__(self, classes):
    self._variables = [
        tf.Variable(tf.zeros(classes), trainable=False, name=name,
                    synchronization=tf.VariableSynchronization.ON_READ,
                    aggregation=tf.VariableAggregation.SUM)
        for name in ("class_correct", "class_images")]

  def reset(self):
    for variable in self._variables:
      variable.assign(tf.zeros(variable.shape))

  def add(self, labels, correct, real):
    """Adds a replica's examples, each `[batch]`; `real` is 0 for padding."""
    one_hot = tf.one_hot(labels, self._variables[0].shape[0]) * real[:, tf.newaxis]
    for variable, values in zip(self._variables, (correct, tf.ones_like(correct))):
      variable.assign_add(tf.linalg.matvec(one_hot, values, transpose_a=True))

  def read(self):
    return tuple(variable.read_value().numpy() for variable in self._variables)


def is_correct(labels, logits):
  """Returns 1 where the highest logit is the label's, else 0: `[batch]` float32."""
  return tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)


def cross_entropy(labels, logits, label_smoothing=0.0):
  """Returns the loss of each example, `[batch]` float32.

  Args:
    labels: `[batch]` integers.
    logits: `[batch, classes]` float32.
    label_smoothing: share of the probability that is spread over all classes.
  """
  classes = logits.shape[-1]
  target = tf.one_hot(labels, classes) * (1 - label_smoothing) + label_smoothing / classes
  return tf.nn.softmax_cross_entropy_with_logits(labels=target, logits=logits)
