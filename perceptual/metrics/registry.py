"""The metrics by name: one row each, which says what a metric is and makes it.

To add a metric, write its file and give it a row. Rows import what they need when a metric is made,
so that looking one up costs nothing. `perceptual.loading` adds what has no name: exports and run
directories.
"""

import dataclasses
import functools
from collections.abc import Callable

from perceptual.metrics import options
from perceptual.metrics.options import ARRAY, BOOL, INTEGER, NAMES, PATH, TEXT

DEFAULT = "perceptual"
GAUSSIAN = "gaussian-"

# The nets of LPIPS: for people, its trunk's weights in `catalogue`, and the least side. Exact is
# what gave the published numbers here, as docs/lpips.md explains.
_LPIPS = {
    "alex": ("AlexNet, exact", "alexnet", 31), "vgg": ("VGG-16", "vgg16", 16),
    "squeeze": ("SqueezeNet 1.1, exact", "squeezenet1_1", 17)}

# The least sides that all taps of the published networks need.
_PUBLISHED_SIDES = {
    "alexnet": 31, "vgg11": 16, "vgg16": 16, "vgg16_bn": 16, "vgg19": 16, "densenet121": 29,
    "torchvision_resnet18": 1, "torchvision_resnet50": 1, "resnext50_32x4d": 1, "googlenet": 15,
    "inception_v3": 43, "squeezenet1_1": 17, "torchvision_efficientnet_b0": 1,
    "torchvision_efficientnet_b7": 1}

_DTYPE = {"dtype": TEXT.by_default("float32")}
_FEATURES = {"distance": TEXT.by_default("local"), "taps": NAMES.by_default("all"), **_DTYPE}
_SEED = {"seed": INTEGER.by_default("0")}
_WEIGHTS = {"weights": PATH.by_default("the folder of converted weights")}


@dataclasses.dataclass(frozen=True)
class Spec:
  """What a metric is, and how it is made.

  Attributes:
    name: what `load_metric` calls it; of a whole kind a pattern, `gaussian-NETWORK`.
    summary: what it is, in one line.
    kind: `bundled`, `lpips`, `classical`, `network` or `fixed features`.
    lower_is_better: True for a distance, False for a similarity.
    values: the range of its values and their unit.
    smallest_side: the least height and width of the images in pixels, with default options; None
      for a pattern, where it depends on the network.
    build: `(name, float_range, **options)` to the metric; float_range is a pair of numbers.
    options: what it takes, `{option: options.Kind}`.
    weights: names of the published weights it needs, in `perceptual.weights.catalogue`.
    aliases: other names for it.
  """

  name: str
  summary: str
  kind: str
  lower_is_better: bool
  values: str
  smallest_side: int | None
  build: Callable
  options: dict
  weights: tuple = ()
  aliases: tuple = ()

  @property
  def needs_weights(self):
    """Whether published weights must be converted before the metric can be made."""
    return bool(self.weights)

  @property
  def weights_available(self):
    """Whether the weights that it needs are in the default folder of converted weights."""
    if not self.weights:
      return True
    from perceptual.weights import store

    return all(store.has(name) for name in self.weights)

  def make(self, name, float_range, given):
    """Returns the metric.

    Args:
      name: what was asked for; differs from the row's own for an alias or a pattern.
      float_range: what the lowest and highest value of a float image mean.
      given: its options, a dict.

    Raises:
      UserError: an unknown option, an illegal value, or weights that are not there.
    """
    given = options.checked(name, given, self.options)
    return self.build(self.name if name in self.aliases else name, float_range, **given)


def find(name):
  """Returns the `Spec` of a metric's name or alias, or None."""
  if name in _static():
    return _static()[name]
  if name.startswith(GAUSSIAN):
    return _static()[f"{GAUSSIAN}NETWORK"]
  return _published().get(name)


def list_metrics():
  """Returns what can be loaded by name: a tuple of `Spec`, one for each metric, by kind.

  Public as `perceptual.list_metrics`. Of a row, `weights_available` looks for its weights when it
  is asked.
  """
  return tuple({row.name: row for row in (*_static().values(), *_published().values())}.values())


def names():
  """Returns all names and aliases that `find` knows, patterns as they are written, a tuple."""
  return (*_static(), *_published())


@functools.cache
def _static():
  """Returns the rows that nothing has to be imported for, by name and alias."""
  rows = [_bundled_row(), *map(_lpips_row, _LPIPS), *_classical_rows(), *_fixed_rows()]
  return {name: row for row in rows for name in (row.name, *row.aliases)}


@functools.cache
def _published():
  """Returns a row for each network with published weights, by its name."""
  from perceptual.weights import catalogue

  entries = [catalogue.get(name) for name in catalogue.names()]
  return {entry.network: _published_row(entry) for entry in entries if entry.role == "trunk"}


def _bundled_row():
  return Spec(
      DEFAULT, "the built-in metric: a small network, with its weights",
      kind="bundled", lower_is_better=True, values="0 and up", smallest_side=32,
      build=_bundled, options={**_FEATURES, "distance": TEXT.by_default("correlation")})


def _lpips_row(net):
  network, trunk, smallest_side = _LPIPS[net]
  return Spec(
      f"lpips-{net}", f"LPIPS 0.1 with {network}", kind="lpips", lower_is_better=True,
      values="0 and up", smallest_side=smallest_side, build=_lpips,
      options={"version": TEXT.by_default("0.1"), "lpips": BOOL.by_default("true"), **_WEIGHTS,
               **_DTYPE},
      weights=(trunk, f"lpips-{net}-v0.1"))


def _classical_rows():
  channels = {"channels": TEXT.by_default("rgb")}
  planes = {**channels, "crop": INTEGER.by_default("0")}
  row = functools.partial(Spec, kind="classical", build=_classical)
  return [
      row("mse", "mean squared error of pixels in [0, 1]", lower_is_better=True, values="0 to 1",
          smallest_side=1, options={}, aliases=("l2",)),
      row("psnr", "peak signal-to-noise ratio of pixels", lower_is_better=False,
          values="0 to 100 dB", smallest_side=1, options=planes),
      row("ssim", "structural similarity, Wang et al. 2004", lower_is_better=False,
          values="-1 to 1", smallest_side=11, options=planes),
      row("ms-ssim", "multi-scale structural similarity, Wang et al. 2003", lower_is_better=False,
          values="0 to 1", smallest_side=161,
          options={"scales": INTEGER.by_default("5"), **channels}),
      row("fsim", "feature similarity of luma, Zhang et al. 2011", lower_is_better=False,
          values="0 to 1", smallest_side=6, options={}),
      row("fsimc", "feature similarity with colour, Zhang et al. 2011", lower_is_better=False,
          values="0 to 1", smallest_side=6, options={}),
  ]


def _fixed_rows():
  row = functools.partial(Spec, kind="fixed features", lower_is_better=True, values="0 and up")
  return [
      row("kmeans-alexnet", "AlexNet with stacked k-means of image patches for kernels",
          smallest_side=_PUBLISHED_SIDES["alexnet"], build=_kmeans,
          options={"images": ARRAY.by_default("the demo photographs"), **_SEED, **_FEATURES}),
      row(f"{GAUSSIAN}NETWORK", "a network of `perceptual models` with Gaussian weights",
          smallest_side=None, build=_gaussian, options={**_SEED, **_FEATURES}),
  ]


def _published_row(entry):
  return Spec(
      entry.network, "features, torchvision's weights", kind="network", lower_is_better=True,
      values="0 and up", smallest_side=_PUBLISHED_SIDES[entry.network], build=_network,
      options={**_FEATURES, **_WEIGHTS}, weights=(entry.name,))


def _bundled(name, float_range, **given):
  from perceptual.metrics import bundled

  del name
  return bundled.metric(float_range=float_range, **given)


def _lpips(name, float_range, **given):
  from perceptual.metrics import lpips

  return lpips.lpips(name.removeprefix("lpips-"), float_range=float_range, **given)


def _classical(name, float_range, **given):
  from perceptual.metrics import classical

  return classical.build(name, float_range=float_range, **given)


def _gaussian(name, float_range, **given):
  from perceptual.metrics import fixed_features

  return fixed_features.gaussian(name.removeprefix(GAUSSIAN), float_range=float_range, **given)


def _kmeans(name, float_range, **given):
  from perceptual.metrics import fixed_features

  return fixed_features.kmeans(name.removeprefix("kmeans-"), float_range=float_range, **given)


def _network(name, float_range, *, weights=None, dtype="float32", **given):
  from perceptual.metrics import networks
  from perceptual.metrics.feature_metric import FeatureMetric
  from perceptual.models import preprocessing
  from perceptual.weights import store

  with networks.made_in(dtype):
    model = store.load(name, weights)
  return FeatureMetric(model, name=name, options={"num_classes": 0},
                       preprocess=preprocessing.Preprocessing(float_range=float_range), **given)
