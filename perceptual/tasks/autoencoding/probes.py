"""Seven small classifiers of the codes: how well they tell classes apart.

Each is trained on the codes of a frozen encoder, by the mean squared error to the one-hot class, as
in the study. Whether its paper reports their mean or their best is unknown: both are given.
"""

import keras
import numpy as np

from perceptual.tasks.autoencoding import network

# Name -> units of the hidden layers.
PROBES = {"linear": (), "32": (32,), "64": (64,), "32-32": (32, 32), "64-32": (64, 32),
          "64-64": (64, 64), "128-128": (128, 128)}
_SLOPE = 0.01  # of the leaky ReLU
_LEARNING_RATE = 1e-3
_BATCH = 256
_PATIENCE = 25
_VALIDATED = 0.2  # share of the training codes that stops training


def correct(codes, labels, classes, *, seed=0, epochs=500, progress=print):
  """Returns which test codes each probe classifies rightly: `{probe: [n] bool}`.

  Args:
    codes: `{"train" and "test": [n, code] float32}`.
    labels: `{"train" and "test": [n] integers}`.
    classes: number of classes.
    seed: of the weights, the order, and which training codes are held out for validation.
    epochs: at most so many passes; training ends after 25 without a lower validation loss.
    progress: called with a line of text as the training of a probe begins.
  """
  order = np.random.default_rng(seed).permutation(len(labels["train"]))
  held_out = order[:max(1, int(_VALIDATED * len(order)))]
  trained = order[len(held_out):]
  one_hot = np.eye(classes, dtype=np.float32)[labels["train"]]
  found = {}
  for number, (name, hidden) in enumerate(PROBES.items(), start=1):
    progress(f"training probe {number} of {len(PROBES)}: {name}")
    keras.utils.set_random_seed(seed)
    probe = _probe(codes["train"].shape[1], hidden, classes)
    probe.fit(
        codes["train"][trained], one_hot[trained], batch_size=_BATCH, epochs=epochs, verbose=0,
        validation_data=(codes["train"][held_out], one_hot[held_out]),
        callbacks=[keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=_PATIENCE, restore_best_weights=True)])
    answers = np.argmax(probe.predict(codes["test"], batch_size=1024, verbose=0), axis=1)
    found[name] = answers == labels["test"]
  return found


def _probe(length, hidden, classes):
  probe = keras.Sequential([keras.Input((length,))])
  for units in hidden:
    probe.add(keras.layers.Dense(units, kernel_initializer=network.kernel()))
    probe.add(keras.layers.LeakyReLU(_SLOPE))
  probe.add(keras.layers.Dense(classes, kernel_initializer=network.kernel()))
  probe.compile(keras.optimizers.Adam(_LEARNING_RATE), loss="mse")
  return probe
