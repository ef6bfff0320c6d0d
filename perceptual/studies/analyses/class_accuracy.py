"""Accuracy class by class: by it, subsets of easy and of hard classes are chosen."""

import numpy as np
from scipy import stats

from perceptual import errors


def class_accuracy(predicted, labels, num_classes, *, confidence=0.95):
  """Returns the accuracy of each class.

  Intervals are Wilson's (1927), since a bootstrap of a class that is always right has no width.

  Args:
    predicted: `[images]` integers, predicted labels.
    labels: `[images]` integers from 0 to `num_classes - 1`.
    num_classes: how many classes there are.
    confidence: the probability that an interval holds the true accuracy.

  Returns:
    Rows by descending accuracy, then by label: rank (from 1), label, images, accuracy (percent; of
    a class without images None, and last), low, high.

  Raises:
    UserError: if arrays differ in length, or a label is not a class.
  """
  predicted, labels = np.asarray(predicted), np.asarray(labels)
  if predicted.shape != labels.shape or labels.ndim != 1:
    raise errors.UserError(f"predicted and labels must be of one length. Received shapes: "
                           f"{list(predicted.shape)} and {list(labels.shape)}.")
  illegal = labels[(labels < 0) | (labels >= num_classes)]
  if illegal.size:
    raise errors.UserError(f"labels must be from 0 to {num_classes - 1}. Received: {illegal[0]}.")
  images = np.bincount(labels, minlength=num_classes)
  correct = np.bincount(labels[predicted == labels], minlength=num_classes)
  rows = []
  for label in range(num_classes):
    row = {"label": label, "images": int(images[label]), "accuracy": None, "low": None,
           "high": None}
    if images[label]:
      found = stats.binomtest(int(correct[label]), int(images[label]))
      bounds = found.proportion_ci(confidence, method="wilson")
      row |= {"accuracy": 100 * float(correct[label] / images[label]),
              "low": 100 * float(bounds.low), "high": 100 * float(bounds.high)}
    rows.append(row)
  rows.sort(key=lambda row: -1.0 if row["accuracy"] is None else row["accuracy"], reverse=True)
  return [{"rank": rank, **row} for rank, row in enumerate(rows, 1)]
