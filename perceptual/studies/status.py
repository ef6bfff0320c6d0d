"""The state of the runs of a study, as text."""

import collections

from perceptual.common.text_table import aligned
from perceptual.studies import study_dir

_MANY = 20  # names of a list before it is cut short


def table(study, folder):
  """Returns a line for every run, and the summary.

  Args:
    study: `definition.Study`.
    folder: its `study_dir.StudyDir`.
  """
  states = {run.name: folder.state(run) for run in study.runs}
  lines = [["index", "run", "state", "step", "steps", "note"]]
  lines += [[str(run.index), run.name, states[run.name].state, _number(states[run.name].step),
             _number(states[run.name].steps), states[run.name].note] for run in study.runs]
  return f"{aligned(lines)}\n\n{summary(study, folder, states)}"


def summary(study, folder, states):
  """Returns how many runs are in which state, names those that have not finished, and left-overs.

  Args:
    study: `definition.Study`.
    folder: its `study_dir.StudyDir`.
    states: name -> `study_dir.State`, of some or all of the runs.
  """
  counts = collections.Counter(state.state for state in states.values())
  lines = [f"{study.name}: " + ", ".join(f"{count} {state}" for state, count in counts.items())
           + f", of {len(study.runs)} runs."]
  missing = [name for name, state in states.items() if state.state == study_dir.MISSING]
  started = [f"{name} (step {state.step or 0} of {state.steps or 'an unknown number'})"
             for name, state in states.items() if state.state == study_dir.STARTED]
  lines += [f"Not started: {_listed(missing)}"] if missing else []
  lines += [f"Started: {_listed(started)}"] if started else []
  lines += [f"{state.state.capitalize()}: {name}: {state.note}" for name, state in states.items()
            if state.state in (study_dir.FAILED, study_dir.CHANGED)]
  left_over = folder.left_over()
  if left_over:
    lines.append(f"In {folder.path}, but no longer in the study (left as they are): "
                 f"{_listed(left_over)}")
  return "\n".join(lines)


def all_finished(states):
  """Returns whether every run has finished."""
  return all(state.state == study_dir.FINISHED for state in states.values())


def _listed(names):
  shown = ", ".join(names[:_MANY])
  return f"{shown} and {len(names) - _MANY} more" if len(names) > _MANY else shown


def _number(number):
  return "" if number is None else str(number)
