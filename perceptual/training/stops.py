"""The steps at which a run stops to evaluate, to save itself or to keep weights."""


class Stops:
  """What settings say of steps; pure arithmetic."""

  def __init__(self, settings, steps):
    """Takes the settings, as `outer_loop.OuterLoop` has them, and the number of steps of the run.
    """
    self._settings = settings
    self._steps = steps

  def next(self, step):
    """Returns the next step after `step` at which to evaluate or save."""
    settings = self._settings
    intervals = (settings.eval_interval, settings.checkpoint_interval)
    kept = () if settings.keep_checkpoints == "all" else settings.keep_checkpoints
    return min(self._steps, *((step // i + 1) * i for i in intervals if i),
               *(other for other in (*settings.score_steps, *kept) if other > step))

  def is_evaluated(self, step):
    """Whether the network is evaluated at a step."""
    settings = self._settings
    return (step % settings.eval_interval == 0 or step in settings.score_steps
            or step == self._steps)

  def is_kept(self, step):
    """Whether the weights of a step are kept for good."""
    wanted = self._settings.keep_checkpoints
    return self.is_evaluated(step) if wanted == "all" else step in wanted
