"""Makes the built-in metric from a run directory: its weights, its scores, its card's tables.

  python tools/make_bundled_metric.py --model_dir=runs/bundled --data_dir=data
      [--output_dir=perceptual/metrics/bundled]

`data_dir` holds the sets `graded` and `teacher`, prepared. Scored are triplets of photographs that
are in none of the triplets by which training chose the checkpoint. The scores go to scores.json,
and from there into MODEL_CARD.md, between its markers; without a card there, none is written.
"""

import argparse
import dataclasses
import json
import pathlib

import numpy as np
import tensorflow as tf

from perceptual.common import files, progress
from perceptual.data.judged import judged_sets
from perceptual.evaluation import scores
from perceptual.metrics import bundled, classical, feature_metric
from perceptual.training import model_dir

NAME = "perceptual-resnet6"
CHECKPOINT = "best_score"
SETS = ("graded", "teacher")
DISTANCE = "correlation"
BATCH = 100
OURS, FLOAT32 = "built-in", "built-in, before rounding to half precision"
RIVALS = ("L2", "SSIM")
DIVISIONS = ("family", "pair of families", "kinds of distortion", "closer family")  # in the card

BEGIN, END = "<!-- {}: written by tools/make_bundled_metric.py -->", "<!-- end -->"


@dataclasses.dataclass(frozen=True)
class Triplets:
  """Triplets of one subset in memory.

  Attributes:
    images: `reference`, `candidate_0`, `candidate_1`: uint8 `[triplets, height, width, 3]` each.
    judge: `[triplets]` fractions preferring candidate_1.
    groups: name of a finer division -> `[triplets]` names of parts.
    note: who judged.
  """

  images: dict[str, np.ndarray]
  judge: np.ndarray
  groups: dict[str, np.ndarray]
  note: str


def main(arguments=None):
  """Runs the program."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--model_dir", required=True)
  parser.add_argument("--data_dir", required=True)
  parser.add_argument("--output_dir", type=pathlib.Path, default=bundled.FOLDER)
  args = parser.parse_args(arguments)
  run = model_dir.ModelDir(args.model_dir).read_run()
  if run is None:
    parser.error(f"{args.model_dir} has no run.json: it is not a run directory")
  trained = pack(args.model_dir, run["images"], args.output_dir)
  metrics = {
      OURS: bundled.metric(folder=args.output_dir),
      "the same network, local distance": bundled.metric(
          folder=args.output_dir, distance="local"),
      "the same network, random init": feature_metric.random_init(trained),
      "L2": classical.build("mse"),
      "SSIM": classical.build("ssim"),
      FLOAT32: trained,
  }
  triplets = unseen(args.data_dir, run["score"])
  record = score(metrics, triplets)
  record["fingerprint"] = metrics[OURS].fingerprint
  files.write_text(args.output_dir / "scores.json", json.dumps(record, indent=1) + "\n")
  card = args.output_dir / "MODEL_CARD.md"
  if card.exists():
    files.write_text(card, with_tables(card.read_text("utf-8"), record))
  print(overall_table(record))


def pack(folder, images, output_dir):
  """Writes the weights of a run directory as package data; returns them unrounded as a metric.

  Args:
    folder: the run directory.
    images: what it was trained on, the `images` of its `run.json`.
    output_dir: where the package data go.
  """
  model, network, options, step = model_dir.load_network(folder, CHECKPOINT)
  bundled.write(output_dir, model, name=NAME, network=network, options=options, trained={
      "data": f"{images['name']}: {images['train']:,} images of {options['num_classes']:,} classes",
      "checkpoint": CHECKPOINT, "step": step})
  return feature_metric.FeatureMetric(model, name=network, options=options, distance=DISTANCE)


def unseen(data_dir, chosen_by):
  """Returns {set/subset: `Triplets`} without the photographs that chose the checkpoint.

  Args:
    data_dir: the folder of the prepared sets.
    chosen_by: the `score` of the run directory's `run.json`: name and number of those triplets.
  """
  used = judged_sets.load(chosen_by["judged_set"], data_dir=data_dir, limit=chosen_by["triplets"])
  seen = {example["reference"].tobytes()
          for subset in used.subsets for example in subset.images.as_numpy_iterator()}
  return {f"{judged_set.name}/{subset.name}": _without(seen, subset, judged_set.note)
          for judged_set in (judged_sets.load(name, data_dir=data_dir) for name in SETS)
          for subset in judged_set.subsets}


def _without(seen, subset, note):
  examples = list(subset.images.as_numpy_iterator())
  kept = np.array([example["reference"].tobytes() not in seen for example in examples])
  images = {key: np.stack([example[key] for example, keep in zip(examples, kept) if keep])
            for key in judged_sets.IMAGE_KEYS["2afc"]}
  return Triplets(images, subset.answers[kept],
                  {name: parts[kept] for name, parts in subset.groups.items()}, note)


def score(metrics, triplets):
  """Returns all scores as plain data: of every metric on every subset, and on each part of it."""
  distances = {
      name: {subset: _distances(scored, these, f"{name} on {subset}")
             for subset, these in triplets.items()}
      for name, scored in metrics.items()}
  return {
      "triplets": {subset: len(these.judge) for subset, these in triplets.items()},
      "notes": {subset: these.note for subset, these in triplets.items()},
      "scores": {name: _overall(found, triplets) for name, found in distances.items()},
      "parts": {subset: _parts({name: found[subset] for name, found in distances.items()}, these)
                for subset, these in triplets.items()},
      "half_precision": _rounding(distances[OURS], distances[FLOAT32]),
  }


def _distances(scored, triplets, description):
  """Returns `[2, triplets]`: the distances of both candidates, lower is better."""
  two_afc = tf.function(scored.two_afc, autograph=False)
  starts = range(0, len(triplets.judge), BATCH)
  found = []
  with progress.progress(starts, description=description, unit="batch") as batches:
    for start in batches:
      images = (triplets.images[key][start:start + BATCH] for key in judged_sets.IMAGE_KEYS["2afc"])
      found.append(np.stack(two_afc(*map(tf.constant, images))))
  return np.concatenate(found, axis=1)


def _overall(found, triplets):
  """Returns {subset: [2AFC, low, high]}, the last two the 95% bootstrap interval."""
  intervals = scores.bootstrap_two_afc({
      subset: scores.two_afc_agreement(*found[subset], these.judge)
      for subset, these in triplets.items()})
  return {subset: [scores.two_afc_score(*found[subset], these.judge),
                   *map(float, intervals[subset])]
          for subset, these in triplets.items()}


def _parts(found, triplets):
  """Returns {division: {part: {"triplets": number, metric: 2AFC}}}."""
  divisions = {}
  for division, parts in triplets.groups.items():
    divisions[division] = {}
    for part in np.unique(parts):
      inside = parts == part
      divisions[division][str(part)] = {"triplets": int(inside.sum())} | {
          name: scores.two_afc_score(*distances[:, inside], triplets.judge[inside])
          for name, distances in found.items()}
  return divisions


def _rounding(half, full):
  """Returns what half precision does to distances and to answers."""
  changes = [np.abs(half[subset] / full[subset] - 1) for subset in half]
  flipped = [_prefers_1(half[subset]) != _prefers_1(full[subset]) for subset in half]
  return {"largest_relative_change": float(max(change.max() for change in changes)),
          "mean_relative_change": float(np.mean(np.concatenate(changes, axis=None))),
          "answers_changed": int(np.sum(np.concatenate(flipped))),
          "answers": int(sum(len(each) for each in flipped))}


def _prefers_1(distances):
  return distances[1] < distances[0]


def with_tables(card, record):
  """Returns a card's text with the tables of `record` between its markers.

  Raises:
    ValueError: the card lacks a marker.
  """
  for name, text in {"overall": overall_table(record), "parts": parts_tables(record),
                     "half precision": rounding_sentence(record)}.items():
    head, begin, rest = card.partition(BEGIN.format(name))
    _, end, tail = rest.partition(END)
    if not end:
      raise ValueError(f"The card has no place for its part {name!r}.")
    card = f"{head}{begin}\n{text}\n{end}{tail}"
  return card


def overall_table(record):
  """Returns the table of all metrics on all sets, in Markdown."""
  subsets = list(record["triplets"])
  lines = [["2AFC in percent (95% interval)", *subsets]]
  for name, found in record["scores"].items():
    lines.append([name, *("{:.1f} ({:.1f}-{:.1f})".format(*found[subset]) for subset in subsets)])
  lines.append(["triplets", *(f"{record['triplets'][subset]:,}" for subset in subsets)])
  return _table(lines)


def parts_tables(record):
  """Returns the tables of `DIVISIONS`, in Markdown; an asterisk marks parts that a rival wins."""
  return "\n\n".join(
      _parts_table(f"{subset}, by {division}", divisions[division])
      for subset, divisions in record["parts"].items()
      for division in DIVISIONS if division in divisions)


def _parts_table(title, parts):
  lines = [[title, OURS, *RIVALS, "triplets"]]
  for part, found in parts.items():
    lost = found[OURS] < max(found[rival] for rival in RIVALS)
    cells = [f"{found[name]:.1f}" for name in (OURS, *RIVALS)]
    lines.append([f"{part}{' *' if lost else ''}", *cells, f"{found['triplets']:,}"])
  return _table(lines)


def rounding_sentence(record):
  """Returns in words what half precision does."""
  found = record["half_precision"]
  return (f"Half precision changes a distance by {100 * found['mean_relative_change']:.3f}% on "
          f"average and by {100 * found['largest_relative_change']:.2f}% at most, and "
          f"{found['answers_changed']:,} of {found['answers']:,} answers.")


def _table(lines):
  head, *body = [f"| {' | '.join(line)} |" for line in lines]
  return "\n".join([head, f"|---{'|---:' * (len(lines[0]) - 1)}|", *body])


if __name__ == "__main__":
  main()
