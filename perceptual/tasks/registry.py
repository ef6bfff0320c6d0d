"""The tasks: one row and one folder each. Nothing heavy is imported here.

To add one, write a folder whose `__init__` has a `make` that returns a `task.Task`, and give it a
row; its options are then what gin binds under its name.
"""

import dataclasses
import importlib
import inspect

from perceptual import errors


@dataclasses.dataclass(frozen=True)
class Spec:
  """What a task is, and how it is made.

  Attributes:
    summary: what it is, in one line.
    run_file: the gin file of a run of it.
    needs_images: whether it takes labelled images, gin's `images`, instead of folders of its own.
  """

  summary: str
  run_file: str
  needs_images: bool = False


TASKS = {
    "super_resolution": Spec(
        "photographs at four or eight times their size, from small blurred ones",
        "gin/runs/tasks/super_resolution_x4.gin"),
    "delineation": Spec(
        "roads in aerial photographs, as a mask", "gin/runs/tasks/delineation.gin"),
    "autoencoding": Spec(
        "images through 64 numbers and back; how well the numbers tell classes apart",
        "gin/runs/tasks/autoencoding.gin", needs_images=True),
}


GIVEN = ("data_dir", "images")  # arguments of a task that are not options of it


def maker(name):
  """Returns the function `make` of a task's folder.

  Raises:
    UserError: there is no such task.
  """
  if name not in tuple(TASKS):
    raise errors.unknown("task", name, TASKS)
  return importlib.import_module(f"{__package__}.{name}").make


def options(name):
  """Returns the options of a task, those that gin binds: name -> default."""
  parameters = inspect.signature(maker(name)).parameters
  return {key: value.default for key, value in parameters.items() if key not in GIVEN}
