"""Some of the classes of a data set: at random, or those that a network recognises best or worst.

Kumar et al. train on 50 to 900 of ImageNet's 1000 classes, chosen at random or by the accuracy of
their ResNet-6 on each class. That accuracy is the result of a training run, which leaves it in its
folder as `class_accuracy.csv`.
"""

import csv
import dataclasses

import numpy as np

from perceptual import errors
from perceptual.common import files

CHOICES = ("random", "top", "bottom")


@dataclasses.dataclass(frozen=True)
class ClassSubset:
  """A choice of classes.

  Attributes:
    choose: one of `CHOICES`: at random, or those of the highest or lowest accuracy.
    count: how many classes.
    accuracies: for `top` and `bottom`, a CSV file with the columns `label` and `accuracy`.
    seed: of the random choice. With one seed, fewer classes are a part of more classes.
  """

  choose: str = "random"
  count: int = 50
  accuracies: str | None = None
  seed: int = 0

  def __post_init__(self):
    if self.choose not in CHOICES:
      raise errors.unknown("choice of classes", self.choose, CHOICES)
    errors.require_integer("count", self.count, at_least=2)
    errors.require_integer("seed", self.seed, at_least=0)
    if self.choose != "random" and not isinstance(self.accuracies, str):
      raise errors.UserError(f"class_subset.choose {self.choose!r} needs class_subset.accuracies, "
                             "the class_accuracy.csv of a run.")

  def labels(self, present):
    """Returns the chosen labels in rising order, a tuple.

    Args:
      present: the labels that there are.

    Raises:
      UserError: if there are too few, or the file of accuracies is missing or damaged, or lacks
        one.
    """
    self.require_enough(present)
    if self.choose == "random":
      order = np.random.default_rng(self.seed).permutation(sorted(present)).tolist()
    else:
      accuracy = self._accuracies(present)
      sign = -1 if self.choose == "top" else 1
      order = sorted(present, key=lambda label: (sign * accuracy[label], label))
    return tuple(sorted(order[:self.count]))

  def require_enough(self, present):
    """Raises `UserError` if `present`, the labels that there are, are too few."""
    if self.count > len(present):
      raise errors.UserError(f"class_subset.count is {self.count}, but the data have "
                             f"{len(present)} classes.")

  def _accuracies(self, present):
    """Label -> accuracy."""
    path = files.place(self.accuracies)
    try:
      accuracy = {int(row["label"]): float(row["accuracy"])
                  for row in csv.DictReader(files.csv_lines(path))}
    except FileNotFoundError:
      raise errors.UserError(f"There is no {path}: the run that it belongs to must be trained to "
                             "its end first.") from None
    except (OSError, KeyError, ValueError) as error:
      raise errors.UserError(f"{path} is not a class_accuracy.csv: {error!r}.") from None
    missing = sorted(set(present) - set(accuracy))
    if missing:
      raise errors.UserError(f"{path} has no accuracy of class {missing[0]}.")
    return accuracy
