"""2AFC scores of triplets and their limits, after Zhang et al. 2018; described in `scores`."""

import numpy as np

from perceptual import errors
from perceptual.evaluation import checks


def two_afc_score(distance_0, distance_1, judge, *, votes=None):
  """Returns the two-alternative forced choice score, the "perceptual score", in percent.

  The mean agreement with the raters; a constant distance scores exactly 50.

  Args:
    distance_0: [triplets] distances of candidate_0 to the reference.
    distance_1: [triplets] distances of candidate_1 to the reference.
    judge: [triplets] fractions preferring candidate_1.
    votes: [triplets] how many people judged each; the score is then the share of all votes that
      agree. None: every triplet counts the same, as in BAPPS.
  """
  agreement = two_afc_agreement(distance_0, distance_1, judge)
  return 100.0 * float(np.average(agreement, weights=_weights(votes, agreement)))


def two_afc_agreement(distance_0, distance_1, judge):
  """Returns the fraction of raters who agree with each choice, [triplets] float64 in [0, 1].

  Ties count one half, as in LPIPS. Arguments: `two_afc_score`.
  """
  distance_0, distance_1, judge = _triplets(distance_0, distance_1, judge)
  return np.select([distance_0 > distance_1, distance_1 > distance_0], [judge, 1 - judge], 0.5)


def human_ceiling(judge, *, votes=None):
  """Returns how often a rater agrees with another, in percent.

  Without votes it is E[p^2 + (1 - p)^2], as published for BAPPS. That lets a rater agree with
  himself too: with n votes it is too high by 2 p (1 - p) / n on average. With votes it is the
  share of agreement among pairs of different raters of a triplet, which has no such bias.

  Args:
    judge: [triplets] fractions preferring candidate_1.
    votes: [triplets] how many people judged each. Every vote counts the same; triplets of one vote
      tell nothing and are left out. None: see above.

  Raises:
    UserError: a fraction of the votes is not a whole number of them, or no triplet has two votes.
  """
  judge = checks.fractions("judge", judge)
  if votes is None:
    return 100.0 * float(np.mean(judge**2 + (1 - judge)**2))
  votes = _weights(votes, judge)
  for_1 = np.round(judge * votes)
  checks.check_each("judge times votes", judge * votes, np.abs(judge * votes - for_1) < 0.05,
                    "whole numbers")
  several = votes > 1
  if not several.any():
    raise errors.UserError("No triplet has two votes: raters cannot be compared.")
  for_0 = votes - for_1
  pairs_that_agree = for_0 * (for_0 - 1) + for_1 * (for_1 - 1)
  # A vote agrees with its n - 1 companions so often: weighed by votes, n / (n (n - 1)) remains.
  agreed = pairs_that_agree[several] / (votes[several] - 1)
  return 100.0 * float(np.sum(agreed) / np.sum(votes[several]))


def oracle(judge, *, votes=None):
  """Returns the highest 2AFC score there is, that of the majority, E[max(p, 1 - p)], in percent.

  It is what the votes at hand allow. With few votes chance makes majorities, so that no metric
  gets there.

  Args:
    judge: [triplets] fractions preferring candidate_1.
    votes: as in `two_afc_score`.
  """
  judge = checks.fractions("judge", judge)
  return 100.0 * float(np.average(np.maximum(judge, 1 - judge), weights=_weights(votes, judge)))


def distortion_sensitivity(distance_0, distance_1, judge):
  """Returns E[distance of the farther] - E[distance of the nearer], in the distance's own unit.

  Over the triplets whose raters are unanimous on which candidate is nearer. `UserError` if there
  are none. Arguments: `two_afc_score`.
  """
  distance_0, distance_1, judge = _triplets(distance_0, distance_1, judge)
  unanimous = (judge == 0) | (judge == 1)
  if not unanimous.any():
    raise errors.UserError("No judge is 0 or 1: distortion sensitivity needs unanimous triplets.")
  farther_minus_nearer = np.where(judge == 1, distance_0 - distance_1, distance_1 - distance_0)
  return float(np.mean(farther_minus_nearer[unanimous]))


def _triplets(distance_0, distance_1, judge):
  arrays = {"distance_0": checks.finite("distance_0", distance_0),
            "distance_1": checks.finite("distance_1", distance_1),
            "judge": checks.fractions("judge", judge)}
  checks.check_same_length(arrays)
  return arrays.values()


def _weights(votes, judge):
  votes = checks.votes("votes", votes)
  checks.check_same_length({"judge": judge, "votes": votes})
  return votes
