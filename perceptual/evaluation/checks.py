"""What scores take: arrays of numbers and whole numbers, checked strictly.

Nothing is guessed: strings, dates, masked arrays and NaN each raise a `UserError` that names the
first culprit, since NumPy would turn most of them into numbers.
"""

import operator

import numpy as np

from perceptual import errors

# Correlations and intervals over fewer examples, or pairs of them, say nothing.
MIN_EXAMPLES = 10


def numbers(name, values):
  """Returns float64 of any shape; `UserError` unless real numbers, at least one."""
  if isinstance(values, np.ma.MaskedArray):
    raise errors.UserError(
        f"{name} is a masked array, whose masked values would count: give those that are valid, "
        "as values.compressed().")
  try:
    array = np.asarray(values)
  except (TypeError, ValueError) as error:
    raise errors.UserError(f"{name} must be an array of numbers: {error}.") from None
  if not array.size:
    raise errors.UserError(f"{name} is empty.")
  if array.dtype.kind not in "biuf" and array.dtype.name != "bfloat16":
    raise errors.UserError(f"{name} must be an array of numbers. Received {array.dtype}: "
                           f"{array.reshape(-1)[0]!r}.")
  return array.astype("float64")


def vector(name, values):
  """Returns float64 of one axis; further axes of length one are dropped."""
  array = numbers(name, values)
  if array.size != max(array.shape, default=1):
    raise errors.UserError(f"{name} must have one axis. Received shape: {array.shape}.")
  return array.reshape(-1)


def columns(name, values):
  """Returns float64 of one axis, or of two."""
  array = numbers(name, values)
  return array if array.ndim == 2 else vector(name, array)


def finite(name, values):
  """Returns a float64 vector without NaN or infinity."""
  array = vector(name, values)
  check_finite(name, array)
  return array


def varying(name, values):
  """Returns a finite float64 vector that is not constant, of which a correlation is defined."""
  array = finite(name, values)
  if array.min() == array.max():
    raise errors.UserError(f"Every {name} is {array[0]:g}: its correlation is undefined.")
  return array


def fractions(name, values):
  """Returns a float64 vector of values in [0, 1]."""
  array = vector(name, values)
  check_fractions(name, array)
  return array


def votes(name, values):
  """Returns a float64 vector of whole numbers of at least 1; None stays None."""
  if values is None:
    return None
  array = vector(name, values)
  check_each(name, array, (array >= 1) & (array == np.floor(array)) & np.isfinite(array),
             "whole numbers of at least 1")
  return array


def clusters(references):
  """Returns which reference each example has, `[examples]` int64 from 0, and their number.

  Args:
    references: `[examples]` names or numbers of references, strings or integers.

  Raises:
    UserError: unless it is one axis of strings or integers.
  """
  array = np.asarray(references)
  if array.ndim != 1 or not array.size or array.dtype.kind not in "iuUS":
    raise errors.UserError("references must be one axis of names or whole numbers. Received "
                           f"{array.dtype} {list(array.shape)}.")
  names, index = np.unique(array, return_inverse=True)
  return index, len(names)


def check_finite(name, array):
  """Raises a `UserError` unless every value is finite."""
  check_each(name, array, np.isfinite(array), "finite")


def check_fractions(name, array):
  """Raises a `UserError` unless every value is in [0, 1]."""
  check_each(name, array, (array >= 0) & (array <= 1), "in [0, 1]")


def check_each(name, array, legal, range_name):
  """Raises a `UserError` that names the first value that is not legal."""
  if not legal.all():
    index = tuple(np.argwhere(~legal)[0].tolist())
    raise errors.UserError(
        f"{name} must be {range_name}. Received {array[index]} at {list(index)}.")


def check_same_length(by_name):
  """Raises a `UserError` unless arrays, `{name: array}`, have the same length; None is passed."""
  lengths = {name: len(array) for name, array in by_name.items() if array is not None}
  if len(set(lengths.values())) > 1:
    listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
    raise errors.UserError(f"Arrays differ in length: {listed}.")


def check_enough(name, count):
  """Raises a `UserError` where there are fewer than `MIN_EXAMPLES`."""
  if count < MIN_EXAMPLES:
    raise errors.UserError(f"{name} needs at least {MIN_EXAMPLES} examples. Received: {count}.")


def check_resampling(*, resamples, seed, confidence):
  """Raises a `UserError` unless these are legal for a bootstrap."""
  _check_whole("resamples", resamples, at_least=1)
  _check_whole("seed", seed, at_least=0)
  errors.require_number("confidence", confidence, above=0, below=1)


def _check_whole(name, value, *, at_least):
  try:
    # An index: NumPy's integers are among them, bools and 1.0 are not.
    legal = not isinstance(value, bool | np.bool_) and operator.index(value) >= at_least
  except TypeError:
    legal = False
  if not legal:
    raise errors.UserError(
        f"{name} must be a whole number of at least {at_least}. Received: {value!r}.")
