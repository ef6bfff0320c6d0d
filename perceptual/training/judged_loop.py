"""The part of a training run that is scored on judged sets: scores, intervals, best weights.

Kumar et al. find that the best perceptual score comes long before the best accuracy, so networks
are scored as they train.
"""

from perceptual import errors
from perceptual.common import progress
from perceptual.errors import UserError
from perceptual.evaluation import report
from perceptual.training import outer_loop, records, step_scores

WIDE = 3.0  # points: half an interval above which scores of steps can hardly be told apart


class JudgedLoop(outer_loop.OuterLoop):
  """An outer loop whose evaluations score a metric on judged sets.

  A subclass builds `_judged_pass` besides, and says what the run is called (`_title`).

  Attributes, besides those of `outer_loop.OuterLoop`:
    judged_set: `judged.JudgedSet` of kind `2afc`, scored at every evaluation; by its score the best
      weights are kept.
    judged_sets: all that are scored, this one among them.
    settings: `settings.Settings`, or others with the intervals, batch sizes and score of these.
  """

  curve = ("validation_accuracy", "validation accuracy, %")  # what is drawn beside the scores

  def __init__(self, path, *, judged_set, settings, steps, steps_per_epoch, further_sets=(),
               strategy=None):
    super().__init__(
        path, settings=settings, steps=steps, steps_per_epoch=steps_per_epoch, strategy=strategy)
    self.judged_sets = (judged_set, *further_sets)
    self.judged_set = _named(settings.best_by, self.judged_sets)
    self._half_widths = {}  # column of a score -> half the interval of the last one, in points
    self._warned = False

  def replica_steps(self):
    return {**super().replica_steps(),
            "judge": self._judged_pass.replica_step(self.judged_set.subsets[0])}

  @property
  def _score_column(self):
    """The column of `metrics.csv` by which the best score is chosen."""
    return records.SCORE_PREFIX + self.settings.score_by

  @property
  def _best_columns(self):
    """Name of a best checkpoint -> the column of `metrics.csv` by which it is chosen."""
    return {"best_score": self._score_column}

  def _best_values(self, row):
    return {name: row[column] for name, column in self._best_columns.items() if column in row}

  def _check(self):
    """Raises `UserError` unless batches divide among replicas and the judged sets can be scored."""
    super()._check()
    for judged_set in self.judged_sets:
      if judged_set.kind != "2afc":
        raise UserError(f"{judged_set.name} is of kind {judged_set.kind}; training is scored on "
                        "2afc sets.")
    report.require_subset(self.judged_set, self.settings.score_subset)

  def _resume(self):
    super()._resume()
    step_scores.require_taps(self.settings.score_taps, self._judged_pass.metric.taps)
    self._scores_file = step_scores.ScoresFile(
        self.folder.scores, self.first_step, self._is_chief, noted=self._noted("scores_lines"),
        crc32=self._noted("scores_crc32"))

  def _notes(self):
    return {**super()._notes(), "scores_lines": self._scores_file.size,
            "scores_crc32": self._scores_file.crc32}

  @property
  def _evaluation_size(self):
    return sum(judged_set.size for judged_set in self.judged_sets)

  def _further_measures(self):
    """Returns the score of each distance, summed over taps, on the chosen subset or aggregate.

    All other scores, and those of the further sets, go to `scores.csv`.
    """
    settings, rows = self.settings, []
    for judged_set in self.judged_sets:
      distances = {s.name: self._judged_pass(s, "2afc", self._progress.evaluated)
                   for s in judged_set.subsets}
      rows += step_scores.rows(
          self._step, judged_set, distances, taps=settings.score_taps,
          resamples=settings.score_resamples)
      if judged_set is self.judged_set:
        steering = self._steering_scores(distances)
    self._require_alone()
    self._scores_file.append(self._step, rows)
    return steering

  def _steering_scores(self, distances):
    """Returns the scores among which the best is chosen, and notes how well they are known."""
    judged_set, subset = self.judged_set, self.settings.score_subset
    columns = {records.SCORE_PREFIX + distance: distance
               for distance in self.settings.score_distances}
    self._half_widths = {
        column: report.summed_half_width(judged_set, distances, distance, subset)
        for column, distance in columns.items()}
    return {column: report.summed_score(judged_set, distances, distance, subset)
            for column, distance in columns.items()}

  def _further_sets(self):
    """The sets that are scored without choosing weights, as plain data."""
    return {other.name: other.size for other in self.judged_sets if other is not self.judged_set}

  def _tell(self, row, best):
    super()._tell(row, best)
    self._warn_of_wide_intervals()

  def _warn_of_wide_intervals(self):
    """Warns once if the judged set is too small to distinguish the scores of steps."""
    half_width = self._half_widths[self._score_column]
    if half_width > WIDE and not self._warned:
      self._warned = True
      triplets = progress.plural(self.judged_set.size, "triplet")
      self._progress.say(
          f"  warning: with {triplets} a score is known to ±{half_width:.1f} points (95% "
          "interval): smaller differences between steps may be chance")

  def _measured(self, row):
    accuracy = (f"validation accuracy {row['validation_accuracy']:.1f}%, "
                if "validation_accuracy" in row else "")
    scores = "  ".join(
        f"{key.removeprefix(records.SCORE_PREFIX)} {row[key]:.1f} ±{half_width:.1f}"
        for key, half_width in self._half_widths.items())
    return f"{accuracy}{self._score_name}: {scores}"

  def _plot(self):
    records.plot(self._metrics.rows, self.folder.plot, title=self._title,
                 best=self._score_column, curve=self.curve)

  def _common_description(self):
    """Lines of text for people: the score, the length, the devices, the folder."""
    settings = self.settings
    return [
        f"score     {self._score_name}, {progress.plural(self.judged_set.size, 'triplet')}, by "
        f"{', '.join(settings.score_distances)}; best by {settings.score_by}",
        f"          {self.judged_set.note}" if self.judged_set.note else "",
        *(f"besides   {other.name}, {progress.plural(other.size, 'triplet')}"
          f"{other.note and '; '}{other.note}"
          for other in self.judged_sets if other is not self.judged_set),
        *super()._common_description()]

  @property
  def _score_name(self):
    subset = self.settings.score_subset or "mean"
    return f"{self.judged_set.name} ({subset})" if len(self.judged_set.subsets) > 1 else (
        self.judged_set.name)


def _named(name, judged_sets):
  """Returns the judged set of a name; None is the first."""
  names = [judged_set.name for judged_set in judged_sets]
  if len(set(names)) < len(names):
    raise UserError(f"A judged set is named twice: {', '.join(names)}.")
  if name is not None and name not in names:
    raise errors.unknown("judged set in best_by", name, names)
  return judged_sets[0 if name is None else names.index(name)]
