"""Metrics as comparisons of files take them, on whatever is installed."""

from perceptual.common import backends, packages


def load(sources, *, distances=(), by_onnx=False):
  """Returns `{label: metric}` for `perceptual.comparison`.

  Args:
    sources: what `load_metric` takes, at least one.
    distances: names of further distances between the features of each network, which become
      metrics of their own, as `vgg16:distance=style`.
    by_onnx: whether ONNX Runtime is asked first; where it lacks one of the metrics, Keras runs all.

  Raises:
    UserError: as `load_metric`; no backend is installed; a source is given twice; or there is no
      such distance.
  """
  from perceptual.comparison import scoring

  found = [None] if distances or not by_onnx else _by_onnx(sources)
  if None not in found:
    return scoring.labelled(sources, found)
  return _by_keras(sources, distances)


def _by_onnx(sources):
  """Returns the metrics that ONNX Runtime has, None for each that it lacks.

  Raises:
    UserError: a source is not a metric, which installing a backend would not change.
  """
  backends.make_optional()
  from perceptual.comparison import onnx_runtime
  from perceptual.metrics import sources as metric_sources

  for source in sources:
    metric_sources.require(source)
  return [onnx_runtime.find(source) for source in sources]


def _by_keras(sources, distances):
  backends.choose(purpose=f"Comparing by {packages.listed(sources, 'and')}")
  from perceptual import loading
  from perceptual.comparison import scoring

  metrics = scoring.labelled(sources, [loading.load_metric(source) for source in sources])
  metrics |= _with_distances(metrics, distances)
  if backends.choose() != "tensorflow":
    return metrics
  from perceptual.comparison import compiled

  return {label: compiled.Compiled(metric) for label, metric in metrics.items()}


def _with_distances(metrics, names):
  """Returns the networks among `{label: metric}` with other distances, by what loads these."""
  from perceptual.metrics import distances
  from perceptual.metrics.feature_metric import FeatureMetric

  wanted = [distances.get(name) for name in names]
  return {
      _label_with(label, distance.name): metric.with_tap_distances(metric.at_taps(distance.name))
      for label, metric in metrics.items() if isinstance(metric, FeatureMetric)
      for distance in wanted if distance.name != metric.distance_name}


def _label_with(label, distance):
  """Returns the label of a metric with another distance, which takes the place of its own."""
  from perceptual.metrics import options, sources

  is_folder = "://" not in label and sources.exists(label)
  name, given = (label, {}) if is_folder else options.split(label)
  return options.joined(name, {**given, "distance": distance})
