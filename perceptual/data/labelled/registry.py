"""The labelled data sets: one row and one module each. Nothing heavy is imported here.

To add one, write a module with functions `labelled_images`, which returns
`classification.LabelledImages`, `outline`, which returns their sizes alone and has the same
options, and, if it is prepared from files, `prepare`; then add its row to `SOURCES`. Their keyword
arguments are what gin files and `perceptual prepare` offer.
"""

import dataclasses
import importlib
import inspect

from perceptual import errors


@dataclasses.dataclass(frozen=True)
class Source:
  """A labelled data set.

  Attributes:
    module: its module beside this one.
    prepared_by: the arguments of `perceptual prepare` that write it, without --data_dir; None for a
      data set that needs no preparation.
    summary: what it is, in a few words.
  """

  module: str
  prepared_by: str | None
  summary: str

  def function(self, name):
    """Returns a function of the module: `labelled_images`, `outline` or `prepare`."""
    return getattr(importlib.import_module(f"{__package__}.{self.module}"), name)


SOURCES = {
    "imagenet64": Source(
        "imagenet64", "imagenet64 --source=DIR_OR_TAR", "ImageNet at 64x64"),
    "own": Source(
        "own_images", "images --source=DIR_OR_TAR --name={name}", "one's own images by class"),
    "tfds": Source("tfds_images", None, "any labelled data set that TFDS has prepared"),
    "demo": Source(
        "demo", None, "crops of the photographs that ship with scikit-image and scikit-learn"),
}


def prepared_by(source, name="NAME"):
  """Returns the arguments of `perceptual prepare` that write a data set, without --data_dir.

  Args:
    source: one of `SOURCES` that is prepared.
    name: of one's own images, what they are called.
  """
  return SOURCES[source].prepared_by.format(name=name)


def preparers():
  """Returns what `perceptual prepare` calls the data sets that it can write -> their `Source`."""
  return {source.prepared_by.partition(" ")[0]: source
          for source in SOURCES.values() if source.prepared_by}


def options(source):
  """Returns the options of a data set: name -> default, or `inspect.Parameter.empty`."""
  parameters = inspect.signature(SOURCES[source].function("labelled_images")).parameters
  return {name: parameter.default for name, parameter in parameters.items() if name != "data_dir"}


def load(source, data_dir=None, **given):
  """Returns the `classification.LabelledImages` of a data set.

  Args:
    source: one of `SOURCES`.
    data_dir: the TFDS folder; not needed for one that is not prepared.
    **given: its `options`.

  Raises:
    UserError: an unknown data set or option, an option that is missing, or data that are not there.
  """
  return _call("labelled_images", source, data_dir, given)


def outline(source, data_dir=None, **given):
  """Returns the `classification.LabelledImages` of a data set without its images, for plans.

  Args:
    source: as for `load`.
    data_dir: as for `load`; not needed either for a published data set, whose numbers are known.
    **given: as for `load`.

  Raises:
    UserError: as `load`.
  """
  return _call("outline", source, data_dir, given)


def _call(name, source, data_dir, given):
  """Calls a function of a data set's module, with the folder if it takes one."""
  if source not in tuple(SOURCES):  # a list cannot be looked up in a dict
    raise errors.unknown("image source", source, SOURCES)
  known = options(source)
  errors.require_options(f"the image source {source}", given, known)
  for option, default in known.items():
    if default is inspect.Parameter.empty and option not in given:
      raise errors.UserError(f"images.{option} is not given: the image source {source!r} needs it.")
  function = SOURCES[source].function(name)
  folder = inspect.signature(function).parameters.get("data_dir")
  if folder is None:
    return function(**given)
  if data_dir is None and folder.default is inspect.Parameter.empty:
    arguments = prepared_by(source, given.get("name", "NAME"))
    raise errors.UserError(f"The image source {source!r} needs --data_dir, the folder in which it "
                           f"was prepared with: perceptual prepare {arguments} --data_dir=DATA_DIR")
  return function(data_dir, **given)
