"""Evaluations are kept apart: a folder that holds one is written to by the same one alone.

The same are those of one set in one view, of the same answers, by metrics of the same fingerprints.
"""

import json

from perceptual.errors import UserError
from perceptual.evaluation import distance_files, results

BOARD = "leaderboard.json"  # of several sets
_OF_A_COPY = ("source", "prepared", "sha256")  # provenance that differs though the set is the same


def require_one(folder, judged, *, columns=None, fingerprints=None, sha256=None):
  """Requires that a folder is free for an evaluation on one set, or holds this very one.

  Args:
    folder: its output folder; need not be there.
    judged: the `answers.Answers`.
    columns: names of the columns of distances; None where they are not known yet.
    fingerprints: `{metric: plain data}`; the same.
    sha256: of `distances.csv`; the same.

  Raises:
    UserError: it holds something else, or cannot be written.
  """
  folder = results.require_folder(folder)
  if (folder / BOARD).exists():
    refuse(folder, _board(folder))
  if not (folder / distance_files.SCORES).exists():
    path = folder / distance_files.DISTANCES
    if sha256 is not None and path.exists() and distance_files.sha256_of(path) != sha256:
      refuse(folder, f"a {path.name} of something else")
    return
  about = _about(folder)
  try:
    title, found = f"judged/{about['judged_set']}", list(next(iter(about["scores"].values())))
    scored = f"the scores of {title} by {', '.join(found)}"
    recorded = about.get("distances", {"examples": judged.size, "sha256": sha256})
    if about["judged_set"] != judged.name or (columns and set(found) != set(columns)):
      refuse(folder, scored)
    if (_content(about["provenance"]) != _content(judged.provenance)
        or (about["kind"], about["higher_is_better"]) != (judged.kind, judged.higher_is_better)
        or recorded["examples"] != judged.size):
      refuse(folder, f"{scored}, of another version of the set")
    if fingerprints is not None and about["fingerprints"] != _plain(fingerprints):
      refuse(folder, f"{scored}, of other weights, settings or versions")
    if sha256 is not None and recorded["sha256"] != sha256:
      refuse(folder, f"{scored}, of other distances")
  except (KeyError, TypeError, AttributeError, StopIteration):
    refuse(folder, f"a {distance_files.SCORES} of something else")


def require_several(folder, titles, *, metrics=None):
  """Requires that a folder is free for a leaderboard of several sets, or holds this very one.

  Args:
    folder: its output folder; need not be there.
    titles: names of the sets.
    metrics: the metrics; None where they are not known yet.

  Raises:
    UserError: it holds something else, or cannot be written.
  """
  folder = results.require_folder(folder)
  if (folder / distance_files.SCORES).exists():
    found = _about(folder)
    refuse(folder, f"the scores of judged/{found['judged_set']} alone" if "judged_set" in found
           else f"a {distance_files.SCORES} of something else")
  if (folder / distance_files.DISTANCES).exists():
    refuse(folder, f"a {distance_files.DISTANCES} of one set")
  if not (folder / BOARD).exists():
    return
  found, scored = titles_of(folder)
  if set(found) != set(titles) or (metrics is not None and set(scored) != set(metrics)):
    refuse(folder, _board(folder))


def titles_of(folder):
  """Returns the sets and the metrics of the leaderboard of several sets in a folder.

  Raises:
    UserError: `leaderboard.json` cannot be read, or is something else.
  """
  found = distance_files.read_json(folder / BOARD)
  try:
    return list(dict.fromkeys(row["set"] for row in found["scores"] if row["score"])), list(
        found["ranking"])
  except (KeyError, TypeError):
    raise UserError(f"{folder / BOARD} is not as perceptual evaluate writes it for several judged "
                    "sets.") from None


def refuse(folder, held):
  """Raises the `UserError` of a folder that holds something else."""
  raise UserError(f"{folder} holds {held}: choose another --output_dir.")


def _board(folder):
  titles, metrics = titles_of(folder)
  return (f"the scores of {', '.join(f'judged/{title}' for title in titles)} by "
          f"{', '.join(metrics)}")


def _about(folder):
  return distance_files.read_json(folder / distance_files.SCORES)


def _content(provenance):
  return {name: value for name, value in _plain(provenance).items() if name not in _OF_A_COPY}


def _plain(data):
  """Returns data as it comes back from JSON."""
  return json.loads(json.dumps(data))
