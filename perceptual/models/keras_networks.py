"""Classifiers of Keras as networks by name: from a user's file, and those of `keras.applications`.

Both go through `wrapping.wrap`. What they are is said by options, so that gin, a training folder
and a fingerprint can name them. Nothing is downloaded.
"""

import pathlib
import re
import sys
import warnings

import keras

from perceptual import errors
from perceptual.models import wrapping


def keras_file(*, path=None, taps=None, preprocessing=None, weights="file", num_classes=None,
               name="keras_file"):
  """Builds the network of a file that `keras.Model.save` wrote, a classifier of anybody's.

  The file is read whenever the network is built, to train, evaluate or export, so it must stay
  where it is; relative paths are from the working directory. Python code that a file may hold is
  not run: layers of one's own must be registered before, and Lambdas are refused. For such models
  call `wrapping.wrap` in Python.

  Args:
    path: the file, `.keras` or `.h5`.
    taps: the names of the layers to tap, as `wrapping.wrap` takes them.
    preprocessing: what the model expects of its images, as `wrapping.wrap` takes it; no function.
    weights: "file" for those in the file, None for fresh ones.
    num_classes: the number of logits. A classifier of another number of classes is replaced by a
      new one; see `wrapping.wrap`.
    name: the network's name.

  Returns:
    What `wrapping.wrap` returns.

  Raises:
    UserError: there is no such file, it cannot be read, or `wrapping.wrap` refuses it.
  """
  _require_given(name, path=path, preprocessing=preprocessing)
  if weights not in ("file", None):
    raise errors.unknown("kind of weights", weights, ["'file'", None])
  model = _loaded(path)
  if weights is None:
    model = keras.models.clone_model(model)
  return wrapping.wrap(
      model, taps, preprocessing=preprocessing, num_classes=num_classes, name=name)


def keras_applications(*, model=None, taps=None, preprocessing=None, weights=None,
                       num_classes=None, name="keras_applications"):
  """Builds a network of `keras.applications`.

  Layers that the network leaves Keras to number, as in InceptionV3, have the names of a process
  that builds nothing else: the first convolution is `conv2d`.

  Args:
    model: its name there, as "MobileNetV2".
    taps: the names of the layers to tap, as `wrapping.wrap` takes them.
    preprocessing: what it expects of its images, as `wrapping.wrap` takes it; None for what Keras's
      own `preprocess_input` of this network does.
    weights: a file of the network's weights, `.h5` or `.weights.h5`, with or without its classifier
      of 1000 classes; None for fresh ones. Nothing is downloaded here: a file that Keras once
      downloaded lies in ~/.keras/models.
    num_classes: the number of logits. A new dense layer gives them, unless the file has a
      classifier of so many classes.
    name: the network's name.

  Returns:
    What `wrapping.wrap` returns.

  Raises:
    UserError: there is no such network or file, the weights do not fit, or `wrapping.wrap` refuses
      it.
  """
  _require_given(name, model=model)
  available = _applications()
  if model not in tuple(available):
    raise errors.unknown("network of keras.applications", model, available)
  make = available[model]
  if preprocessing is None:
    preprocessing = sys.modules[make.__module__].preprocess_input
  built = _with_weights(model, make, weights)
  return wrapping.wrap(built, taps, preprocessing=preprocessing, num_classes=num_classes,
                       names=_as_in_a_fresh_process(built), name=name)


def _require_given(network, **options):
  for option, value in options.items():
    if value is None:
      raise errors.UserError(f"{network} needs the option {option}.")


def _loaded(path):
  file = _existing_file("path", path)
  try:
    return keras.models.load_model(file, compile=False)
  except Exception as error:  # what the readers of either format raise is theirs, and many
    raise errors.UserError(
        f"{path} cannot be read as a Keras model: {errors.first_line(error)}") from None


def _existing_file(option, path):
  file = pathlib.Path(path).expanduser()
  if not file.is_file():
    raise errors.UserError(f"{option}: there is no file {path} (from {pathlib.Path.cwd()}).")
  return file


def _applications():
  """Returns `{name: function}` of the networks that Keras has."""
  return {name: value for name, value in vars(keras.applications).items()
          if name[0].isupper() and callable(value)}


def _with_weights(name, make, weights):
  """Returns a network: with its classifier if the file of weights has one, else without."""
  if weights is None:
    return _without_classifier(make)
  if weights == "imagenet":
    raise errors.UserError(
        "weights must be a file: nothing is downloaded here. Where a download is wanted, call "
        f"keras.applications.{name}() once; its file then lies in ~/.keras/models.")
  file = _existing_file("weights", weights)
  # Keras leaves out what a file has too much, so the larger network must be tried first.
  for build in (lambda: make(weights=None), lambda: _without_classifier(make)):
    model = build()
    try:
      with warnings.catch_warnings(action="ignore"):  # of layers that then raise
        model.load_weights(file)
      return model
    except Exception as error:  # what the readers of either format raise is theirs, and many
      reason = errors.first_line(error)
  raise errors.UserError(f"{weights} does not hold weights of {name}: {reason}")


def _without_classifier(make):
  return make(include_top=False, weights=None, input_shape=(None, None, 3))


def _as_in_a_fresh_process(model):
  """Returns `{layer's name: name}`, without what Keras has counted before in this process."""
  numbered = {}
  for layer in model.layers:
    base, number = re.fullmatch(r"(.+?)(?:_(\d+))?", layer.name).groups()
    if base == _automatic_name(type(layer)):
      numbered.setdefault(base, {})[layer.name] = int(number or 0)
  names = {}
  for base, numbers in numbered.items():
    first = min(numbers.values())
    names |= {name: base if number == first else f"{base}_{number - first}"
              for name, number in numbers.items()}
  return names


def _automatic_name(kind):
  """The name that Keras gives to the first layer of a class: `conv2d` of Conv2D."""
  words = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", kind.__name__)
  return re.sub(r"([a-z])([A-Z])", r"\1_\2", words).lower()
