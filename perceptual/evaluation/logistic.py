"""The monotone logistic of four parameters that maps distances to opinions before PLCC and RMSE.

    opinion = at_far + (at_near - at_far) / (1 + exp((distance - midpoint) / scale))

VQEG (FR-TV Phase I, 2000), ITU-T P.1401 and J.149. The one with five parameters (Sheikh et al.
2006) adds a linear term and need not be monotone.
"""

import dataclasses
import itertools

import numpy as np

from perceptual.common import packages
from perceptual.evaluation import checks

# Where the search begins, in units of the distances' spread.
_LOG_SCALES = np.log(np.geomspace(0.02, 20, 16))
_QUANTILES = np.linspace(0, 1, 17)


@dataclasses.dataclass(frozen=True)
class LogisticFit:
  """The fitted logistic; a call maps distances to opinions.

  Attributes:
    at_near: the opinion that it approaches at small distances.
    at_far: the opinion that it approaches at large distances.
    midpoint: the distance half way between.
    scale: above 0, the larger the flatter.
  """

  at_near: float
  at_far: float
  midpoint: float
  scale: float

  def __call__(self, distance):
    position = (np.asarray(distance, np.float64) - self.midpoint) / self.scale
    return self.at_far + (self.at_near - self.at_far) * _falling(position)


def fit(distance, opinion):
  """Returns the `LogisticFit` of least squares; distances may have any scale.

  For a given midpoint and scale the two other parameters are a linear problem, so that the search
  has two dimensions: a grid, then Nelder-Mead from its best places.

  Args:
    distance: [examples] finite, not constant.
    opinion: [examples] finite, not constant.

  Raises:
    UserError: one of the two is constant, they differ in length or are not finite; or SciPy is not
      installed.
  """
  packages.require("scipy", extra="report", purpose="The logistic fit of PLCC and RMSE")
  from scipy import optimize

  distance = checks.varying("distance", distance)
  opinion = checks.varying("opinion", opinion)
  checks.check_same_length({"distance": distance, "opinion": opinion})
  centre, spread = _spread(distance)
  position = (distance - centre) / spread

  def loss(parameters):
    return _linear_part(position, opinion, *_bounded(parameters))[0]

  midpoints = np.unique(np.concatenate([
      np.quantile(position, _QUANTILES), np.linspace(*np.quantile(position, [0.02, 0.98]), 9)]))
  starts = sorted((loss(start), *start) for start in itertools.product(midpoints, _LOG_SCALES))
  found = [optimize.minimize(loss, start[1:], method="Nelder-Mead",
                             options={"xatol": 1e-6, "fatol": 1e-12, "maxiter": 400})
           for start in starts[:3]]
  midpoint, scale = _bounded(min(found, key=lambda result: result.fun).x)
  _, at_far, step = _linear_part(position, opinion, midpoint, scale)
  return LogisticFit(at_near=float(at_far + step), at_far=float(at_far),
                     midpoint=float(centre + midpoint * spread), scale=float(scale * spread))


def _spread(distance):
  """The median and a spread above 0 that an outlier, as the PSNR of equal images, leaves alone."""
  low, centre, high = np.quantile(distance, [0.25, 0.5, 0.75])
  return centre, (high - low) or np.std(distance)


def _bounded(parameters):
  """(midpoint, scale): beyond these bounds the curve within the data is a line or a step."""
  return np.clip(parameters[0], -50, 50), np.exp(np.clip(parameters[1], -6, 5))


def _falling(position):
  """1 / (1 + exp(position)), without overflow."""
  return 0.5 - 0.5 * np.tanh(0.5 * position)


def _linear_part(position, opinion, midpoint, scale):
  """Returns the squared error, `at_far` and `at_near - at_far` that fit best."""
  curve = _falling((position - midpoint) / scale)
  curve_mean, opinion_mean = curve.mean(), opinion.mean()
  curve, opinion = curve - curve_mean, opinion - opinion_mean
  variance = curve @ curve
  step = (curve @ opinion) / variance if variance > 1e-24 else 0.0
  residual = opinion - step * curve
  return residual @ residual, opinion_mean - step * curve_mean, step
