"""A data set that is prepared again: nothing to do if it would be the same, otherwise an error."""

from perceptual.data import tfds_files
from perceptual.errors import UserError

NOTHING_TO_DO = "Already complete, nothing to do: "
_REPLACE = "to replace it, overwrite (--overwrite)."


def made_with(directory):
  """Returns the metadata of a complete data set of triplets, which say what it was made with.

  Raises:
    UserError: there are none, so that another tool has made it.
  """
  try:
    found = tfds_files.metadata(directory)
    found["counts"]
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    raise by_another_tool(directory) from None
  return found


def by_another_tool(directory):
  """Returns the `UserError` for a data set without metadata that say what it was made with."""
  return UserError(f"{directory} already holds a data set, made by another tool: {_REPLACE}")


def require_made_alike(directory, asked, there):
  """Raises `UserError` if the data set that is there was made otherwise than is asked for now.

  Args:
    directory: where it lies.
    asked: what it would be made with now, `{option: value}`.
    there: what it was made with; an option that it does not have is not compared.
  """
  other = [f"{option} {there[option]}, not {value}" for option, value in asked.items()
           if option in there and there[option] != value]
  if other:
    raise UserError(
        f"{directory} already holds a data set, made with {'; '.join(other)}: {_REPLACE}")
