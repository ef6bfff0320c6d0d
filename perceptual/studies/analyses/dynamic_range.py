"""The dynamic range of the perceptual score, by simulation (Kumar et al. 2022, v3).

Which candidate is nearer is taken from the majority of raters, p~ = 1[p > 0.5]. Its distance is
drawn from a normal about 0, the other's from one about 1, both truncated to [0, 1] and of one
width sigma. As sigma grows the score falls from the highest there is (published for BAPPS: about
80) to 50, that of chance.
"""

import numpy as np
from scipy import stats

from perceptual import errors
from perceptual.evaluation import scores


def dynamic_range(judge, sigmas, *, draws=20, seed=0, confidence=0.95):
  """Returns the perceptual score of simulated distances of each width.

  Args:
    judge: `[triplets]` fractions preferring candidate 1.
    sigmas: widths, above 0.
    draws: simulations of all triplets; the interval is over them.
    seed: of the draws.
    confidence: the share of simulated scores inside the interval.

  Returns:
    Rows of sigma, score (percent, the mean over draws), low, high.
  """
  errors.require_integer("draws", draws)
  judge = np.asarray(judge, "float64")
  generator = np.random.default_rng(seed)
  tail = (1 - confidence) / 2
  rows = []
  for sigma in sigmas:
    errors.require_number("sigma", sigma, above=0)
    simulated = [_simulated_score(judge, sigma, generator) for _ in range(draws)]
    low, high = np.quantile(simulated, [tail, 1 - tail])
    rows.append({"sigma": float(sigma), "score": float(np.mean(simulated)), "low": float(low),
                 "high": float(high)})
  return rows


def _simulated_score(judge, sigma, generator):
  near = stats.truncnorm.rvs(0, 1 / sigma, 0, sigma, size=len(judge), random_state=generator)
  # A normal about 1, truncated to [0, 1], is one about 0 seen from the other end.
  far = 1 - stats.truncnorm.rvs(0, 1 / sigma, 0, sigma, size=len(judge), random_state=generator)
  prefers_1 = judge > 0.5
  return scores.two_afc_score(np.where(prefers_1, far, near), np.where(prefers_1, near, far), judge)
