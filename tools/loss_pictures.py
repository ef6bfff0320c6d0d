"""Draws what networks trained with different losses make of one demo photograph.

  python -m tools.loss_pictures --study_dir=studies/super_resolution --data_dir=data \\
      [--output=docs/super_resolution.jpg] [--seed=0]

Of a study of super-resolution (gin/studies/loss_networks_super_resolution_small.gin): a part of the
photograph, what bicubic makes of it when it is shrunk to a quarter, and what each trained network
does; below each its PSNR and perceptual distance over the part. The photograph is in the public
domain; those of the test sets may not be shown.
"""

import argparse
import pathlib

import matplotlib.pyplot as plt
import numpy as np

import perceptual
from perceptual.data.labelled import demo
from perceptual.experiments import runs
from perceptual.tasks import evaluation
from perceptual.tasks.super_resolution import bicubic, protocols
from perceptual.training import model_dir

_PHOTOGRAPH, _PART = demo.PHOTOGRAPHS[0], (slice(0, 192), slice(140, 332))  # a face
_SCALE, _COLUMNS = 4, 4


def pictures(study_dir, data_dir, seed):
  """Returns {caption: `[height, width, 3]` uint8}: the target, bicubic, and each run's."""
  target = np.asarray(demo.load(_PHOTOGRAPH))[_PART]
  small = bicubic.resize(target, 1 / _SCALE)
  found = {"target": target, "bicubic": bicubic.resize(small, _SCALE)}
  suffix = f"-seed{seed}"
  for path in sorted((study_dir / "runs").glob(f"super_resolution-*{suffix}")):
    task = runs.trained_task(path, [], data_dir=data_dir)
    model, _ = evaluation.load(model_dir.ModelDir(path), task, "best_score")
    restored = np.clip(protocols.restored(model, small), 0, 1)
    loss = path.name.removeprefix("super_resolution-").removesuffix(suffix)
    found[loss] = np.floor(255 * restored + 0.5).astype(np.uint8)
  return found


def draw(found, path):
  """Writes the pictures in rows, what two metrics say of each below it."""
  target, *outputs = found
  metrics = {"PSNR {:.1f} dB": perceptual.load_metric("psnr"),
             "distance {:.2f}": perceptual.load_metric("perceptual")}
  rows = -(-len(found) // _COLUMNS)
  figure, axes = plt.subplots(rows, _COLUMNS, figsize=(2.2 * _COLUMNS, 2.75 * rows),
                              layout="constrained", squeeze=False)
  for axis in axes.flat[len(found):]:
    axis.remove()
  for axis, (caption, picture) in zip(axes.flat, found.items()):
    axis.imshow(picture)
    axis.set_title(caption, fontsize=10)
    axis.set(xticks=[], yticks=[])
    if caption in outputs:
      axis.set_xlabel("  ".join(
          text.format(float(metric(found[target][np.newaxis], picture[np.newaxis])[0]))
          for text, metric in metrics.items()), fontsize=9)
  figure.savefig(path, dpi=110, pil_kwargs={"quality": 88})


def main():
  """Draws the pictures of a study."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--study_dir", required=True, type=pathlib.Path)
  parser.add_argument("--data_dir", required=True)
  parser.add_argument("--output", default="docs/super_resolution.jpg", type=pathlib.Path)
  parser.add_argument("--seed", default=0, type=int)
  options = parser.parse_args()
  draw(pictures(options.study_dir, options.data_dir, options.seed), options.output)
  print(f"Wrote {options.output}.")


if __name__ == "__main__":
  main()
