"""Writes the ONNX files that come with the package, of the built-in and the classical metrics.

  python tools/make_onnx.py [--output_dir=perceptual/metrics/onnx]

Run it again when one of these metrics changes: tests/comparison/test_onnx_runtime.py compares the
files with the metrics. It needs TensorFlow and the extra `export`. FSIM
has operations that ONNX has not.
"""

import argparse
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"

import perceptual
from perceptual import errors
from perceptual.export import onnx_file

KINDS = ("bundled", "classical")


def main():
  """Runs the command."""
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--output_dir", default="perceptual/metrics/onnx", type=pathlib.Path)
  folder = parser.parse_args().output_dir
  for spec in perceptual.list_metrics():
    if spec.kind in KINDS:
      path = folder / f"{spec.name}.onnx"
      try:
        onnx_file.write(perceptual.load_metric(spec.name), path)
      except errors.UserError as error:
        print(error)
      else:
        print(f"Wrote {path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
  main()
