"""Named feature taps: where a network gives its features to a perceptual metric.

One line gives any Keras functional model a tap:

  x = Tap(stride=4, name="reduction_1")(x)

`list_taps` lists what can be tapped, `select_taps` makes the model that computes it.
"""

import dataclasses

import keras

from perceptual import errors
from perceptual.models import layers


@keras.saving.register_keras_serializable("perceptual")
class Tap(keras.layers.Identity):
  """A layer that returns its input as it is, and whose name is the name of a feature.

  Args:
    stride: pixels of the image per position of the map, an integer >= 1; None for features that
      have no positions, as a class token.
    name: the tap's name, unique in its model. No default: a tap is asked for by its name.
    **options: as `keras.layers.Layer` has them.

  Raises:
    UserError: an illegal stride.
  """

  def __init__(self, *, stride, name, **options):
    layers.require(
        stride is None or (layers.is_integer(stride) and stride >= 1),
        f"stride of tap {name!r}", stride, must_be="an integer >= 1, or None")
    # Without autocast a tap cannot change what it reports, whatever the dtype policy.
    super().__init__(name=name, autocast=False, **options)
    self.stride = stride

  def get_config(self):
    return {**super().get_config(), "stride": self.stride}


@dataclasses.dataclass(frozen=True)
class TapInfo:
  """What a tap gives: features `[batch, rows, columns, channels]`.

  Rows are about height / stride and columns width / stride; how they are rounded is the network's
  padding. A tap whose stride is None gives `[batch, channels]`.
  """

  name: str
  channels: int
  stride: int | None


def list_taps(model):
  """Returns the `TapInfo` of every tap of a functional `keras.Model`, in network order: a tuple."""
  return tuple(
      TapInfo(name=tap.name, channels=tap.output.shape[-1], stride=tap.stride)
      for tap in _tap_layers(model))


def select_taps(model, names=None):
  """Returns the part of a network that computes some of its taps.

  Args:
    model: a functional `keras.Model` with `Tap` layers.
    names: the taps wanted, an iterable of names in any order; None for all taps.

  Returns:
    A functional `keras.Model` from the image to a dict of tap name to features, in network order.
    It shares the layers and weights of `model`, and has none of those past the last tap selected.

  Raises:
    UserError: an unknown tap, one named twice, none at all, or a network without taps.
  """
  available = {tap.name: tap for tap in _tap_layers(model)}
  if not available:
    raise errors.UserError(f"{model.name} has no taps: it needs perceptual.models.taps.Tap layers.")
  wanted = tuple(available) if names is None else _checked(names, available)
  outputs = {name: tap.output for name, tap in available.items() if name in wanted}
  return keras.Model(model.input, outputs, name=f"{model.name}_taps")


def _tap_layers(model):
  """Returns the `Tap` layers of a model, each after all taps that it depends on."""
  taps = [layer for layer in model.layers if isinstance(layer, Tap)]
  # Keras orders layers by their distance from the output, so taps that nothing further reads come
  # sorted by name. What a tap depends on, counted, orders those too; equals keep Keras's order.
  return sorted(taps, key=lambda tap: len(keras.Function(model.inputs, tap.output).operations))


def _checked(names, available):
  if isinstance(names, str):
    raise errors.UserError(f"taps must be a list of names. Received: {names!r}.")
  names = tuple(names)
  for name in names:
    if name not in available:
      raise errors.unknown("tap", name, available)
    if names.count(name) > 1:
      raise errors.UserError(f"Tap {name!r} is selected twice. Selected: {', '.join(names)}.")
  if not names:
    raise errors.UserError(f"No tap is selected. Available: {', '.join(available)}.")
  return names
