"""Subsets of classes: at random, and the best and worst by a file of accuracies."""

import pytest

from perceptual.data.labelled.class_subsets import ClassSubset
from perceptual.errors import UserError

PRESENT = (0, 1, 2, 5, 8)


@pytest.fixture
def accuracies(tmp_path):
  path = tmp_path / "class_accuracy.csv"
  path.write_text("label,images,accuracy\n0,4,50.0\n1,4,75.0\n2,4,75.0\n5,4,0.0\n8,4,100.0\n")
  return str(path)


def test_the_best_and_the_worst_are_chosen_ties_by_label(accuracies):
  top = ClassSubset("top", 2, accuracies).labels(PRESENT)
  assert top == (1, 8)
  assert ClassSubset("bottom", 3, accuracies).labels(PRESENT) == (0, 1, 5)


def test_random_classes_depend_on_the_seed_and_fewer_are_a_part_of_more():
  small, large = (set(ClassSubset("random", n).labels(range(100))) for n in (10, 30))
  assert len(small) == 10
  assert small < large < set(range(100))
  assert small != set(ClassSubset("random", 10, seed=1).labels(range(100)))


def test_mistakes_are_one_line(accuracies, tmp_path):
  for options, culprit in (
      ({"choose": "best"}, "choice of classes 'best'. Available: random, top, bottom"),
      ({"count": 1}, "count must be a whole number of at least 2, not 1"),
      ({"choose": "top"}, "'top' needs class_subset.accuracies")):
    with pytest.raises(UserError, match=culprit):
      ClassSubset(**options)
  with pytest.raises(UserError, match="count is 6, but the data have 5 classes"):
    ClassSubset("random", 6).labels(PRESENT)
  with pytest.raises(UserError, match="the run that it belongs to must be trained to its end"):
    ClassSubset("top", 2, str(tmp_path / "nothing.csv")).labels(PRESENT)
  with pytest.raises(UserError, match="has no accuracy of class 9"):
    ClassSubset("top", 2, accuracies).labels((*PRESENT, 9))
  (tmp_path / "class_accuracy.csv").write_text("name\n1\n")
  with pytest.raises(UserError, match=r"is not a class_accuracy\.csv"):
    ClassSubset("top", 2, accuracies).labels(PRESENT)
