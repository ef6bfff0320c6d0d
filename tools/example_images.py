"""Writes a photograph and two changed ones, on which people and L2 disagree, as PNG files.

  python tools/example_images.py FOLDER
"""

import pathlib
import sys

from perceptual.common import files
from perceptual.data.images import image_files
from perceptual.data.labelled import demo


def main(folder):
  """Writes `reference.png`, `shifted.png` and `blurred.png` into `folder`."""
  reference, candidates = demo.example_pair()
  for name, image in {"reference": reference, **candidates}.items():
    path = pathlib.Path(folder) / f"{name}.png"
    with files.beside(path) as beside:
      beside.write_bytes(image_files.encode_png(image))
    print(f"wrote {path}")


if __name__ == "__main__":
  main(*sys.argv[1:])
