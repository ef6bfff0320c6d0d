"""The classical metrics by name: MSE, PSNR, SSIM, MS-SSIM, FSIM and FSIMc.

They need no network and no weights, and are the baselines of Zhang et al. (CVPR 2018) and Kumar et
al. (TMLR 2022). `docs/classical.md` says which definition of each is taken.
"""

import inspect

from perceptual import errors
from perceptual.metrics.classical import feature, pixels, structural
from perceptual.metrics.classical.index import Index
from perceptual.metrics.classical.metric import ClassicalMetric
from perceptual.models import preprocessing

__all__ = ["METRICS", "ClassicalMetric", "Index", "build"]

METRICS = {
    "mse": pixels.mse,
    "psnr": pixels.psnr,
    "ssim": structural.ssim,
    "ms-ssim": structural.ms_ssim,
    "fsim": feature.fsim,
    "fsimc": feature.fsimc,
}


def build(name, *, float_range=(0.0, 1.0), **options):
  """Returns a `ClassicalMetric`.

  Args:
    name: a key of `METRICS`.
    float_range: what the lowest and highest value of a float image mean, one of
      `preprocessing.FLOAT_RANGES`. uint8 is always 0 to 255.
    **options: what the builder in `METRICS` takes, for instance `scales=3` for `ms-ssim`.

  Raises:
    UserError: an unknown name, range or option, or an illegal value of one.
  """
  if name not in METRICS:
    raise errors.unknown("classical metric", name, METRICS)
  if tuple(float_range) not in preprocessing.FLOAT_RANGES.values():
    raise errors.unknown("float range", float_range, preprocessing.FLOAT_RANGES.values())
  errors.require_options(name, options, inspect.signature(METRICS[name]).parameters)
  return ClassicalMetric(METRICS[name](**options), tuple(float_range))
