"""Runs a function over a stream in several threads, giving the results in the stream's order."""

import collections
import concurrent.futures
import os


def map_in_order(function, items, *, threads=None, ahead=64):
  """Yields `function(item)` for every item, in order, while threads work on the next ones.

  Worth while for what releases Python's lock, as image decoding and compression do.

  Args:
    function: called in a thread; an exception it raises is raised here, at its item's turn.
    items: an iterable, read in the calling thread, at most `ahead` items early.
    threads: how many; one for each of `cpus` by default.
    ahead: how many results are kept waiting at most, which bounds the memory.
  """
  with concurrent.futures.ThreadPoolExecutor(threads or cpus()) as pool:
    pending = collections.deque()
    for item in items:
      pending.append(pool.submit(function, item))
      if len(pending) > ahead:
        yield pending.popleft().result()
    while pending:
      yield pending.popleft().result()


def cpus():
  """Returns how many CPUs this process may use, of which a machine may have more."""
  if hasattr(os, "sched_getaffinity"):  # not on macOS
    return len(os.sched_getaffinity(0))
  return os.cpu_count()
