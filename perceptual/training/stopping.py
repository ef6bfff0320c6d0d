"""Being asked to stop: SIGTERM, which clouds and schedulers send before they take a machine."""

import signal
import threading

import tensorflow as tf


class StopRequest:
  """A context in which the first SIGTERM is noted, and the second ends the process as usual.

  Outside of the main thread Python has no handlers of signals; nothing is then noted.

  Attributes:
    received: whether this process was asked to stop.
  """

  def __init__(self):
    self.received = False
    self._before = None

  def __enter__(self):
    if threading.current_thread() is threading.main_thread():
      self._before = signal.signal(signal.SIGTERM, self._note)
    return self

  def __exit__(self, *error):
    if self._before is not None:
      signal.signal(signal.SIGTERM, self._before)

  def of_any_worker(self, strategy):
    """Whether any worker of a strategy was asked to stop; all of them get the same answer."""
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
      return self.received
    asked = strategy.run(tf.function(lambda: tf.constant(int(self.received))))
    return bool(strategy.reduce("SUM", asked, axis=None))

  def _note(self, number, frame):
    del frame
    self.received = True
    signal.signal(number, signal.SIG_DFL)
