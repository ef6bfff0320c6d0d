"""Where a run stops: multiples of intervals, steps that were named, and the last one."""

import pytest

from perceptual.training import settings, stops


@pytest.mark.parametrize(("given", "expected", "evaluated", "kept"), [
    ({"eval_interval": 4}, [4, 8, 10], [4, 8, 10], []),
    ({"eval_interval": 4, "checkpoint_interval": 3}, [3, 4, 6, 8, 9, 10], [4, 8, 10], []),
    ({"eval_interval": 100, "score_steps": (1, 7)}, [1, 7, 10], [1, 7, 10], []),
    ({"eval_interval": 5, "keep_checkpoints": (2, 5)}, [2, 5, 10], [5, 10], [2, 5]),
    ({"eval_interval": 5, "keep_checkpoints": "all"}, [5, 10], [5, 10], [5, 10]),
])
def test_the_stops_of_ten_steps(given, expected, evaluated, kept):
  found = stops.Stops(settings.Settings(**given), 10)
  steps, step = [], 0
  while step < 10:
    step = found.next(step)
    steps.append(step)
  assert steps == expected
  assert [step for step in steps if found.is_evaluated(step)] == evaluated
  assert [step for step in range(1, 11) if found.is_kept(step)] == kept
