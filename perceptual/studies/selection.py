"""Which runs of a study: all, some by index, or one part of several equal parts."""

import re

from perceptual.errors import UserError


def select(runs, *, index=(), shard=None):
  """Returns the chosen runs, in the order of the study.

  Args:
    runs: all `definition.Run`s of a study.
    index: texts such as `3` or `10-19`; empty for all.
    shard: a text `k/n`: of n parts, which take the runs in turn, the k-th, from 0; None for all.

  Raises:
    UserError: if there is no such run or part, the part has no run, or both are given.
  """
  if index and shard is not None:
    raise UserError("Give --index or --shard, not both.")
  if index:
    wanted = {number for text in index for number in _numbers(text, len(runs))}
    return tuple(run for run in runs if run.index in wanted)
  if shard is None:
    return tuple(runs)
  match = re.fullmatch(r"(\d+)/(\d+)", shard)
  if not match or not int(match[1]) < int(match[2]):
    raise UserError(f"--shard must be k/n with k from 0 to n - 1, as 0/4, not {shard!r}.")
  part, parts = int(match[1]), int(match[2])
  found = tuple(run for run in runs if run.index % parts == part)
  if not found:
    raise UserError(f"--shard={shard} has no run: the study has {len(runs)}.")
  return found


def spans(numbers):
  """Returns rising numbers as text, `0-3,7`."""
  found = []
  for number in numbers:
    if found and number == found[-1][1] + 1:
      found[-1][1] = number
    else:
      found.append([number, number])
  return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in found)


def _numbers(text, count):
  match = re.fullmatch(r"(\d+)(?:-(\d+))?", text.strip())
  first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
  if not match or not first <= last < count:
    raise UserError(f"--index must be numbers from 0 to {count - 1}, as 3 or 10-19, "
                    f"not {text!r}.")
  return range(first, last + 1)
