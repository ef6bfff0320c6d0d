"""Whether a network takes the images that a run will give it, found out before any work."""

import keras

from perceptual import errors
from perceptual.errors import UserError


def of_judged_sets(judged_sets):
  """Returns the shapes of judged sets' images, `{name: (height, width, 3)}`."""
  return {judged_set.name: tuple(judged_set.subsets[0].images.element_spec["reference"].shape)
          for judged_set in judged_sets}


def require_taken(model, name, given):
  """Raises `UserError` unless a network takes images as large as those it will be given.

  Args:
    model: the Keras model.
    name: its name for people.
    given: name of a source of images -> their shape, `(height, width, 3)`.
  """
  for source, shape in given.items():
    try:
      model(keras.KerasTensor((1, *shape)))
    except ValueError as error:
      raise UserError(f"{name} does not take the images of {source}, {shape[1]}x{shape[0]} pixels: "
                      f"{errors.first_line(error)}") from None
