"""Which runs are chosen: by index, by equal parts, or all."""

import itertools
import types

import pytest

from perceptual.errors import UserError
from perceptual.studies import selection

RUNS = [types.SimpleNamespace(index=index) for index in range(10)]


def _chosen(**options):
  return [run.index for run in selection.select(RUNS, **options)]


def test_indices_and_spans():
  assert _chosen(index=["3", "7-9", "8"]) == [3, 7, 8, 9]
  assert _chosen() == list(range(10))
  assert selection.spans([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def test_parts_are_equal_and_together_all():
  parts = [_chosen(shard=f"{k}/3") for k in range(3)]
  assert sorted(itertools.chain(*parts)) == list(range(10))
  assert [len(part) for part in parts] == [4, 3, 3]


@pytest.mark.parametrize("options", [
    {"index": ["10"]}, {"index": ["a"]}, {"index": ["5-3"]}, {"shard": "3/3"}, {"shard": "1"},
    {"shard": "0/0"}, {"shard": "10/11"}, {"index": ["1"], "shard": "0/2"}])
def test_what_is_not_there_is_refused(options):
  with pytest.raises(UserError, match=r"--index|--shard"):
    _chosen(**options)
