"""Whether the answers of a judged set look reversed, as far as plain arithmetic can tell.

The name of a column is not to be trusted: "dmos" may be higher for better (KADID-10k), and `p` may
be the share for the other candidate. The squared error of pixels orders images badly, but a whole
set hardly ever the wrong way round.
"""

import numpy as np

# The most references that are examined, and the most examples of each, spread evenly.
REFERENCES = 40
EXAMPLES = 12

# The answers look reversed where they correlate with the pixels below the first, and so many
# standard errors below zero.
_CORRELATION = -0.15
_STANDARD_ERRORS = 3.0

_REMEDY = {"opinions": "the other --direction", "2afc": "the share of the other candidate",
           "jnd": "the share of people who saw a difference"}


def doubt(judged, itself=()):
  """Returns why the answers of a set look reversed, a sentence and a question, or an empty string.

  Args:
    judged: a `prepared.PreparedJudgements`.
    itself: opinions of references compared with themselves, which should be the best.
  """
  reason = _of_itself(judged, itself) or _of_pixels(judged)
  return (f"judged/{judged.name} looks reversed: {reason}. Is it {_REMEDY[judged.kind]}?"
          if reason else "")


def _of_itself(judged, itself):
  if judged.kind != "opinions" or not itself:
    return ""
  best, typical = np.mean([row.answer for row in itself]), np.mean(judged.answers)
  worse = best < typical if judged.higher_is_better else best > typical
  return (f"references compared with themselves have {best:g} in the mean, other images "
          f"{typical:g}") if worse else ""


def _of_pixels(judged):
  """Why the pixels speak against the answers, or an empty string."""
  sample = _sample(judged)
  errors = _squared_errors(judged, sample)
  answers = judged.answers[sample]
  if judged.kind == "2afc":
    agreement = np.sign(errors[:, 0] - errors[:, 1]) * (2 * answers - 1)
    reason = "people preferred the candidate of the larger squared error"
  else:
    better = answers if judged.kind == "jnd" or judged.higher_is_better else -answers
    # Pictures differ in how much error they hide: opinions are compared within references.
    group = judged.references[sample] if judged.kind == "opinions" else np.zeros(len(sample), int)
    agreement = _ranks(better, group) * _ranks(-errors[:, 0], group)
    reason = "images of larger squared error have the better answers"
  correlation = np.mean(agreement)
  error = np.std(agreement) / np.sqrt(len(agreement))
  reversed_ = correlation < min(_CORRELATION, -_STANDARD_ERRORS * error)
  return f"{reason} (correlation {correlation:.2f}, {len(sample)} examples)" if reversed_ else ""


def _sample(judged):
  """Indices of examples, those of one reference together."""
  references = np.unique(judged.references)
  chosen = references[_spread(len(references), REFERENCES)]
  most = EXAMPLES * max(1, REFERENCES // len(chosen))
  groups = (np.flatnonzero(judged.references == reference) for reference in chosen)
  return np.concatenate([group[_spread(len(group), most)] for group in groups])


def _spread(count, limit):
  return np.unique(np.linspace(0, count - 1, min(count, limit)).round().astype(int))


def _squared_errors(judged, sample):
  """`[sample, candidates]` mean squared errors of pixels to the reference."""
  found, last, pixels = [], None, None
  for reference, *candidates in judged.examples[sample].tolist():
    if reference != last:
      last, pixels = reference, judged.image(reference).astype(np.float32)
    found.append([np.mean((judged.image(candidate) - pixels) ** 2) for candidate in candidates])
  return np.array(found)


def _ranks(values, group):
  """Ranks within each group, of mean 0 and, all together, of variance 1 (0 if all are equal)."""
  ranks = np.zeros(len(values))
  for name in np.unique(group):
    members = group == name
    within = np.unique(values[members], return_inverse=True)[1].astype(float)
    ranks[members] = within - within.mean()
  return ranks / (np.std(ranks) or 1.0)
