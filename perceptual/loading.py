"""One way to a metric, whatever it is: by name, from an export, from a run directory, by default.

  metric = perceptual.load_metric()                # the one in the box
  metric = perceptual.load_metric("lpips-alex")    # or ssim, ms-ssim, psnr, fsim, fsimc, l2
  metric = perceptual.load_metric("vgg16")         # or another network with published weights
  metric = perceptual.load_metric("kmeans-alexnet")  # or gaussian-alexnet: fixed features
  metric = perceptual.load_metric("exports/mine")  # what `perceptual export` wrote, or a Hub handle
  metric = perceptual.load_metric("runs/mine")     # what `perceptual train` wrote

  distance = metric(reference, candidate)          # [batch, height, width, 3] each -> [batch]
"""

import inspect
import json
import pathlib

from perceptual import errors
from perceptual.errors import UserError
from perceptual.metrics import classical
from perceptual.models import preprocessing
from perceptual.weights import catalogue

BOX = "perceptual"
LPIPS = ("lpips-alex", "lpips-vgg", "lpips-squeeze")
PUBLISHED = tuple(name for name in catalogue.names() if catalogue.get(name).role == "trunk")
KMEANS, GAUSSIAN = "kmeans-alexnet", "gaussian-"
NAMES = (BOX, *LPIPS, *classical.METRICS, *PUBLISHED, KMEANS)
# What is no name but tells what names it: of any network, or by its place.
OTHERS = (f"{GAUSSIAN} and a network of `perceptual models`; an export folder, a TF Hub handle, a "
          "run directory")


def load_metric(source=None, *, float_range=None, **options):
  """Returns a metric.

  Every metric has `metric(reference, candidate) -> [batch]` and `two_afc(reference, candidate_0,
  candidate_1)`, `lower_is_better`, `fingerprint`, and `source`: the arguments that load it again.
  Those of networks have `taps`, `per_tap`, `features` and `spatial_map` besides; of the others,
  `l2` and `ssim` have a `spatial_map`. That of a run directory has `trained`, its checkpoint and
  step. Networks are frozen: nothing trains them.

  Args:
    source: one of `NAMES`; `gaussian-` and one of `models.names()`; an export folder, a TF Hub
      handle, or a run directory; None for the built-in metric. A folder that has the name of a
      metric is `./name`, or a `pathlib.Path`.
    float_range: what the lowest and highest value of a float image mean: `"0,1"`, `"0,255"` or
      `"-1,1"`. None for `"0,1"`; of an export, for the one declared when it was written.
    **options: of a run directory `checkpoint`, `distance` and `taps`; of the box `distance` and
      `taps`; of a network with published weights `distance`, `taps` and `weights`; of a Gaussian
      one `seed`, `distance` and `taps`; of k-means the same and `images`; of LPIPS `version`,
      `lpips` and `weights`; of SSIM `channels`; of MS-SSIM `channels` and `scales`.

  Raises:
    UserError: if there is no such metric, an option is unknown to it or has an illegal value, or
      its weights are not there.
  """
  maker, source = _maker(source)
  _check_options(maker, source, options)
  metric = maker(source, float_range, **options)
  if hasattr(metric, "trunk"):
    # PyTorch would compute gradients for its weights, and gather them.
    metric.trunk.trainable = False
  metric.source = {"source": source, "float_range": float_range, **options}
  return metric


def _maker(source):
  """Returns the function that makes the metric which `source` names, and the source in full."""
  if source is None or source == BOX:
    return _box, BOX
  if source in LPIPS:
    return _lpips, source
  if source in PUBLISHED:
    return _published, source
  if source == KMEANS:
    return _kmeans, source
  if isinstance(source, str) and source.startswith(GAUSSIAN):
    return _gaussian, source
  if source in classical.METRICS:
    return _classical, source
  if "://" in str(source):
    return _exported, str(source)
  # As text, since of what is no path it is to be said that it is no metric.
  folder = pathlib.Path(str(source)).expanduser().resolve()
  if (folder / "network.json").is_file():
    return _trained, str(folder)
  if (folder / "saved_model.pb").is_file():
    return _exported, str(folder)
  if folder.is_dir():
    raise UserError(f"{source} is neither an export (it has no saved_model.pb) nor a run "
                    "directory (it has no network.json).")
  raise UserError(f"Unknown metric {str(source)!r}. Available: {', '.join(NAMES)}; {OTHERS}.")


def load_chosen(*, metric=None, model_dir=None, **options):
  """Returns the metric that a command was asked for by its flags --metric or --model_dir.

  Args:
    metric: what `load_metric` takes, or None.
    model_dir: a run directory, or None; one of the two is given.
    **options: options of `load_metric`; those that are None were not given.

  Raises:
    UserError: as `load_metric`, or if `model_dir` is not a run directory.
  """
  given = {name: value for name, value in options.items() if value is not None}
  if model_dir is None:
    return load_metric(metric, **given)
  from perceptual.training import model_dir as training_folders

  training_folders.ModelDir(model_dir).read_network()  # says so if there is none
  return load_metric(pathlib.Path(model_dir), **given)


def described(metric):
  """Returns what a loaded metric is and where it is from, for people."""
  source = metric.source["source"]
  if hasattr(metric, "trained"):
    checkpoint, step = metric.trained.values()
    return f"{metric.network} ({checkpoint}, step {step}) of {source}"
  return f"{metric.network} of {source}" if "/" in source else metric.network


def _check_options(maker, source, options):
  """Raises `UserError` for an option that the metric does not have."""
  parameters = inspect.signature(maker).parameters.values()
  if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
    return  # it checks its own
  legal = [parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY]
  for option in options:
    if option not in legal:
      raise errors.unknown(f"option of {source}", option, legal or ["none"])


def _low_high(float_range):
  return preprocessing.float_range("0,1" if float_range is None else str(float_range))


def _box(source, float_range, *, distance=None, taps=None):
  from perceptual.metrics import bundled

  del source
  given = {"distance": distance, "taps": taps}
  return bundled.metric(float_range=_low_high(float_range),
                    **{name: value for name, value in given.items() if value is not None})


def _lpips(source, float_range, *, version="0.1", lpips=True, weights=None):
  from perceptual.metrics.lpips import lpips as make

  return make(source.removeprefix("lpips-"), version, lpips, weights,
              float_range=_low_high(float_range))


def _published(source, float_range, *, distance="local", taps=None, weights=None):
  from perceptual.metrics.feature_metric import FeatureMetric
  from perceptual.weights import store

  return FeatureMetric(
      store.load(source, weights), network=source, options={"num_classes": 0}, taps=taps,
      distance=distance, preprocess=preprocessing.Preprocessing(float_range=_low_high(float_range)))


def _gaussian(source, float_range, *, seed=0, distance="local", taps=None):
  from perceptual.metrics import fixed_features

  return fixed_features.gaussian(
      source.removeprefix(GAUSSIAN), seed=seed, distance=distance, taps=taps,
      float_range=_low_high(float_range))


def _kmeans(source, float_range, *, images=None, seed=0, distance="local", taps=None):
  from perceptual.metrics import fixed_features

  return fixed_features.kmeans(
      source.removeprefix("kmeans-"), images=images, seed=seed, distance=distance, taps=taps,
      float_range=_low_high(float_range))


def _classical(source, float_range, **options):
  return classical.build(source, float_range=_low_high(float_range), **options)


def _trained(source, float_range, *, checkpoint="best_score", distance=None, taps=None):
  from perceptual.training import trained_metric

  metric, step = trained_metric.load(
      source, checkpoint, distance=distance, taps=taps,
      preprocess=preprocessing.Preprocessing(float_range=_low_high(float_range)))
  metric.trained = {"checkpoint": checkpoint, "step": step}
  return metric


def _exported(source, float_range):
  metric = _export_on_this_backend(source)
  declared = metric.preprocessing.float_range
  if float_range is not None and _low_high(float_range) != declared:
    raise UserError(f"{source} was exported for float images from {declared[0]:g} to "
                    f"{declared[1]:g}, not {float_range!r}; export it again for another range.")
  return metric


def _export_on_this_backend(source):
  """Returns an export as it was written, or where that would be foreign its network in Keras."""
  import keras

  from perceptual import export

  if keras.backend.backend() == "tensorflow" or "://" in source:
    return ExportedMetric(source)
  return export.keras_metric(source)


class ExportedMetric:
  """A metric that `perceptual export` wrote, behind the interface of `FeatureMetric`.

  It runs on TensorFlow, whatever Keras's backend, and returns its tensors. Images and errors are
  those of `feature_metric.FeatureMetric`; in a graph, values outside the declared range raise
  `tf.errors.InvalidArgumentError`. Functions that the metric does not have raise `UserError`.

  Attributes:
    network: name of the network, or of the baseline.
    taps: names of the taps; none without a network.
    fingerprint: what the metric is, as plain data.
    lower_is_better: whether less means more alike.
    preprocessing: `preprocessing.Preprocessing` with the declared range.
  """

  def __init__(self, source):
    """Loads it from a folder or a TF Hub handle, a string.

    Raises:
      UserError: if there is none, or something else.
    """
    import tensorflow as tf

    try:
      self._loaded = _load_handle(source) if "://" in source else tf.saved_model.load(source)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
      raise UserError(f"{source} is not an exported metric: {errors.first_line(error)}") from None
    if not hasattr(self._loaded, "fingerprint"):
      raise UserError(f"{source} is a SavedModel but no metric exported by `perceptual export`.")
    self.fingerprint = json.loads(self._loaded.fingerprint().numpy())
    self.network = self.fingerprint["network"]
    self.taps = tuple(self.fingerprint.get("taps", ()))
    self.lower_is_better = self.fingerprint["lower_is_better"]
    declared = self.fingerprint["preprocessing"]
    self.preprocessing = preprocessing.Preprocessing(
        **{name: tuple(value) for name, value in declared.items() if name != "uint8_range"})

  def __call__(self, reference, candidate):
    """Returns the distance `[batch]` float32 between images `[batch, height, width, 3]`."""
    return self._loaded(*self._prepared(reference=reference, candidate=candidate))

  def per_tap(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is the distance."""
    terms = self._call("per_tap", reference=reference, candidate=candidate)
    return {tap: terms[tap] for tap in self.taps}

  def spatial_map(self, reference, candidate):
    """Returns where two images differ: `[batch, height, width]` float32, by the local distance."""
    return self._call("spatial_map", reference=reference, candidate=candidate)

  def features(self, images):
    """Returns `{tap: features}` of images `[batch, height, width, 3]`."""
    features = self._call("features", images=images)
    return {tap: features[tap] for tap in self.taps}

  def two_afc(self, reference, candidate_0, candidate_1):
    """Returns the distances of two candidates, each `[batch]`; the reference is encoded once."""
    return tuple(self._call(
        "two_afc", reference=reference, candidate_0=candidate_0, candidate_1=candidate_1))

  def _call(self, name, **images):
    function = getattr(self._loaded, name, None)
    if function is None:
      raise UserError(f"{self.network} has no {name}.")
    return function(*self._prepared(**images))

  def _prepared(self, **images):
    """Returns images by their names for errors as the SavedModel takes them: of three channels."""
    prepared = []
    for name, image in images.items():
      image = _tensorflow(image)
      self.preprocessing.check(image, name)
      prepared.append(image)
      preprocessing.check_pair(prepared[0], image)
    return [_as_exported(image) for image in prepared]


def _load_handle(handle):
  import tensorflow_hub as hub

  return hub.load(handle)


def _tensorflow(images):
  """Returns an array, or a tensor of Keras's backend, as a tensor of TensorFlow."""
  import keras
  import tensorflow as tf

  if keras.ops.is_tensor(images) and not tf.is_tensor(images):
    images = keras.ops.convert_to_numpy(images)
  return tf.convert_to_tensor(images)


def _as_exported(images):
  """Returns images of three channels and of a dtype that exports have functions for."""
  import tensorflow as tf

  if images.dtype in (tf.float16, tf.bfloat16):
    images = tf.cast(images, tf.float32)
  return tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
