"""The end of the commands that train: what is said of a run, and its training."""

from perceptual.commands import command_line


def carry_out(run, *, dry_run, done="trained"):
  """Prints what a run is, trains it unless that is all, and prints its results.

  Args:
    run: an `outer_loop.OuterLoop`.
    dry_run: whether to stop after the description.
    done: what is done to what is made.
  """
  from perceptual.experiments import runs

  print(run.description(), flush=True)
  if dry_run:
    print(f"Dry run: nothing was {done} or written.")
    return
  if run.is_complete:
    print(f"This run is complete: nothing was {done}.")
  with command_line.resumable():
    run.train(config=runs.configuration())
  print("\n".join([run.summary(), *run.lost_weights()]))
