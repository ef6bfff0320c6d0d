"""Draws the strip of pictures at the top of README: what pixels miss and features see.

  python tools/make_strip.py [--output=docs/strip.png]

A demo photograph, a copy shifted by two pixels and a blurred copy, each with its PSNR, SSIM and
perceptual distance to the photograph, as `perceptual.load_metric` gives them.
"""

import argparse
import pathlib

import matplotlib.pyplot as plt

import perceptual
from perceptual.data.labelled import demo

_METRICS = {"psnr": "PSNR {:.1f} dB", "ssim": "SSIM {:.2f}", "perceptual": "perceptual {:.2f}"}


def pictures():
  """Returns {caption: `[128, 128, 3]` uint8}, the reference first."""
  reference, changed = demo.example_pair()
  return {"reference": reference, "shifted by 2 pixels": changed["shifted"],
          "blurred": changed["blurred"]}


def draw(found, values, path):
  """Writes the strip: pictures in a row, what each metric says of them below."""
  figure, axes = plt.subplots(1, len(found), figsize=(7.2, 3.2), layout="constrained")
  for axis, (caption, picture) in zip(axes, found.items()):
    axis.imshow(picture, interpolation="nearest")
    axis.set_title(caption, fontsize=11)
    axis.set_xlabel("\n".join(values.get(caption, ["", "", ""])), fontsize=11)
    axis.set_xticks([])
    axis.set_yticks([])
  figure.savefig(path, dpi=120, pil_kwargs={"optimize": True})


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--output", default="docs/strip.png", type=pathlib.Path)
  path = parser.parse_args().output
  found = pictures()
  reference, *candidates = found
  values = {caption: [] for caption in candidates}
  for name, text in _METRICS.items():
    metric = perceptual.load_metric(name)
    for caption in candidates:
      distance = metric(found[reference][None], found[caption][None])
      values[caption].append(text.format(float(distance[0])))
      print(f"{caption}: {values[caption][-1]}")
  draw(found, values, path)
  print(f"Wrote {path}.")


if __name__ == "__main__":
  main()
