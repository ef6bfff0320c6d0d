"""This package's side of the benchmark of networks, on Keras's TensorFlow or JAX backend.

TensorFlow is imported on its own backend alone, so that JAX's runs where there is none.
"""

import numpy as np

from tools.benchmarks import matmul

_NUM_CLASSES = 1000
_RATE, _MOMENTUM, _WEIGHT_DECAY = 1e-4, 0.9, 1e-4

# What is drawn at random in training costs little, and is not the same in PyTorch.
_OPTIONS = {"efficientnet_b0": {"dropout": 0.0, "survival_probability": 1.0}}


def tasks(name, batch, image_size, dtype):
  """Returns the tasks of a network on the backend that the environment names.

  Args:
    name: the network, as `perceptual.models` names it.
    batch: images in a call.
    image_size: their side.
    dtype: "float32", or "bfloat16" for mixed precision.

  Returns:
    `{name: function}`: "forward" and "train" to measure, products of matrices, "weights",
    "images" and "labels" for the other side, and "costs" and "logits".
  """
  import keras

  from perceptual import models
  from perceptual.models.preprocessing import IMAGENET

  keras.utils.set_random_seed(0)
  keras.config.set_dtype_policy("float32" if dtype == "float32" else f"mixed_{dtype}")
  model = models.build(
      name, num_classes=_NUM_CLASSES, image_size=image_size, **_OPTIONS.get(name, {}))
  _disturb(model)
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (batch, image_size, image_size, 3), np.uint8)
  labels = rng.integers(0, _NUM_CLASSES, batch)
  normalised = IMAGENET(pixels)
  backend = {"tensorflow": _tensorflow, "jax": _jax}[keras.backend.backend()]
  return {
      "weights": lambda: {v.path: keras.ops.convert_to_numpy(v) for v in model.weights},
      "images": lambda: keras.ops.convert_to_numpy(normalised),
      "labels": lambda: labels,
      "costs": lambda: _costs(model, image_size),
      **backend(model, pixels, normalised, labels, dtype)}


def _disturb(model):
  """Adds a little to every weight, since one that is 0 hides in the logits what comes before it."""
  rng = np.random.default_rng(0)
  for variable in model.weights:
    variable.assign_add(0.03 * rng.standard_normal(variable.shape))


def _costs(model, image_size):
  from perceptual.models import costs

  return {"parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
          "flops": costs.flops(model, image_size)}


def _optimizer():
  from perceptual.training import optimizers

  return optimizers.MomentumSgd(_RATE, momentum=_MOMENTUM, nesterov=True, name="sgd")


def _tensorflow(model, pixels, normalised, labels, dtype):
  """Tasks on TensorFlow: the step is that of `perceptual train`."""
  del dtype  # TensorFlow's CPU kernels are quick in float32 alone
  import tensorflow as tf

  from perceptual.models.preprocessing import IMAGENET
  from perceptual.training import classifier

  dataset = tf.data.Dataset.from_tensors(
      {"image": tf.constant(pixels), "label": tf.constant(labels)}).repeat()
  strategy = tf.distribute.get_strategy()
  trainer = classifier.ClassifierTrainer(
      model, _optimizer(), dataset, strategy=strategy, batch_size=len(pixels), preprocess=IMAGENET,
      weight_decay=_WEIGHT_DECAY)
  network = tf.function(lambda images: model(images, training=False)["logits"], autograph=False)
  one = tf.constant(1)
  return {
      "logits": lambda: network(normalised).numpy(),
      "forward": lambda: np.asarray(network(normalised)).dtype,
      "train": lambda: trainer.train(one)["loss"],
      **matmul.with_tensorflow()}


def _jax(model, pixels, normalised, labels, dtype):
  """Tasks on JAX: a step of the same work as that of `perceptual train`, compiled as one."""
  del pixels  # a step begins with normalised images, as PyTorch's does
  import jax
  import keras

  from perceptual.training import regularization

  optimizer = _optimizer()
  optimizer.build(model.trainable_variables)
  answers = jax.numpy.asarray(labels)

  def logits_of(trainable, fixed, images, training):
    """Returns the logits, and what batch normalisation makes of `fixed`."""
    outputs, fixed = model.stateless_call(trainable, fixed, images, training=training)
    return outputs["logits"], fixed

  def loss_of(trainable, fixed, images, answers):
    logits, fixed = logits_of(trainable, fixed, images, True)
    losses = keras.losses.sparse_categorical_crossentropy(answers, logits, from_logits=True)
    with keras.StatelessScope(list(zip(model.trainable_variables, trainable))):
      decay = _WEIGHT_DECAY * regularization.l2_loss(model.trainable_variables)
    return losses.mean() + decay, fixed

  def step(state, images, answers):
    trainable, fixed, slots = state
    (loss, fixed), gradients = jax.value_and_grad(loss_of, has_aux=True)(
        trainable, fixed, images, answers)
    trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
    return (trainable, fixed, slots), loss

  network = jax.jit(lambda trainable, fixed, images: logits_of(trainable, fixed, images, False)[0])
  compiled_step = jax.jit(step, donate_argnums=0)
  # Copies, since a step gives away what it is given, and the model keeps its own.
  state = tuple([jax.numpy.copy(v.value) for v in variables] for variables in (
      model.trainable_variables, model.non_trainable_variables, optimizer.variables))

  def train():
    nonlocal state
    state, loss = compiled_step(state, normalised, answers)
    return float(loss)

  def forward():
    return network(state[0], state[1], normalised)

  device = jax.default_backend()
  return {
      "logits": lambda: np.asarray(forward()),
      "forward": lambda: np.asarray(forward()).dtype,
      "train": train,
      **matmul.with_jax(device, dtype)}
