"""Whether a metric exists: as a name, a folder or a handle; nothing is loaded."""

import pathlib

from perceptual import errors
from perceptual.common import remote
from perceptual.common.files import resolved
from perceptual.errors import UserError
from perceptual.metrics import options, registry


def require(source):
  """Raises the `UserError` of `load_metric` for a metric or an option that does not exist.

  Nothing is loaded, so no backend is needed.

  Args:
    source: a name, which options may follow, a path or a handle.
  """
  if is_hub_handle(source) or exists(source):
    return
  name, texts = options.split(source)
  spec = registry.find(name)
  if spec is not None:
    options.read(name, texts, {**options.FOR_ALL, **spec.options})
  elif not exists(name):
    raise unknown(name)


def exists(source):
  """Whether a path, text or a path object, is there."""
  found = folder(source)
  return found is not None and found.exists()


def is_hub_handle(source):
  """Whether a source is a handle of TF Hub: an address, but not that of a folder."""
  scheme, found, _ = str(source).partition("://")
  return bool(found) and scheme not in remote.SCHEMES


def folder(source):
  """Returns the whole path of a folder, there or not; None for what cannot be a path."""
  if not str(source):
    return None
  try:
    whole = resolved(source)
    whole.exists()  # a name too long, or with a zero byte, raises here at the latest
  except (OSError, RuntimeError, ValueError):
    if remote.is_address(str(source)):  # which can be nothing else
      raise
    return None
  return whole


def unknown(source):
  """Returns the error for text that is neither the name of a metric nor a folder of one."""
  if "://" in source:
    return UserError(f"There is no folder {errors.shown(source)}.")
  path = pathlib.PurePath(source)
  if len(path.parts) > 1 or source.startswith("./"):
    parent = folder(path.parent)
    beside = [] if parent is None or not parent.is_dir() else [
        str(path.parent / other.name) for other in sorted(parent.iterdir()) if other.is_dir()]
    return UserError(f"There is no folder {errors.shown(source)}, and no metric of that name."
                     f"{errors.did_you_mean(source, beside)}")
  names = [name.strip() for name in source.split(",")]
  if len(names) > 1 and all(map(registry.find, names)):
    flags = " ".join(f"--metric={name}" for name in names)
    return UserError(f"{errors.shown(source)} names several metrics: name each by itself, as in "
                     f"{flags}.")
  suggestion = errors.did_you_mean(source, registry.names())
  return UserError(
      f"Unknown metric {errors.shown(source)}.{suggestion} `perceptual metrics` lists all that "
      "have a name; or give an export folder, a TF Hub handle or a run directory.")
