"""Classifiers of Keras as networks by name: from a user's file, and those of `keras.applications`.

Both go through `wrapping.wrap`. What they are is said by options, so that gin, a run directory
and a fingerprint can name them. Nothing is downloaded.
"""

import functools
import pathlib
import re
import sys
import warnings

import h5py
import keras

from perceptual import errors
from perceptual.common.files import expanded
from perceptual.models import layers, wrapping


def keras_file(*, path=None, taps=None, preprocessing=None, weights="file", num_classes=None,
               name="keras_file"):
  """Builds the network of a file that `keras.Model.save` wrote: any classifier.

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
                       num_classes=None, image_size=None, name="keras_applications"):
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
    image_size: the side of the images, in pixels, that the network is built for; None for any.
      NASNet, whose layers do not fit together otherwise, must have one, which then is the only one.
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
  built = _built(model, functools.partial(make, weights=None), weights, image_size)
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
  file = expanded(path)
  if not file.is_file():
    raise errors.UserError(f"{option}: there is no file {path} (from {pathlib.Path.cwd()}).")
  return file


def _applications():
  """Returns `{name: function}` of the networks that Keras has."""
  return {name: value for name, value in vars(keras.applications).items()
          if name[0].isupper() and callable(value)}


def _built(name, make, weights, image_size):
  """Returns a network: with its classifier if there is a file of weights that has one."""
  layers.require(image_size is None or (layers.is_integer(image_size) and image_size >= 1),
                 "image_size", image_size, must_be="an integer >= 1, or None")
  without = functools.partial(
      make, include_top=False, input_shape=(image_size, image_size, 3))
  if weights is None:
    return _made(name, without)
  if weights == "imagenet":
    raise errors.UserError(
        "weights must be a file: nothing is downloaded here. Where a download is wanted, call "
        f"keras.applications.{name}() once; its file then lies in ~/.keras/models.")
  file = _existing_file("weights", weights)
  whole = make if image_size is None else functools.partial(
      make, input_shape=(image_size, image_size, 3))
  # Keras leaves out what a file has too much, so the larger network must be tried first.
  for build in (whole, without):
    model = _made(name, build)
    try:
      with warnings.catch_warnings(action="ignore"):  # of layers that then raise
        model.load_weights(file)
      _check_that_none_is_left_over(file, model)
      return model
    except Exception as error:  # what the readers of either format raise is theirs, and many
      reason = errors.first_line(error)
  raise errors.UserError(f"{weights} does not hold weights of {name}: {reason}")


def _check_that_none_is_left_over(file, model):
  """Raises a `ValueError` if a `.weights.h5` holds more than the model has, which Keras ignores."""
  held = 0

  def count(path, item):
    nonlocal held
    held += isinstance(item, h5py.Dataset) and not path.startswith("optimizer/")

  with h5py.File(file) as content:
    if "layer_names" in content.attrs or "model_weights" in content:  # older, and Keras counts
      return
    content.visititems(count)
  if held != len(model.weights):
    raise ValueError(f"it holds {held} arrays, and the network has {len(model.weights)}.")


def _made(name, build):
  try:
    model = build()
  except ValueError as error:  # an image_size that is too small
    raise errors.UserError(f"{name} cannot be built: {errors.first_line(error)}") from None
  try:
    model(keras.KerasTensor((1, *(side or 512 for side in model.input.shape[1:3]), 3)))
  except ValueError:
    # NASNet asks the size of its maps as it is built, and is another network if that is unknown.
    raise errors.UserError(
        f"{name} must be built for one size of image: give image_size.") from None
  return model


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
