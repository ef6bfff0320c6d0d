"""Being asked to stop: SIGTERM, which clouds and schedulers send before they take a machine.

The contexts here may stand inside one another; the innermost answers. What it could not act on, as
training had ended, it leaves to the one around it.
"""

import signal
import threading
import time

import tensorflow as tf

from perceptual import errors
from perceptual.common import processes

# Seconds within which signals are of one occasion: who stops a process and its group, as `timeout`
# and control groups do, sends it two.
ONE_OCCASION = 1.0


class StopRequest:
  """A context in which the first SIGTERM is noted, and the second ends the process as usual.

  Those within `ONE_OCCASION` are one. Python answers signals between its own steps: those that come
  during a loop of TensorFlow's count as one, too. Outside of the main thread Python has no handlers
  of signals; nothing is then noted.

  Attributes:
    received: whether this process was asked to stop.
  """

  def __init__(self):
    self.received = False
    self._is_answered = False
    self._before = None

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      self._before = signal.signal(signal.SIGTERM, self._answer)
    return self

  def __exit__(self, kind, error, trace):
    if self._before is not None:
      signal.signal(signal.SIGTERM, self._before)
    around = getattr(self._before, "__self__", None)
    if self.received and isinstance(around, StopRequest) and not isinstance(error, errors.Stopped):
      around.note()

  def note(self):
    """Notes that this process was asked to stop."""
    self.received = True
    if self._before is not None:
      signal.signal(signal.SIGTERM, processes.action_that_ends(signal.SIGTERM))

  def of_any_worker(self, strategy):
    """Whether any worker of a strategy was asked to stop; all of them get, and note, the same.

    What one is asked for while they agree stays noted, and counts the next time.
    """
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
      return self.received
    asked = strategy.run(tf.function(lambda: tf.constant(int(self.received))))
    of_any = bool(strategy.reduce("SUM", asked, axis=None))
    if of_any:
      self.received = True
    return of_any

  def _answer(self, number, frame):
    del number, frame
    if not self._is_answered:
      self._is_answered = True
      time.sleep(ONE_OCCASION)  # in which further signals come here
      self.note()


class EndOnRequest(StopRequest):
  """A context that ends by `errors.Stopped` at the first SIGTERM, wherever that arrives.

  It is for work that has nothing to save. What cannot be interrupted, as training, stands in a
  `StopRequest` inside, after which comes a `check`.
  """

  def __init__(self, say):
    """Takes `say`, called with a line of text for people if the context ends so."""
    super().__init__()
    self._say = say

  def check(self):
    """Raises `errors.Stopped` if this process was asked to stop."""
    if self.received:
      raise errors.Stopped

  def __exit__(self, kind, error, trace):
    super().__exit__(kind, error, trace)
    if self.received and isinstance(error, errors.Stopped):
      self._say("stopped on request; give the same command again to go on")

  def _answer(self, number, frame):
    super()._answer(number, frame)
    self.check()
