"""One way to any metric: by name, from an export, from a run directory, by default.

  metric = perceptual.load_metric()                # the bundled one
  metric = perceptual.load_metric("lpips-alex")    # or ssim, psnr, ...: see list_metrics
  metric = perceptual.load_metric("psnr:channels=luma,crop=4")  # with options, as commands take it
  metric = perceptual.load_metric("vgg16")         # or another network with published weights
  metric = perceptual.load_metric("exports/mine")  # what `perceptual export` wrote, or a Hub handle
  metric = perceptual.load_metric("runs/mine")     # what `perceptual train` wrote
  metric = perceptual.load_metric("gs://bucket/runs/mine")  # either of them, at an address

  distance = metric(reference, candidate)          # [batch, height, width, 3] each -> [batch]
"""

import functools
import json
import os
import pathlib

from perceptual import errors
from perceptual.common import packages
from perceptual.common.files import folder_for_tensorflow, place
from perceptual.errors import UserError
from perceptual.metrics import base, options, registry, sources
from perceptual.metrics.options import NAMES, TEXT
from perceptual.models import preprocessing

# What a run directory takes; an export takes nothing.
_OF_RUNS = {"checkpoint": TEXT, "distance": TEXT, "taps": NAMES, "dtype": TEXT}


def load_metric(source=None, *, float_range=None, **given):
  """Returns a metric: `metrics.base.Metric`, which says what every metric does.

  Args:
    source: the name of a metric, as `list_metrics` has them; an export folder or a run directory,
      also at an address, gs://bucket/metric; a TF Hub handle; None for the bundled metric.
      Options may follow a name after a colon, as text: `psnr:channels=luma,crop=4`. A folder that
      has the name of a metric is `./name`, or a `pathlib.Path`.
    float_range: what the lowest and highest value of a float image mean: `"0,1"`, `"0,255"` or
      `"-1,1"`. None for `"0,1"`; of an export, for the one declared when it was written.
    **given: options: those of the metric's row in `list_metrics`; of a run directory `checkpoint`,
      `distance`, `taps` and `dtype`. One that is None is not given. `distance` is the name of a
      distance between features, or a sum as `local+sort`; `taps` a list of names; `dtype` what a
      network computes in: `float32`, regardless of Keras's global policy, unless it is
      `mixed_float16` or `mixed_bfloat16`.

  Raises:
    UserError: if there is no such metric, an option is unknown to it or has an illegal value, or
      its weights are not there.
  """
  if source is not None and not isinstance(source, (str, os.PathLike)):
    raise UserError("A metric is a name, such as lpips-alex, or the path of a folder, not "
                    f"{errors.shown(source)}.")
  source, maker, kinds, texts = _found(registry.DEFAULT if source is None else source)
  read = options.read(source, texts, {**options.FOR_ALL, **kinds})
  if twice := read.keys() & {**given, **({"float_range": 0} if float_range else {})}.keys():
    raise UserError(f"{', '.join(sorted(twice))} is given twice: after the colon, and beside it.")
  float_range = read.pop("float_range", float_range)
  given = options.checked(source, {**read, **given}, kinds)
  metric = maker(source, float_range, given)
  return metric.loaded_from({"source": source, "float_range": float_range, **given})


def options_of(source):
  """Returns what `load_metric` takes of a source: name of an option -> its `metrics.options` kind.

  Args:
    source: the first argument of `load_metric`.

  Raises:
    UserError: if there is no such metric.
  """
  return _found(source)[2]


def load_in_keras(metric=None, **given):
  """Returns a metric that Keras runs, so that its weights and gradients are at hand.

  Args:
    metric: a metric, or the first argument of `load_metric`.
    **given: the others, of a metric that is not made yet.

  Raises:
    UserError: as `load_metric`, options for a metric that is made already, or an export that runs
      on TensorFlow alone.
  """
  if isinstance(metric, base.Metric) and given:
    raise UserError(f"{', '.join(given)}: a metric that is made already takes no options.")
  loaded = metric if isinstance(metric, base.Metric) else load_metric(metric, **given)
  if isinstance(loaded, ExportedMetric):
    raise UserError(f"{loaded.source['source'] if loaded.source else loaded.name} runs on "
                    "TensorFlow alone: give an export folder, a name or a run directory.")
  return loaded


def _found(source):
  """Returns what a source is: `(source in full, how it is made, kinds of options, their text)`."""
  if isinstance(source, str) and (sources.is_hub_handle(source) or not sources.exists(source)):
    name, texts = options.split(source)
  else:
    name, texts = source, {}
  spec = registry.find(name) if isinstance(name, str) else None
  if spec is not None:
    return name, _by_name, spec.options, texts
  if sources.is_hub_handle(name):
    return str(name), _exported, {}, texts
  folder = sources.folder(name)
  if folder is not None and (folder / "network.json").is_file():
    return str(folder), _trained, _OF_RUNS, texts
  if folder is not None and (folder / "saved_model.pb").is_file():
    return str(folder), _exported, {}, texts
  if folder is not None and folder.is_dir():
    raise UserError(f"{name} is neither an export (it has no saved_model.pb) nor a run "
                    "directory (it has no network.json).")
  raise sources.unknown(str(name))


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
  return load_metric(place(model_dir), **given)


def described(metric):
  """Returns what a loaded metric is and where it is from, for people."""
  source = metric.source["source"]
  if metric.trained:
    checkpoint, step = metric.trained["checkpoint"], metric.trained["step"]
    return f"{metric.name} ({checkpoint}, step {step}) of {source}"
  return f"{metric.name} of {source}" if "/" in source else metric.name


def _low_high(float_range):
  return preprocessing.float_range("0,1" if float_range is None else float_range)


def _by_name(name, float_range, given):
  return registry.find(name).make(name, _low_high(float_range), given)


def _trained(source, float_range, given):
  from perceptual.training import trained_metric

  metric, _ = trained_metric.load(
      source, **given,
      preprocess=preprocessing.Preprocessing(float_range=_low_high(float_range)))
  return metric


def _exported(source, float_range, given):
  del given  # there are no options
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

  if keras.backend.backend() == "tensorflow" or sources.is_hub_handle(source):
    return ExportedMetric(source)
  return export.keras_metric(source)


class ExportedMetric(base.Metric):
  """A metric that `perceptual export` wrote; it keeps the contract of `base.Metric`.

  It runs on TensorFlow with any backend of Keras, and returns TensorFlow's tensors. The SavedModel
  itself checks what only a running graph can see; predictions are clipped to the range before.

  Attributes:
    taps: names of the taps; none without a network.
  """

  def __init__(self, handle):
    """Loads it from a folder or a TF Hub handle, a string.

    Raises:
      UserError: if there is no exported metric.
    """
    is_handle = sources.is_hub_handle(handle)
    if is_handle:
      packages.require("tensorflow", "tensorflow_hub", extra="hub", purpose="A TF Hub handle")
    packages.require("tensorflow", extra="tensorflow", purpose="An exported metric")
    if not is_handle:
      from perceptual.export import checksums

      checksums.verify(folder_for_tensorflow(handle))
    import tensorflow as tf

    try:
      self._loaded = _load_handle(handle) if is_handle else tf.saved_model.load(handle)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
      raise UserError(f"{handle} is not an exported metric: {errors.first_line(error)}") from None
    if not hasattr(self._loaded, "fingerprint"):
      raise UserError(f"{handle} is a SavedModel, but not a metric written by `perceptual export`.")
    self._handle = handle
    self._fingerprint = json.loads(self._loaded.fingerprint().numpy())
    declared = {name: tuple(value) for name, value in self._fingerprint["preprocessing"].items()
                if name != "uint8_range"}
    super().__init__(
        self._fingerprint["name"], options=self._fingerprint["options"],
        lower_is_better=self._fingerprint["lower_is_better"],
        preprocess=preprocessing.Preprocessing(**declared))
    self.taps = tuple(self._fingerprint.get("taps", ()))
    self.has_taps = bool(self.taps)
    self.has_map = getattr(self._loaded, "spatial_map", None) is not None
    self.required_side = self._fingerprint.get("smallest_side", 1)

  @property
  def fingerprint(self):
    """What makes this metric this metric, as plain data for JSON."""
    return self._fingerprint

  @functools.cached_property
  def tap_distances(self):
    """`{tap: distances.Distance}`: what compares the features at the taps."""
    from perceptual.export import keras_files

    return keras_files.tap_distances(self._fingerprint, _files_of(self._handle))

  @property
  def trunk_key(self):
    """A hashable: metrics of equal ones have equal features of equal images."""
    return (self.name, self._fingerprint["weights_sha256"], self.taps,
            self.preprocessing) if self.has_taps else None

  def from_features(self, reference, candidate):
    """Returns the distance `[batch]` float32 between images of which `features` were computed."""
    from perceptual.metrics import distances

    self._require("has_taps", "taps")
    return distances.summed(self.tap_distances, reference, candidate)

  def terms_from_features(self, reference, candidate):
    """Returns `{tap: [batch] float32}`: the terms whose sum is `from_features`."""
    from perceptual.metrics import distances

    self._require("has_taps", "taps")
    return distances.per_tap(self.tap_distances, reference, candidate)

  def __reduce__(self):
    return _loaded_again, (self._handle, self.source)

  def __copy__(self):
    metric = object.__new__(type(self))  # copy.copy would go the way of a pickle, and load again
    metric.__dict__.update(self.__dict__)
    return metric

  def _about(self):
    if not self.has_taps:
      return super()._about()
    return [f"taps {self.taps[0]}..{self.taps[-1]}", f"distance {self._fingerprint['distance']}"]

  def _values(self, reference, candidate):
    return self._loaded(reference, candidate)

  def _distances(self, *images):
    return tuple(self._loaded.two_afc(*images))

  def _map(self, *images):
    return self._loaded.spatial_map(*images)

  def _per_tap(self, *images):
    terms = self._loaded.per_tap(*images)
    return {tap: terms[tap] for tap in self.taps}

  def _features(self, images):
    features = self._loaded.features(images)
    return {tap: features[tap] for tap in self.taps}

  def _run(self, function, images, *, mask=None, predictions=()):
    prepared = []
    for name, image in base.with_files_read(images, self.preprocessing.float_range).items():
      image = _tensorflow(preprocessing.as_array(image, name))
      if name in predictions:
        image = _clipped(image, self.preprocessing.float_range)
      self.preprocessing.check(image, name)
      prepared.append(image)
      preprocessing.check_pair(prepared[0], image, (next(iter(images)), name))
    return function(*map(_as_exported, prepared))


def _loaded_again(handle, source):
  metric = ExportedMetric(handle)
  metric.source = source
  return metric


def _files_of(handle):
  """Returns the folder of an export, also where it is a handle of TF Hub."""
  if not sources.is_hub_handle(handle):
    return place(handle)
  import tensorflow_hub as hub

  return pathlib.Path(hub.resolve(handle))


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


def _clipped(images, float_range):
  """Returns float images clipped to a range, with the gradient of what they were.

  An exported graph checks every image that it is given.
  """
  import tensorflow as tf

  if not images.dtype.is_floating:
    return images
  return images + tf.stop_gradient(tf.clip_by_value(images, *float_range) - images)


def _as_exported(images):
  """Returns images of three channels and of a dtype that exports have functions for."""
  import tensorflow as tf

  if images.dtype in (tf.float16, tf.bfloat16):
    images = tf.cast(images, tf.float32)
  return tf.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
