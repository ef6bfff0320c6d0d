"""Faults of the machine: a full or read-only disk, an address that cannot be reached, and so on."""

import errno
import os
import re

from perceptual import errors
from perceptual.common import remote

_NUMBERS = tuple(getattr(errno, name) for name in (
    "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EACCES", "EPERM", "EIO", "EMFILE", "ENFILE", "ESTALE"))

# What TensorFlow says where it fails to read or write an address.
_REMOTE = re.compile(rf"\b(?:{'|'.join(remote.SCHEMES)})://|executing an HTTP request")

_UNTOUCHED = "What was complete before is untouched; the same command goes on from there."


def explained(error):
  """Returns the `UserError` of an exception by which Python or TensorFlow tell such a fault.

  Args:
    error: an exception.

  Returns:
    None of any other exception.
  """
  if isinstance(error, OSError) and error.errno in _NUMBERS:
    where = f"{error.filename}: " if error.filename else ""
    return errors.UserError(f"{where}{errors.reason(error)}. {_UNTOUCHED}")
  if type(error).__module__.startswith("tensorflow."):
    reasons = "|".join(re.escape(os.strerror(number)) for number in _NUMBERS)
    # TensorFlow names the file before the reason, Python within TensorFlow after it.
    match = re.search(rf"(?:(/[^;\n]*); )?({reasons})(?:: '([^'\n]*)')?",
                      errors.without_device(str(error)))
    if match:
      path = match[1] or match[3]
      where = f"{path}: " if path else ""
      return errors.UserError(f"{where}{match[2]}. {_UNTOUCHED}")
    if _REMOTE.search(str(error)):
      return errors.UserError(f"{errors.first_line(error).rstrip('.')}. {_UNTOUCHED}")
  return None
