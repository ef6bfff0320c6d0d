"""A cache bounded in bytes."""

import collections


class Cache:
  """Values by key, the ones used last, within a number of bytes."""

  def __init__(self, capacity):
    self._capacity = capacity
    self._held = 0
    self._values = collections.OrderedDict()

  def get(self, key):
    """Returns the value, or None."""
    value, _ = self._values.get(key, (None, 0))
    if value is not None:
      self._values.move_to_end(key)
    return value

  def put(self, key, value, size):
    """Keeps a value of `size` bytes, and drops those used longest ago that no longer fit."""
    _, replaced = self._values.pop(key, (None, 0))
    self._values[key] = value, size
    self._held += size - replaced
    while self._held > self._capacity:
      _, (_, dropped) = self._values.popitem(last=False)
      self._held -= dropped
