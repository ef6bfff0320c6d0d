"""A study of three photographs, with its judgements as opinions, triplets or pairs."""

import pytest

from tests.data.judged import studies


@pytest.fixture
def photographs(tmp_path):
  """A folder with references r0.png to r2.png, and versions r0_0.png to r0_4.png, ever noisier."""
  folder = tmp_path / "study"
  for index in range(3):
    studies.save(folder / f"photos/r{index}.png", studies.reference(index))
    for level in range(5):
      studies.save(folder / f"photos/r{index}_{level}.png",
           studies.noisy(studies.reference(index), 4 + 8 * level, 10 * index + level))
  return folder


@pytest.fixture
def opinions(photographs):
  """The folder with opinions: 5 for the least noise, 1 for the most."""
  studies.write_csv(photographs / "scores.csv",
            [(f"photos/r{index}.png", f"photos/r{index}_{level}.png", 5 - level)
             for index in range(3) for level in range(5)], ("reference", "distorted", "score"))
  return photographs


@pytest.fixture
def triplets(photographs):
  """The folder with votes on triplets: three of four people prefer the lesser noise."""
  studies.write_csv(photographs / "triplets.csv",
            [(f"photos/r{index}.png", f"photos/r{index}_{a}.png", f"photos/r{index}_{b}.png",
              *((3, 1) if a < b else (1, 3)))
             for index in range(3) for a, b in ((0, 1), (2, 1), (3, 2), (3, 4), (4, 0))],
            ("reference", "a", "b", "votes_a", "votes_b"))
  return photographs


@pytest.fixture
def pairs(photographs):
  """The folder with same/different pairs: the noisier, the fewer take them for the same."""
  studies.write_csv(photographs / "pairs.csv",
            [(f"photos/r{index}.png", f"photos/r{index}_{level}.png", (4 - level) / 4)
             for index in range(3) for level in range(5)], ("reference", "distorted", "same"))
  return photographs
