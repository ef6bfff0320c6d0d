"""Each loss beside that of pixels on the same images: differences, with intervals over images.

Means over test sets vary with the images in them, and few seeds say little of the spread between
trainings. The difference between two losses on the same image varies less: it is averaged over
seeds, and its interval is the bootstrap over images. It does not tell what other seeds would give.
"""

import numpy as np

from perceptual.studies import definition
from perceptual.studies.losses import table
from perceptual.tasks import evaluation, results


def differences(study, folder, runs):
  """Returns a row for each loss and measure: its mean difference to the loss of pixels.

  Args:
    study: `definition.Study`.
    folder: its `study_dir.StudyDir`.
    runs: those of its runs that have finished and are of kind `task`.

  Returns:
    Rows of task, protocol, measure, loss, number of images, difference, low and high; none without
    a loss of pixels. Images in which a measure is not defined for both are left out.

  Raises:
    UserError: the measures of a run are missing or damaged.
  """
  values = {}
  for run in runs:
    path = folder.model_dir(run).path / evaluation.FOLDER / results.ITEMS_FILE
    task = table.task_label(folder.model_dir(run).read_task()["name"], {
        binding: run.values[binding] for binding in study.columns})
    loss = " ".join([run.network, *(run.values.get(table.TAPS) or ())])
    for row in _rows(path):
      key = task, row["protocol"], row["measure"], loss
      values.setdefault(key, {}).setdefault((row["test"], row["item"]), []).append(
          float(row["value"] or "nan"))
  means = {key: {item: np.mean(of_seeds) for item, of_seeds in items.items()}
           for key, items in values.items()}
  return [_row(key, items, means[(*key[:3], definition.PIXELS)]) for key, items in means.items()
          if key[3] != definition.PIXELS and (*key[:3], definition.PIXELS) in means]


def _row(key, items, of_pixels):
  task, protocol, measure, loss = key
  both = [items[item] - of_pixels[item] for item in items if item in of_pixels]
  mean, low, high = results.mean_and_interval(both)
  return {"task": task, "protocol": protocol, "measure": measure, "loss": loss,
          "images": int(np.sum(~np.isnan(both))), "difference": mean, "low": low, "high": high}


def _rows(path):
  """Returns the lines of the network in a run's `measures.csv`, as dictionaries."""
  rows = results.read(path, results.ITEM_COLUMNS,
                      again="perceptual task evaluate of that run writes it anew.")
  return [row for row in rows if row["method"] == "network"]
