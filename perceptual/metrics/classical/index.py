"""What a classical metric is made of: an embedding of one image, and an index of two of them."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Index:
  """The definition of a classical metric: pure `keras.ops`, on any Keras backend, in any graph.

  It pickles, as its functions do: those of a module, and `functools.partial` of them.

  Attributes:
    name: its name, a key of `classical.METRICS`.
    options: the options it was built with, as plain data.
    lower_is_better: True for a distance, False for a similarity.
    smallest_side: the least height and width, in pixels, that the definition can be applied to.
    embed: [batch, height, width, 3] float32 in [0, 1] -> embedding: all that depends on one image
      alone, so that a reference is embedded once for many candidates. A tensor, or a tuple of them.
    between: (embedding_0, embedding_1) -> [batch] float32.
    size_note: what follows the smallest side in an error, where an option changes it.
    spatial_map: (embedding_0, embedding_1) -> [batch, height, width] float32, of the images' size;
      None where the metric has no such map.
  """

  name: str
  options: dict
  lower_is_better: bool
  smallest_side: int
  embed: Callable
  between: Callable
  size_note: str = ""
  spatial_map: Callable | None = None
