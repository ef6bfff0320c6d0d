"""LPIPS, exactly: the learned metric of Zhang et al., in Keras on any backend.

    from perceptual.metrics.lpips import lpips
    metric = lpips("alex")
    distance = metric(reference, candidate)  # [batch, height, width, 3] each -> [batch]

Zhang, Isola, Efros, Shechtman, Wang, "The Unreasonable Effectiveness of Deep Features as a
Perceptual Metric" (CVPR 2018), and their code, richzhang/PerceptualSimilarity (the lpips package).
"""

from perceptual import errors
from perceptual.metrics import networks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import linear_heads, preprocessing
from perceptual.weights import catalogue, store

NETS = tuple(catalogue.LPIPS_TRUNKS)
VERSIONS = catalogue.LPIPS_VERSIONS

# Version 0.1 shifts and scales images in [-1, 1] by (-.030, -.088, -.188) and (.458, .448, .450),
# which for images in [0, 1] is ImageNet's mean and standard deviation. Version 0.0 forgot to.
_NORMALISATION = {
    "0.1": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    "0.0": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)},
}


def lpips(net="alex", version="0.1", lpips=True, weights=None, *, float_range=(0.0, 1.0),
          dtype="float32"):
  """Returns an LPIPS metric with its published weights, converted before (see docs/lpips.md).

  The arguments are those of `lpips.LPIPS`. The images differ: they are `[batch, height, width, 3]`,
  uint8 or float in a declared range; the result is `[batch]`. `metric.per_tap(...)`, a dict in the
  order of the layers, stands for the lpips package's `retPerLayer=True`, and
  `metric.spatial_map(...)` for `spatial=True`.

  Args:
    net: the trunk: "alex" (AlexNet, what to use if in doubt), "vgg" (VGG-16) or "squeeze"
      (SqueezeNet 1.1).
    version: "0.1", or "0.0", whose networks saw images without ImageNet's normalisation.
    lpips: whether squared differences are weighted by the learned linear heads (`lin`); False for
      the plain sum over channels, the lpips package's "baseline".
    weights: the folder of the converted weights; None for `store.weights_dir()`.
    float_range: what the lowest and highest value of a float image mean, one of
      `preprocessing.FLOAT_RANGES`; the lpips package has (-1, 1).
    dtype: what the network computes in, one of `networks.DTYPES`.

  Returns:
    `FeatureMetric`. Images must be at least 31 pixels wide and high for "alex", 16 for "vgg" and 17
    for "squeeze".

  Raises:
    UserError: an unknown net, version, range or dtype, weights that are not there (the message says
      which files to get and how to convert them), or weights that are damaged or of something else.
  """
  if net not in catalogue.LPIPS_TRUNKS:
    raise errors.unknown("net of LPIPS", net, NETS)
  if version not in VERSIONS:
    raise errors.unknown("version of LPIPS", version, VERSIONS)
  if tuple(float_range) not in preprocessing.FLOAT_RANGES.values():
    raise errors.unknown("float range", float_range, preprocessing.FLOAT_RANGES.values())
  trunk = catalogue.LPIPS_TRUNKS[net]
  heads = catalogue.lpips_heads(net, version)
  needed = [trunk.network, heads] if lpips else [trunk.network]
  missing = [name for name in needed if not store.has(name, weights)]
  if missing:
    raise errors.UserError(store.how_to_get(missing, weights))
  with networks.made_in(dtype):
    model = store.load(trunk.network, weights)
  return FeatureMetric(
      model, name=f"lpips-{net}",
      options={"version": version, "lpips": lpips}, taps=list(trunk.channels), distance="local",
      channel_weights=(
          linear_heads.channel_weights(store.load(heads, weights)) if lpips else None),
      preprocess=preprocessing.Preprocessing(
          **_NORMALISATION[version], float_range=tuple(float_range)))
