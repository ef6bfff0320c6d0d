"""Metrics by ONNX Runtime, which starts in a fraction of a second where Keras takes many.

The files are written by `perceptual.export.onnx_file`: those of the built-in and the classical
metrics come with the package, those of published weights are written when these are converted.
"""

import importlib.resources
import json

import numpy as np

from perceptual.common import backends, folders, onnx_names, packages
from perceptual.errors import UserError
from perceptual.version import __version__


def find(source):
  """Returns the `OnnxMetric` of a metric's name, or None if it has no file.

  Args:
    source: what `load_metric` takes. Only the names of metrics with default options have files.
  """
  backends.make_optional()
  from perceptual.metrics import registry

  spec = registry.find(source) if isinstance(source, str) else None
  if spec is None or not packages.is_installed("onnxruntime"):
    return None
  folder = folders.weights_dir() if spec.needs_weights else packaged()
  file = folder / f"{spec.name}{onnx_names.SUFFIX}"
  return OnnxMetric(file) if file.is_file() else None


def packaged():
  """Returns the folder of the files that come with the package."""
  return importlib.resources.files("perceptual") / "metrics" / "onnx"


class OnnxMetric:
  """A metric of an ONNX file, as `perceptual.comparison` uses it; see there.

  Attributes:
    name: what the metric is called.
    lower_is_better: True for a distance, False for a similarity.
    fingerprint: what the metric is, with the version of ONNX Runtime that computes it.
    taps: the names of its terms; none without taps.
  """

  has_map = False
  trunk_key = None

  def __init__(self, file):
    """Reads a file.

    Raises:
      UserError: if it is not a metric that `perceptual.export.onnx_file` wrote.
    """
    import onnxruntime

    try:
      self._session = onnxruntime.InferenceSession(
          file.read_bytes(), providers=["CPUExecutionProvider"])
      about = json.loads(self._session.get_modelmeta().custom_metadata_map[onnx_names.METADATA])
    except Exception as error:  # ONNX Runtime's own, of many kinds
      raise UserError(f"{file} is not a metric in ONNX that this version wrote: "
                      f"{type(error).__name__}.") from None
    self.name = about["name"]
    self.lower_is_better = about["lower_is_better"]
    self.taps = tuple(about["taps"])
    self.has_taps = bool(self.taps)
    self.fingerprint = {**about["fingerprint"], "versions": {
        "perceptual": __version__, "onnxruntime": onnxruntime.__version__}}
    self._smallest_side = about["smallest_side"]

  def __call__(self, reference, candidate):
    """Returns the value of each pair, `[batch]` float32.

    Args:
      reference: `[batch, height, width, 3]`, uint8 or float32 in [0, 1].
      candidate: the same shape and dtype.

    Raises:
      UserError: if the images are too small.
    """
    return self._run(["value"], reference, candidate)[0]

  def per_tap(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the value."""
    outputs = [f"tap/{tap}" for tap in self.taps]
    return dict(zip(self.taps, self._run(outputs, reference, candidate)))

  def _run(self, outputs, reference, candidate):
    height, width = reference.shape[1:3]
    if min(height, width) < self._smallest_side:
      raise UserError(f"reference has {width}x{height} pixels; {self.name} needs at least "
                      f"{self._smallest_side} a side.")
    return self._session.run(
        outputs, {"reference": _unit(reference), "candidate": _unit(candidate)})


def _unit(images):
  """Returns images as float32 in [0, 1]."""
  return images / np.float32(255) if images.dtype == np.uint8 else images
