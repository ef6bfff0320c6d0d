"""Perceptual metrics as pure functions of JAX arrays.

  distance = perceptual.jax.metric("lpips-alex")
  distance(reference, candidate)  # [batch, height, width, 3] each -> [batch]
  slopes = jax.grad(lambda candidate: distance(reference, candidate).sum())(candidate)

They are the metrics of `perceptual.load_metric`, run by Keras on JAX, under `jit`, `grad`, `vmap`
and the like. Importing this module chooses that backend; it raises `UserError` if Keras runs on
another already, or `KERAS_BACKEND` names another.
"""

from perceptual.common import backends, packages

try:
  import jax
except ModuleNotFoundError as error:
  raise packages.explained(error) or error from None

backends.choose("jax", purpose="perceptual.jax")


def metric(source=None, *, check_candidate=True, **options):
  """Returns a metric as a pure function, `Metric`.

  Args:
    source: a metric, or the first argument of `perceptual.load_metric`; None for the built-in
      metric.
    check_candidate: whether candidates outside the declared range are refused, as references are.
      False for a loss, since the images that a model makes may overshoot.
    **options: the other arguments of `perceptual.load_metric`, for instance `float_range="-1,1"`.

  Raises:
    UserError: as `perceptual.load_metric`, options for a metric that is made already, or a TF Hub
      handle, which runs on TensorFlow alone.
  """
  from perceptual import loading

  return Metric(loading.load_in_keras(source, **options), check_candidate)


class Metric:
  """A metric as a pure function: made by `metric`.

  Where values are known, an image outside the declared range is an error; under a transformation
  such as `jit`, where nothing can raise, its result is NaN.

  Attributes:
    params: the weights, `{path: array}`; empty without a network. They are not trained: they are
      constants of a call, and an argument of `apply`.
    lower_is_better: True for a distance, False for a similarity such as SSIM.
    float_range: the declared (lowest, highest) value of float images.
    fingerprint: what the metric is, as plain data for JSON.
  """

  def __init__(self, loaded, check_candidate):
    """Wraps what `perceptual.load_metric` returns; `check_candidate` is as in `metric`."""
    from perceptual.metrics import functional

    self._pure = functional.PureMetric(loaded, check_candidate=check_candidate)
    self.params = {variable.path: variable.value for variable in self._pure.variables}
    self.lower_is_better = loaded.lower_is_better
    self.float_range = loaded.preprocessing.float_range
    self.fingerprint = loaded.fingerprint

  def __call__(self, reference, candidate, *, mask=None):
    """Returns the metric of each pair, `[batch]` float32.

    Args:
      reference: `[batch, height, width, 3]`, or 1 for greyscale; uint8 (0 to 255), or float in the
        declared range.
      candidate: the same shape.
      mask: `[batch, height, width]`, 1 where a pixel counts and 0 where it does not; None if all
        count. For the metrics that take masks.

    Raises:
      UserError: images of another shape or dtype, or known values outside the declared range.
    """
    return self.apply(self.params, reference, candidate, mask=mask)

  def apply(self, params, reference, candidate, *, mask=None):
    """Returns the same as a call, with the weights as an argument.

    A jitted function then holds no copy of them, and they may lie on any device.
    """
    masks = [] if mask is None else [mask]
    return self._run(self._pure, params, reference, candidate, *masks)

  def per_tap(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the distance; see a call.

    Raises:
      UserError: as a call; or the metric has no taps.
    """
    return self._run(self._pure.per_tap, self.params, reference, candidate)

  def spatial_map(self, reference, candidate):
    """Returns where the images differ, `[batch, height, width]` float32; see a call.

    Raises:
      UserError: as a call; or the metric has no map.
    """
    return self._run(self._pure.spatial_map, self.params, reference, candidate)

  def __repr__(self):
    return f"perceptual.jax.Metric({self._pure.described()})"

  def _run(self, function, params, reference, candidate, *mask):
    weights = [params[variable.path] for variable in self._pure.variables]
    return function(weights, *map(jax.numpy.asarray, (reference, candidate, *mask)))
