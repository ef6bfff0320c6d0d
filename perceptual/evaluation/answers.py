"""The answers of a judged set without its images: all that scores are computed from."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Answers:
  """What people said of the examples of a judged set.

  Attributes:
    name: of the set, with its view if it has one: `materials at 64 pixels`.
    kind: `2afc`, `jnd` or `opinions`.
    note: who judged what; shown with every score on the set.
    higher_is_better: of `opinions`, whether a higher one is a better image; otherwise None.
    values: `[examples]` float64; see `PreparedJudgements.answers`.
    votes: `[examples]` whole numbers, or None.
    references: `[examples]` names; images of equal content have one.
    candidates: `[examples, candidates]` names.
    provenance: plain data.
  """

  name: str
  kind: str
  note: str
  higher_is_better: bool | None
  values: np.ndarray
  votes: np.ndarray | None
  references: np.ndarray
  candidates: np.ndarray
  provenance: dict

  @property
  def size(self):
    """The number of examples."""
    return len(self.values)


def of(judged, view=""):
  """Returns the `Answers` of a `data.judged.prepared.PreparedJudgements`.

  Args:
    judged: the set.
    view: the size at which its images were compared, in words; empty for their own.
  """
  names = np.array([image.name for image in judged.images])
  return Answers(
      name=f"{judged.name}{view and ' '}{view}", kind=judged.kind, note=judged.note,
      higher_is_better=judged.higher_is_better, values=judged.answers, votes=judged.votes,
      references=names[judged.references], candidates=names[judged.examples[:, 1:]],
      provenance=judged.provenance)
