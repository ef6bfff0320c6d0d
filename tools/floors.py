"""Prints the oldest versions that setup.py allows, as constraints for pip: `NAME==FLOOR`.

    python tools/floors.py EXTRA ...     of the core and of these extras of the installed package
"""

import importlib.metadata
import re
import sys

_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)[^;]*>=(?P<floor>[\w.]+)[^;]*(; extra == [\"'](?P<extra>\w+)[\"'])?")


def floors(requirements, extras):
  """Returns constraints: `['numpy==2.0.2', ...]`.

  Args:
    requirements: lines of a package's metadata, as `numpy<3,>=2.0.2` or `jax>=0.4; extra == "jax"`.
    extras: the names of the extras that count, beside what belongs to none.
  """
  matches = filter(None, map(_REQUIREMENT.fullmatch, requirements))
  return [f"{match['name']}=={match['floor']}" for match in matches
          if match["extra"] in (None, *extras)]


if __name__ == "__main__":
  print(*floors(importlib.metadata.requires("perceptual"), sys.argv[1:]), sep="\n")
