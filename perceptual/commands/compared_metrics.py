"""Metrics as comparisons of files take them, on whatever is installed."""

from perceptual.common import backends, packages


def load(sources, *, by_onnx=False):
  """Returns `{label: metric}` for `perceptual.comparison`.

  Args:
    sources: what `load_metric` takes, at least one.
    by_onnx: whether ONNX Runtime is asked first; where it lacks one of the metrics, Keras runs all.

  Raises:
    UserError: as `load_metric`; no backend is installed; or a source is given twice.
  """
  from perceptual.comparison import scoring

  return scoring.labelled(sources, _by_onnx(sources) if by_onnx else _by_keras(sources))


def _by_onnx(sources):
  from perceptual.comparison import onnx_runtime

  found = [onnx_runtime.find(source) for source in sources]
  return _by_keras(sources) if None in found else found


def _by_keras(sources):
  backends.choose(purpose=f"Comparing by {packages.listed(sources, 'and')}")
  from perceptual import loading

  metrics = [loading.load_metric(source) for source in sources]
  if backends.choose() != "tensorflow":
    return metrics
  from perceptual.comparison import compiled

  return [compiled.Compiled(metric) for metric in metrics]
