"""The study's training in JAX, for a GPU machine without TensorFlow: the same recipe, another step.

    python -m tools.examples.jax_training --gin_file=tools/examples/jax_training.gin \\
        --source=tiny-imagenet-100.tar.xz --data_dir=data --output_dir=runs/jax --seeds=0,1

`perceptual train` is the trainer of this package; it saves, resumes, distributes and checks what
this example does not. What is shown here is that networks, preprocessing, optimizers, rates,
distances and scores are Keras's alone, so that a training loop of one's own takes them as they are.
From the same gin files it takes network and recipe, and trains on the images of a folder or archive
of classes, all of them in the device's memory. Random numbers are JAX's, so that a run is not the
run of `perceptual train`, but one like it.

Needs JAX, gin-config and what `prepare` has prepared: the judged sets that `judged.name` names.
The step of a run's best score is chosen by `judged.limit` triplets of each set; what is lost from
there to the end is measured on the others, and by people on each --judged_set.

    OUTPUT_DIR/seed_0/scores.csv   as of `perceptual train`: every score at every tap
    OUTPUT_DIR/seed_0/metrics.csv  losses, accuracies, rate, images a second
    OUTPUT_DIR/seed_0/best_score.weights.h5, last.weights.h5
    OUTPUT_DIR/peak_to_last.csv    what is lost from the best score to the end, over seeds
    OUTPUT_DIR/people.csv          the same of each --judged_set, seed by seed
"""

import argparse
import dataclasses
import os
import pathlib
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import keras
import numpy as np
from jax import numpy as jnp

from perceptual import errors, models
from perceptual.common import files, in_order, precision, text_table
from perceptual.comparison import judged_pairs
from perceptual.data.judged import judged_sets, prepared
from perceptual.data.labelled import labelled_sources
from perceptual.evaluation import (
  answers,
  judged_pass,
  leaderboard,
  measures,
  own_sets,
  paired,
  several_sets,
  two_afc,
)
from perceptual.experiments import config
from perceptual.metrics import networks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models.preprocessing import IMAGENET
from perceptual.studies.analyses import resampling
from perceptual.training import regularization, settings, step_scores

_BATCH = 250  # images or triplets of an evaluation
_METRICS = ("step", "epoch", "learning_rate", "loss", "accuracy", "validation_accuracy", "score",
            "images_per_second")


@dataclasses.dataclass(frozen=True)
class Photographs:
  """Images of classes in memory: `{split: [images, height, width, 3] uint8}`, and labels."""

  images: dict
  labels: dict
  num_classes: int


@dataclasses.dataclass(frozen=True)
class Triplets:
  """A judged set in memory: its images, `[triplets, 3, height, width, 3]` uint8, by subset.

  Attributes:
    judged: `judged_sets.JudgedSet`, whole.
    limit: how many triplets of each subset choose the best step; the others have no part in that.
    images: `{subset: [triplets, 3, height, width, 3] uint8}`, the reference first.
  """

  judged: judged_sets.JudgedSet
  limit: int
  images: dict

  def first(self, found):
    """Returns the set of the triplets that choose, and their distances."""
    subsets = tuple(dataclasses.replace(s, answers=s.answers[:self.limit], groups={})
                    for s in self.judged.subsets)
    return dataclasses.replace(self.judged, subsets=subsets), {
        name: dataclasses.replace(d, values=d.values[:self.limit]) for name, d in found.items()}

  def unseen_agreement(self, found):
    """Returns `{subset: [triplets, columns]}`: agreement with the judge of the other triplets."""
    result = {}
    for subset in self.judged.subsets:
      values = found[subset.name].values[self.limit:].reshape(-1, 2, len(columns_of(found)))
      result[subset.name] = np.stack([
          two_afc.two_afc_agreement(values[:, 0, i], values[:, 1, i], subset.answers[self.limit:])
          for i in range(values.shape[-1])], axis=1)
    return result


def read_photographs(source):
  """Reads a folder or archive of classes, as `perceptual prepare imagenet64` takes it."""
  found = labelled_sources.FolderSource(source)
  images, labels = {}, {}
  read = in_order.map_in_order(lambda each: (each, each.read()[0]), found.examples())
  for number, (example, pixels) in enumerate(read, start=1):
    images.setdefault(example.split, []).append(pixels)
    labels.setdefault(example.split, []).append(example.label)
    if not number % 10_000:
      print(f"{number:,} photographs read", flush=True)
  if set(images) != {"train", "validation"}:
    raise errors.UserError(f"{source} has no images to train with, or none to validate with.")
  try:
    stacked = {split: np.stack(each) for split, each in images.items()}
  except ValueError:
    raise errors.UserError(f"{source}: images of several sizes; this example takes one.") from None
  return Photographs(stacked, {split: np.array(each) for split, each in labels.items()},
                     len(found.label_names))


def read_triplets(data_dir):
  """Reads the judged sets that the configuration names."""
  names, image_size, limit = config.judged()
  result = []
  for name in names:
    judged = judged_sets.load(name, data_dir=data_dir, image_size=image_size)
    smallest = min(subset.size for subset in judged.subsets)
    if limit is None or limit >= smallest:
      raise errors.UserError(f"judged.limit must be below {smallest}, the triplets of {name}: what "
                             "is lost from the best step to the last is measured on the others.")
    result.append(Triplets(judged, limit, {
        subset.name: np.stack([np.stack([example[key] for key in judged_sets.IMAGE_KEYS["2afc"]])
                               for example in subset.images]) for subset in judged.subsets}))
  return result


class Run:
  """A network in training: its state on the device, and the compiled functions of it."""

  def __init__(self, network, recipe, photographs):
    """Builds the network; `start` comes next.

    Args:
      network: (name, options), as of the configuration.
      recipe: `settings.Settings`.
      photographs: `Photographs`.
    """
    self._name, options = network
    self._options = {**options, "num_classes": photographs.num_classes}
    self._recipe = recipe
    self.model = self._built(settings.PRECISIONS[recipe.precision])
    # Evaluated in float32 whatever it trains in; it has the same weights in the same order.
    self.evaluated = self._built("float32")
    self.metric = FeatureMetric(self.evaluated, name=self._name, options=self._options)
    self.steps_per_epoch = len(photographs.labels["train"]) // recipe.batch_size
    if not self.steps_per_epoch:
      raise errors.UserError(f"train.batch_size {recipe.batch_size} is more than the "
                             f"{len(photographs.labels['train'])} images to train with.")
    self.steps = recipe.train_steps or round(recipe.epochs * self.steps_per_epoch)
    self._optimizer = recipe.optimizer.keras(
        recipe.batch_size, self.steps_per_epoch, self.steps)
    self._optimizer.build(self.model.trainable_variables)
    self._images = {split: jnp.asarray(each) for split, each in photographs.images.items()}
    self._labels = {split: jnp.asarray(each) for split, each in photographs.labels.items()}
    self._step = jax.jit(self._compiled_step, donate_argnums=0)
    self._logits = jax.jit(self._compiled_logits)
    self._of_features = measures.OfFeatures(self.metric, recipe.score_distances)
    self._distances = jax.jit(self._compiled_distances)

  def _built(self, policy):
    with networks.made_in(policy):
      return models.build(self._name, **self._options)

  def start(self, seed):
    """Draws the weights that training begins with."""
    self._seed = seed
    keras.utils.set_random_seed(seed)
    fresh = self._built(settings.PRECISIONS[self._recipe.precision])
    # Copies, since a step gives away what it is given, and the optimizer is used again.
    self._state = tuple([jnp.copy(v.value) for v in variables] for variables in (
        fresh.trainable_variables, fresh.non_trainable_variables, self._optimizer.variables))

  def train(self, first, last):
    """Takes the steps after `first` up to `last`; returns mean loss, accuracy, images a second."""
    start = time.perf_counter()
    sums = []
    for step in range(first, last):
      epoch, place = divmod(step, self.steps_per_epoch)
      if place == 0 or step == first:
        order = np.random.default_rng([self._seed, epoch]).permutation(
            len(self._labels["train"])).astype(np.int32)
      batch = order[place * self._recipe.batch_size:(place + 1) * self._recipe.batch_size]
      self._state, found = self._step(
          self._state, self._images["train"], self._labels["train"], batch,
          np.array([self._seed, step], np.uint32))
      sums.append(found)
    loss, accuracy = np.mean(jax.device_get(sums), axis=0)
    seconds = time.perf_counter() - start
    return float(loss), float(100 * accuracy), (last - first) * self._recipe.batch_size / seconds

  def validation_accuracy(self):
    """Returns the share of right answers on the validation images, in percent."""
    right = [self._logits(self._weights(), images).argmax(-1) == labels for images, labels in zip(
        _batches(self._images["validation"]), _batches(self._labels["validation"]))]
    return 100 * float(np.concatenate(right)[:len(self._labels["validation"])].mean())

  def distances(self, triplets):
    """Returns `{subset: judged_pass.Distances}` of `Triplets`."""
    result = {}
    for name, images in triplets.images.items():
      values = np.concatenate([self._distances(self._weights(), batch)
                               for batch in _batches(images)])[:len(images)].astype(np.float64)
      if not np.isfinite(values).all():
        raise errors.UserError("A distance is not finite: did training diverge?")
      values = np.concatenate([values, values.sum(axis=-1, keepdims=True)], axis=-1)
      result[name] = judged_pass.Distances(
          self._of_features.distances, (*self.metric.taps, judged_pass.SUM), values)
    return result

  def weights(self):
    """Returns the weights as they are, for `give`."""
    return [np.asarray(value) for value in self._weights()]

  def give(self, weights):
    """Gives weights to the network that is evaluated, and saved."""
    self.evaluated.set_weights(weights)

  def learning_rate(self):
    """Returns the rate of the last step."""
    schedule = self._recipe.optimizer.schedule.keras(
        self._recipe.batch_size, self.steps_per_epoch, self.steps)
    return float(schedule(max(0, int(self._state[2][0]) - 1)))

  def _weights(self):
    """The values of `model.weights`: trainable ones and others as they come in the layers."""
    trainable, fixed, _ = self._state
    by_variable = dict(zip(map(id, self.model.trainable_variables), trainable)) | dict(
        zip(map(id, self.model.non_trainable_variables), fixed))
    return [by_variable[id(variable)] for variable in self.model.weights]

  def _compiled_step(self, state, images, labels, places, key):
    """A step: augmentation, forward, cross entropy and L2, backward, the optimizer's update."""
    trainable, fixed, slots = state
    recipe = self._recipe
    batch = augmented(images[places], key, recipe.augmentation)
    answers = labels[places]

    def loss_of(trainable):
      outputs, new_fixed = self.model.stateless_call(
          trainable, fixed, IMAGENET(batch), training=True)
      logits = outputs["logits"]
      target = jax.nn.one_hot(answers, logits.shape[-1])
      losses = keras.losses.categorical_crossentropy(
          target, logits, from_logits=True, label_smoothing=recipe.label_smoothing)
      with keras.StatelessScope(list(zip(self.model.trainable_variables, trainable))):
        decay = recipe.weight_decay * regularization.l2_loss(self.model.trainable_variables)
      return losses.mean() + decay, (new_fixed, (logits.argmax(-1) == answers).mean())

    (loss, (fixed, accuracy)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable)
    trainable, slots = self._optimizer.stateless_apply(slots, gradients, trainable)
    return (trainable, fixed, slots), jnp.stack([loss, accuracy])

  def _compiled_logits(self, weights, images):
    with keras.StatelessScope(list(zip(self.evaluated.weights, weights))):
      return self.evaluated(IMAGENET(images), training=False)["logits"]

  def _compiled_distances(self, weights, triplets):
    with precision.full_float32(), keras.StatelessScope(
        list(zip(self.evaluated.weights, weights))):
      return self._of_features([triplets[:, i] for i in range(3)])


def augmented(images, key, augmentation):
  """Returns images as the recipe varies them: black borders, a random crop, a random flip."""
  crop_key, flip_key = jax.random.split(jax.random.wrap_key_data(key, impl="threefry2x32"))
  count, height, width, _ = images.shape
  if augmentation.crop == "pad":
    border = augmentation.padding
    images = jnp.pad(images, [(0, 0), (border, border), (border, border), (0, 0)])
    corners = jax.random.randint(crop_key, [count, 2], 0, 2 * border + 1)
    images = jax.vmap(lambda image, corner: jax.lax.dynamic_slice(
        image, (corner[0], corner[1], 0), (height, width, 3)))(images, corners)
  if augmentation.flip:
    flipped = jax.random.bernoulli(flip_key, shape=[count, 1, 1, 1])
    images = jnp.where(flipped, images[:, :, ::-1], images)
  return images


def train(run, recipe, all_triplets, folder):
  """Trains and scores a network; returns the unseen agreement at its best step and at its last.

  Returns:
    `{"chosen": ..., "last": ...}`, of each (step, weights, `{subset: [triplets, columns]}`), and
    the (distance, tap) of the columns.
  """
  steps = sorted({0, run.steps, *(step for step in recipe.score_steps if step < run.steps),
                  *range(recipe.eval_interval, run.steps, recipe.eval_interval)})
  rows, records, best, before = [], [], None, 0
  for step in steps:
    loss, accuracy, speed = run.train(before, step) if step else (np.nan, np.nan, np.nan)
    before = step
    found = [run.distances(triplets) for triplets in all_triplets]
    for triplets, distances in zip(all_triplets, found):
      rows += step_scores.rows(step, *triplets.first(distances))
    score = headline(rows, step, all_triplets[0].judged.name, recipe)
    state = (step, run.weights(), all_triplets[0].unseen_agreement(found[0]))
    if step and (best is None or score > best[0]):
      best = (score, state)
    record = dict(zip(_METRICS, (
        step, step / run.steps_per_epoch, run.learning_rate(), loss, accuracy,
        run.validation_accuracy(), score, speed)))
    records.append(record)
    print("  ".join(f"{name} {value:.4g}" for name, value in record.items()), flush=True)
    files.write_csv(folder / "metrics.csv", _METRICS, [list(r.values()) for r in records])
    files.write_csv(folder / "scores.csv", step_scores.COLUMNS, rows)
  result = {"chosen": best[1], "last": state}
  for name, (_, weights, _) in result.items():
    run.give(weights)
    run.evaluated.save_weights(folder / f"{'best_score' if name == 'chosen' else name}.weights.h5")
  return result, columns_of(found[0])


def headline(rows, step, judged_set, recipe):
  """The score by which the best step is chosen, of the rows of `scores.csv`."""
  place = {name: i for i, name in enumerate(step_scores.COLUMNS)}
  wanted = {"step": str(step), "judged_set": judged_set, "tap": judged_pass.SUM,
            "subset": recipe.score_subset or "mean", "distance": recipe.score_by}
  return next(float(row[place["score"]]) for row in rows
              if all(row[place[name]] == value for name, value in wanted.items()))


def columns_of(found):
  """Returns the (distance, tap) of each column of distances."""
  first = next(iter(found.values()))
  return [(distance, tap) for distance in first.distances for tap in first.taps]


def peak_to_last(results, columns):
  """Returns rows of what is lost from the chosen step to the last, with 95% intervals.

  Over seeds and triplets, both networks being scored on the triplets that are drawn; the mean over
  subsets, all of triplets that did not choose.
  """
  chosen, last = ({subset: 100 * np.stack([result[name][2][subset] for result in results])
                   for subset in results[0][name][2]} for name in ("chosen", "last"))
  drawn = np.mean([resampling.resampled_means(last[subset] - chosen[subset], stream=subset)
                   for subset in chosen], axis=0)
  low, high = resampling.interval(drawn)
  peak, end = (np.mean([values.mean(axis=(0, 1)) for values in each.values()], axis=0)
               for each in (chosen, last))
  return [{"distance": distance, "tap": tap, "seeds": len(results), "peak": peak[i],
           "last": end[i], "last_less_peak": end[i] - peak[i], "low": low[i], "high": high[i]}
          for i, (distance, tap) in enumerate(columns)]


def by_people(judged_pairs_of, recipe, run, result, seed):
  """Returns rows of the scores of the chosen network and the last on people's judgements.

  Args:
    judged_pairs_of: `{title: (answers.Answers, judged_pairs.JudgedPairs)}`.
    recipe: `settings.Settings`.
    run: `Run`.
    result: what `train` returned of it.
    seed: its seed.
  """
  rows = []
  for title, (judged, pairs) in judged_pairs_of.items():
    found = {}
    for name, (_, weights, _) in result.items():
      run.give(weights)
      metric = run.metric.with_tap_distances(run.metric.at_taps(recipe.score_by))
      found |= pairs.measure({name: metric}, per_tap=True)
    by_column = leaderboard.score(judged, found).scores[several_sets.COLUMN[judged.kind]]
    for tap in ("", *(f"/{tap}" for tap in run.metric.taps)):
      last, chosen = by_column[f"last{tap}"], by_column[f"chosen{tap}"]
      difference = paired.paired_difference(last, chosen)
      rows.append({"judged_set": title, "seed": seed, "distance": recipe.score_by,
                   "tap": tap.removeprefix("/") or judged_pass.SUM, "peak": chosen.value,
                   "last": last.value, "last_less_peak": difference.value,
                   "low": difference.low, "high": difference.high})
  return rows


def read_people(datasets, data_dir):
  """Returns `{title: (answers.Answers, judged_pairs.JudgedPairs)}` of sets as `judged/mine`."""
  result = {}
  for dataset in datasets:
    name, view = own_sets.viewed(dataset)
    judged = prepared.load_judged(name, data_dir)
    result[own_sets.title(dataset)] = (
        answers.of(judged, str(view)), judged_pairs.JudgedPairs(judged, view))
  return result


def _batches(array):
  """Yields batches of one size; the last one is filled up with its last example."""
  for start in range(0, len(array), _BATCH):
    batch = array[start:start + _BATCH]
    room = min(_BATCH, len(array)) - len(batch)
    yield batch if not room else np.concatenate([batch, np.repeat(batch[-1:], room, axis=0)])


def _require_supported(recipe):
  augmentation = recipe.augmentation
  if augmentation.crop not in ("pad", "none") or augmentation.policy or augmentation.noise:
    raise errors.UserError("This example crops by 'pad' or 'none', and has no policy and no noise.")
  if recipe.ema_decay is not None or recipe.clip_norm is not None:
    raise errors.UserError("This example has neither train.ema_decay nor train.clip_norm.")


def _print_and_write(path, rows):
  """Prints rows, dicts of the same keys, as a table, and writes them."""
  head = list(rows[0])
  files.write_csv(path, head, [list(row.values()) for row in rows])
  print(text_table.aligned([head, *(
      [f"{value:.2f}" if isinstance(value, float) else str(value) for value in row.values()]
      for row in rows)]), flush=True)


def main():
  """Trains the seeds one after the other, and prints what is lost from the best to the last."""
  options = _options()
  config.parse(options.gin_file, options.gin_param)
  network, recipe = config.network(), config.train_settings()
  _require_supported(recipe)
  output_dir = pathlib.Path(options.output_dir)
  if output_dir.exists():
    raise errors.UserError(f"{output_dir} is there: this example neither resumes nor overwrites.")
  all_triplets = read_triplets(options.data_dir)
  people = read_people(options.judged_set, options.data_dir)
  photographs = read_photographs(options.source)
  run = Run(network, recipe, photographs)  # compiled once for all seeds
  results, rows = [], []
  for seed in options.seeds:
    folder = output_dir / f"seed_{seed}"
    folder.mkdir(parents=True)
    print(f"{network[0]}, seed {seed}, on {jax.devices()[0].device_kind}", flush=True)
    run.start(seed)
    result, columns = train(run, recipe, all_triplets, folder)
    results.append(result)
    # After every seed, so that what was measured is there if a later one fails.
    _print_and_write(output_dir / "peak_to_last.csv", peak_to_last(results, columns))
    rows += by_people(people, recipe, run, result, seed)
    if rows:
      _print_and_write(output_dir / "people.csv", rows)


def _seeds(text):
  try:
    return [int(seed) for seed in text.split(",")]
  except ValueError as error:
    raise argparse.ArgumentTypeError(f"whole numbers, as 0,1, not {text!r}") from error


def _options():
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--gin_file", action="append", required=True, help="as of perceptual train")
  parser.add_argument("--gin_param", action="append", default=[], help="as of perceptual train")
  parser.add_argument("--source", required=True, help="folder or archive of images by class")
  parser.add_argument("--data_dir", help="the folder of prepared judged sets")
  parser.add_argument("--output_dir", required=True, help="to make; must not exist")
  parser.add_argument("--judged_set", action="append", default=[],
                      help="judged/NAME: scored by the best weights and the last")
  parser.add_argument(
      "--seeds", type=_seeds, default=[0], help="with commas between them (default: 0)")
  return parser.parse_args()


if __name__ == "__main__":
  try:
    main()
  except errors.UserError as error:
    sys.exit(f"error: {error}")
