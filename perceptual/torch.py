"""Perceptual metrics as PyTorch modules.

  metric = perceptual.torch.PerceptualMetric("lpips-alex").to("cuda")
  distance = metric(reference, candidate)  # [batch, 3, height, width] each -> [batch]

They are the metrics of `perceptual.load_metric`, run by Keras on PyTorch. Importing this module
chooses that backend; it raises `UserError` if Keras runs on another already, or `KERAS_BACKEND`
names another.
"""

from perceptual.common import backends, packages
from perceptual.errors import UserError

try:
  import torch
except ModuleNotFoundError as error:
  raise packages.explained(error) or error from None

backends.choose("torch", purpose="perceptual.torch")


class PerceptualMetric(torch.nn.Module):
  """The distance, or similarity, of images `[batch, 3, height, width]` as a module.

  It computes in float32 despite `half()` or autocast, and is the same in training and evaluation.
  It has nothing to train: the weights are buffers, not parameters, and `state_dict` is empty, so
  that checkpoints of a model that holds a metric stay small. Gradients flow to both images. Pickles
  and copies hold the weights.

  Attributes:
    lower_is_better: True for a distance, False for a similarity such as SSIM.
    float_range: the declared (lowest, highest) value of float images.
    fingerprint: what the metric is, as plain data for JSON.
  """

  def __init__(self, metric=None, *, check_candidate=True, **options):
    """Makes the module, on PyTorch's default device.

    Args:
      metric: a metric, or the first argument of `perceptual.load_metric`; None for the built-in
        metric.
      check_candidate: whether candidates outside the declared range are refused, as references
        are. False for a loss, since the images that a model makes may overshoot.
      **options: the other arguments of `perceptual.load_metric`, for instance
        `float_range="-1,1"`.

    Raises:
      UserError: as `perceptual.load_metric`, options for a metric that is made already, or a TF Hub
        handle, which runs on TensorFlow alone.
    """
    super().__init__()
    import keras

    from perceptual import loading
    from perceptual.metrics import functional

    with keras.device("cpu"):
      loaded = loading.load_in_keras(metric, **options)
    self._pure = functional.PureMetric(loaded, check_candidate=check_candidate)
    self._buffer_names = []
    for variable in self._pure.variables:
      name = variable.path.replace(".", "_")
      weight = variable.value.detach().to(torch.get_default_device())
      self.register_buffer(name, weight, persistent=False)
      self._buffer_names.append(name)

  @property
  def lower_is_better(self):
    return self._pure.metric.lower_is_better

  @property
  def float_range(self):
    return self._pure.metric.preprocessing.float_range

  @property
  def fingerprint(self):
    return self._pure.metric.fingerprint

  @torch.compiler.disable  # compiling Keras's calls takes minutes and gains nothing
  def forward(self, reference, candidate, *, mask=None):
    """Returns the metric of each pair, `[batch]` float32.

    `torch.compile` leaves it uncompiled.

    Args:
      reference: `[batch, 3, height, width]`, or 1 channel for greyscale; uint8 (0 to 255), or float
        in the declared range.
      candidate: the same shape.
      mask: `[batch, 1, height, width]`, 1 where a pixel counts and 0 where it does not; None if all
        count. For the metrics that take masks.

    Raises:
      UserError: images of another shape, dtype or device, or values outside the declared range;
        where `torch.func.vmap` and the like hide the values, the result is NaN.
    """
    masks = [] if mask is None else [_one_channel(mask)]
    return self._run(self._pure, reference, candidate, *masks)

  def per_tap(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the distance; see `forward`.

    Raises:
      UserError: as `forward`; or the metric has no taps.
    """
    return self._run(self._pure.per_tap, reference, candidate)

  def spatial_map(self, reference, candidate):
    """Returns where the images differ, `[batch, 1, height, width]` float32; see `forward`.

    Raises:
      UserError: as `forward`; or the metric has no map.
    """
    return self._run(self._pure.spatial_map, reference, candidate).unsqueeze(1)

  def extra_repr(self):
    """Describes the metric for `print`."""
    return self._pure.described()

  def _run(self, function, reference, candidate, *mask):
    import keras

    images = _channels_last(reference, "reference"), _channels_last(candidate, "candidate")
    weights = [self.get_buffer(name) for name in self._buffer_names]
    device = _one_device(*images, weights)
    with keras.device(str(device)):
      return function(weights, *images, *mask)

  def _apply(self, fn, recurse=True):
    """Moves the weights but leaves them float32, where `half()` and others would round them."""

    def moved(tensor):
      result = fn(tensor)
      return result if result.dtype == tensor.dtype else tensor.to(result.device)

    return super()._apply(moved, recurse)


def _channels_last(images, name):
  if not isinstance(images, torch.Tensor):
    raise UserError(f"{name}: {type(images).__name__}; expected a torch.Tensor.")
  if images.ndim != 4 or images.shape[1] not in (1, 3):
    raise UserError(f"{name}: shape {list(images.shape)}; expected [batch, 3, height, width], or 1 "
                    "channel for greyscale.")
  return images.permute(0, 2, 3, 1)


def _one_channel(mask):
  if mask.ndim != 4 or mask.shape[1] != 1:
    raise UserError(f"mask: shape {list(mask.shape)}; expected [batch, 1, height, width].")
  return mask[:, 0]


def _one_device(reference, candidate, weights):
  """Returns the device of all tensors; Keras would move them to one in silence."""
  places = {"reference": reference, "candidate": candidate,
            **({"the metric": weights[0]} if weights else {})}
  if len({tensor.device for tensor in places.values()}) > 1:
    found = ", ".join(f"{name} on {tensor.device}" for name, tensor in places.items())
    raise UserError(f"One device is needed: {found}. Move the metric by metric.to(device).")
  return reference.device
