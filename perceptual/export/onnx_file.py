"""A metric as one ONNX file, for ONNX Runtime: what `perceptual compare` starts fastest with.

    inputs      reference, candidate: `[batch, height, width, 3]` float32 in [0, 1]
    outputs     value: `[batch]`; of a metric with taps also `tap/NAME`, the terms whose sum it is
    metadata    perceptual: JSON, the fingerprint and what a reader has to know before a call

Values outside [0, 1] give NaN.
"""

import contextlib
import json
import logging
import os

import tensorflow as tf

from perceptual import errors
from perceptual.common import files, onnx_names, packages
from perceptual.errors import UserError

_OPSET = 18


def write(metric, path):
  """Writes a metric as an ONNX file, beside its place, then renames it.

  Args:
    metric: `metrics.base.Metric` on TensorFlow, of float images from 0 to 1.
    path: `pathlib.Path` of the file.

  Raises:
    UserError: if tf2onnx is not installed, the metric has another range, or the file cannot be
      written, or the metric has operations that ONNX has not: Fourier transforms of FSIM.
  """
  packages.require("onnx", "tf2onnx", extra="export", purpose="An ONNX file")
  if metric.preprocessing.float_range != (0.0, 1.0):
    raise UserError(f"An ONNX file takes float images from 0 to 1, and {metric.name} has another "
                    "range.")
  import onnx
  import tf2onnx.convert

  names = ["value", *(f"tap/{tap}" for tap in metric.taps)] if metric.has_taps else ["value"]
  images = [tf.TensorSpec([None, None, None, 3], tf.float32, name=name)
            for name in ("reference", "candidate")]
  function = tf.function(_values_of(metric, names), autograph=False)
  with _in_silence():
    model, _ = tf2onnx.convert.from_function(function, input_signature=images, opset=_OPSET)
  for output, name in zip(model.graph.output, names, strict=True):
    _rename(model.graph, output.name, name)
  try:
    onnx.checker.check_model(model)
  except onnx.checker.ValidationError as error:
    raise UserError(
        f"{metric.name} cannot be written as ONNX: {errors.first_line(error)}") from None
  model.metadata_props.add(key=onnx_names.METADATA, value=json.dumps({
      "fingerprint": metric.fingerprint, "name": metric.name,
      "lower_is_better": metric.lower_is_better, "smallest_side": metric.smallest_side,
      "taps": list(metric.taps) if metric.has_taps else []}))
  try:
    with files.beside(path) as temporary:
      temporary.write_bytes(model.SerializeToString())
  except OSError as error:
    raise UserError(f"{path} cannot be written: {error.strerror}.") from None


@contextlib.contextmanager
def _in_silence():
  """Keeps what TensorFlow's C++ and tf2onnx write while they convert off the screen."""
  logger = logging.getLogger("tf2onnx")
  level = logger.level
  logger.setLevel(logging.CRITICAL)
  screen = os.dup(2)
  with open(os.devnull, "w") as nothing:
    os.dup2(nothing.fileno(), 2)
  try:
    yield
  finally:
    os.dup2(screen, 2)
    os.close(screen)
    logger.setLevel(level)


def _values_of(metric, names):
  """Returns a function of a pair of images to the outputs, in the order of their names."""

  def with_taps(reference, candidate):
    terms = metric.per_tap(reference, candidate)
    return [sum(terms.values()), *(terms[tap] for tap in metric.taps)]

  def alone(reference, candidate):
    return [metric(reference, candidate)]

  function = with_taps if metric.has_taps else alone
  return lambda reference, candidate: [
      tf.identity(value, name=name.replace("/", "_"))
      for name, value in zip(names, function(reference, candidate), strict=True)]


def _rename(graph, old, new):
  """Gives an output of a graph its name, wherever it stands."""
  for node in graph.node:
    for field in (node.input, node.output):
      field[:] = [new if name == old else name for name in field]
  for output in graph.output:
    if output.name == old:
      output.name = new
