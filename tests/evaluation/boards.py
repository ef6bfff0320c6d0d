"""Judged sets without images, for tests of leaderboards."""

import numpy as np

from perceptual.evaluation import answers, leaderboard

KINDS = ("2afc", "jnd", "opinions")


def made(kind, *, name="mine", size=60, references=6, votes=None):
  """Returns `Answers` of random answers."""
  rng = np.random.default_rng(len(kind))
  candidates = [["a", "b"], ["a"]][kind != "2afc"]
  return answers.Answers(
      name=name, kind=kind, note="made up by a test",
      higher_is_better=True if kind == "opinions" else None, values=rng.uniform(size=size),
      votes=None if votes is None else np.full(size, votes),
      references=np.array([f"r{example % references}" for example in range(size)]),
      candidates=np.array([[f"{c}{example}" for c in candidates] for example in range(size)]),
      provenance={"source": "nowhere"})


def right(judged):
  """Returns the distances `[examples, candidates]` of a metric that agrees with all people."""
  if judged.kind == "2afc":
    return np.stack([judged.values, 1 - judged.values], axis=1)
  return 1 - judged.values[:, None]


def board(kind, **options):
  """Returns a leaderboard of a right metric, a noisy one, a random one and a tap."""
  judged = made(kind, **options)
  rng = np.random.default_rng(1)
  distances = {"random": rng.uniform(size=judged.candidates.shape), "right": right(judged)}
  distances["noisy"] = distances["right"] + 0.3 * rng.normal(size=judged.candidates.shape)
  distances["noisy/tap"] = distances["random"]
  return leaderboard.score(judged, distances, ranked=("random", "right", "noisy"))
