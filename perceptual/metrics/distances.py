"""Distances between two images' features: pure `keras.ops`, on any Keras backend.

Every distance embeds one image's features at one tap, takes the squared difference of two
embeddings and reduces it to one number per image. A reference is thus embedded once for many
candidates:

    local = distances.get("local")
    reference = local.embed(reference_features)
    distance_0 = local.between(reference, local.embed(candidate_0_features))
    distance_1 = local.between(reference, local.embed(candidate_1_features))

`features` stands throughout for the activations at one tap, of any float dtype (all arithmetic is
in float32), in one of three layouts:

    [batch, height, width, channels]  maps, channels last on every backend
    [batch, tokens, channels]         tokens, as positions in no particular grid
    [batch, channels]                 one vector per image, such as a CLS token: a 1x1 map

The two sides have the same shape, apart from the batch: a batch of one is compared with every
image of the other. Every distance is symmetric, not negative, and exactly zero for identical
features; its gradient is finite wherever the features are, zero vectors included, and zero for
identical features.

`sort` sorts by NumPy in graphs that run at once on a CPU and ask for it (`sorting`).

`get` returns distances without parameters by name, and sums of them: `local+sort`. `linear` makes
the learned one, the `lin` of LPIPS, from its weights.

The perceptual functions are those of Kumar et al., "Do better ImageNet classifiers assess
perceptual similarity better?" (TMLR 2022); `sort` and the sums are those of Pihlgren et al.,
"A Systematic Performance Analysis of Deep Perceptual Loss Networks" (arXiv 2302.04032), whose
`spatial` is `local`. `l2` is the mean squared difference as it is, of features the loss of Johnson
et al. (ECCV 2016). It alone does not normalise, so its squares must fit float32. `correlation` is
this project's: one minus Pearson's correlation of two maps, by which places whose features say
little count little; `local` lets every place count the same.
"""

import dataclasses
import functools
from collections.abc import Callable

from keras import ops

from perceptual import errors
from perceptual.metrics import sorting
from perceptual.models import resizing

# Added to the norm, as in the paper's listing and in LPIPS.
EPSILON = 1e-10

# `correlation` leaves out what a map has in common at all places. Of a map that has hardly anything
# else, a flat image's, rounding errors would be left: this share of its energy is added instead.
_FLAT = 1e-6

# Added to a sum of squares under a root, whose slope at zero is infinite. It never alters a value:
# the norm is about 1, or is added to about 1 (see `_unit`).
_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class Distance:
  """One perceptual function at one tap: an embedding and the distance between two of them.

  It pickles, as its functions do: those of a module, methods, and `functools.partial` of them.

  Attributes:
    name: its canonical name, as `get` takes it.
    embed: features -> embedding. A float32 tensor whose first axis is the batch, or for a sum the
      tuple of its terms' embeddings.
    between: (embedding_0, embedding_1) -> [batch] float32. Raises `UserError` where the shapes of
      the embeddings differ.
    by_place: (embedding_0, embedding_1) -> [batch, positions] float32, of which `between` is the
      mean over positions; None of a distance that does not keep places apart.
  """

  name: str
  embed: Callable
  between: Callable
  by_place: Callable | None = None

  def __call__(self, features_0, features_1):
    """Returns the distance of each pair of images, [batch] float32.

    Raises:
      UserError: the shapes differ, or are not a layout of features.
    """
    features_0, features_1 = _float32(features_0), _float32(features_1)
    _check_same_shape("Features", features_0, features_1)
    return self.between(self.embed(features_0), self.embed(features_1))


def get(name):
  """Returns the `Distance` of that name or alias, or the sum of several.

  Args:
    name: a key of `DISTANCES` or of `ALIASES`, or a sum of such names: `mean_pool+sort`.

  Raises:
    UserError: there is no such distance, or a sum has one of them twice.
  """
  if not isinstance(name, str):
    raise errors.UserError(f"distance must be a name, such as local, not {errors.shown(name)}.")
  terms = [ALIASES.get(term, term) for term in name.replace(" ", "").split("+")]
  for term in terms:
    if term not in DISTANCES:
      raise errors.UserError(
          f"Unknown distance {errors.shown(name)}. Available: "
          f"{', '.join([*DISTANCES, *ALIASES])}; and sums of them, as local+sort.")
    if terms.count(term) > 1:
      raise errors.UserError(f"The distance {errors.shown(name)} has {term} twice.")
  return _sum_of([DISTANCES[term] for term in terms]) if len(terms) > 1 else DISTANCES[terms[0]]


def linear(weights, dropout=None):
  """Returns the `Distance` `lin` of LPIPS (Zhang et al.): `local`, with weights of the channels.

  At each position the squared difference of each channel is multiplied by the channel's weight
  before channels are summed. Weights of one give `local`.

  Args:
    weights: [channels], the learned weights of a tap; not negative. An array, or a tensor or
      variable, through which gradients then flow.
    dropout: called with the squared differences before they are weighted, [batch, positions,
      channels]: where the weights are trained, LPIPS drops half of them. None for nothing.

  Raises:
    UserError: in a call, if the features have another number of channels.
  """
  by_place = functools.partial(_weighted_difference, weights=weights, dropout=dropout)
  return _of_places("lin", _local_embedding, by_place)


def to_reference(distance, reference, *candidates):
  """Returns the distance of each candidate at one tap, the reference being embedded once.

  Args:
    distance: a `Distance`.
    reference: its features.
    *candidates: features of other images, of the same shape.

  Returns:
    A list of [batch] float32, one for each candidate.
  """
  embedded = distance.embed(reference)
  return [distance.between(embedded, distance.embed(candidate)) for candidate in candidates]


def summed_to_reference(at_taps, reference, *candidates):
  """Returns the distance of each candidate, summed over taps; the reference is embedded once.

  Args:
    at_taps: a dict from tap to the `Distance` at that tap.
    reference: a dict from tap to features.
    *candidates: the same taps of other images, with the same shapes.

  Returns:
    A list of [batch] float32, one for each candidate.
  """
  by_tap = [
      to_reference(distance, reference[tap], *(candidate[tap] for candidate in candidates))
      for tap, distance in at_taps.items()]
  return [sum(terms) for terms in zip(*by_tap)]


def split(features, parts):
  """Returns the features of a batch that several batches were joined to, one part each: a list.

  Args:
    features: a dict from tap to features.
    parts: how many batches of one size, one after another.
  """
  by_tap = {tap: ops.split(values, parts, axis=0) for tap, values in features.items()}
  return [{tap: values[i] for tap, values in by_tap.items()} for i in range(parts)]


def per_tap(distance, features_0, features_1):
  """Returns the distance at each tap: a dict from tap to [batch] float32.

  Args:
    distance: a `Distance`, or a dict from tap to the `Distance` at that tap.
    features_0: a dict from tap to features.
    features_1: the same taps of other images, with the same shapes.

  Raises:
    UserError: the taps differ, there are none, the features' shapes at a tap differ, or a tap has
      no distance.
  """
  _check_same_taps(features_0, features_1)
  at = dict.fromkeys(features_0, distance) if isinstance(distance, Distance) else distance
  for tap in features_0:
    if tap not in at:
      raise errors.unknown("tap", tap, at)
  return {tap: at[tap](features_0[tap], features_1[tap]) for tap in features_0}


def summed(distance, features_0, features_1):
  """Returns the distance summed over taps, [batch] float32. Arguments and errors: `per_tap`."""
  return sum(per_tap(distance, features_0, features_1).values())


def spatial_map(features_0, features_1, distance=None):
  """Returns where two images differ: a distance before its mean over positions.

  Args:
    features_0: [batch, height, width, channels], or [batch, channels] as a 1x1 map.
    features_1: the same shape.
    distance: a `Distance`; None for `local`. In place of one that does not keep places apart,
      `local` is taken too.

  Returns:
    [batch, height, width] float32, whose mean over height and width is that distance.

  Raises:
    UserError: the shapes differ, or are those of tokens, which have no height and width.
  """
  features_0, features_1 = _float32(features_0), _float32(features_1)
  _check_same_shape("Features", features_0, features_1)
  if len(_static_shape(features_0)) not in (2, 4):
    raise errors.UserError(
        "A spatial map needs features [batch, height, width, channels] or [batch, channels]. "
        f"Received: {_static_shape(features_0)}.")
  distance = distance if distance and distance.by_place else DISTANCES["local"]
  places = distance.by_place(distance.embed(features_0), distance.embed(features_1))
  return ops.reshape(places, (-1, *(ops.shape(features_0)[1:-1] or (1, 1))))


def spatial_map_at(features_0, features_1, size, at_taps=None):
  """Returns the taps' spatial maps, each resized to the size of the image, and summed.

  Args:
    features_0: a dict from tap to features as `spatial_map` takes them.
    features_1: the same taps of other images, with the same shapes.
    size: (height, width) in pixels; integers, or scalar tensors where the image's size is dynamic.
    at_taps: a dict from tap to the `Distance` at that tap, as `spatial_map` takes it; None for
      `local`.

  Returns:
    [batch, *size] float32. The resizing is bilinear between the centres of pixels, without
    antialiasing.

  Raises:
    UserError: as `per_tap` and `spatial_map`.
  """
  _check_same_taps(features_0, features_1)
  at_taps = dict.fromkeys(features_0) if at_taps is None else at_taps
  return sum(
      resizing.bilinear(spatial_map(features_0[tap], features_1[tap], at_taps[tap]), size)
      for tap in features_0)


def _local_embedding(features):
  return _unit(_positions(features), axis=-1)


def _sorted_embedding(features):
  """Each channel's activations in ascending order: which values occur, but not where."""
  return _unit(sorting.ascending_positions(_positions(features)), axis=-1)


def _pooled_embedding(features):
  return _unit(ops.mean(_positions(features), axis=1), axis=-1)


def _gram_embedding(features):
  """[batch, channels, channels]: the cosine of every two channels, as vectors of positions.

  The one product of matrices here: where a device multiplies float32 in a shorter format by
  default (TF32 on GPUs, bfloat16 on TPUs), `style` is as precise as that format.
  """
  channels = _unit(_positions(features), axis=1)
  return ops.matmul(ops.transpose(channels, (0, 2, 1)), channels)


def _correlation_embedding(features):
  """Each channel less its mean over positions; then all of a mean square of 1 a position.

  Half the squared difference of two such is one minus their correlation. A map of one position, as
  a class token, has no mean to leave out.
  """
  x = _positions(features)
  scale = ops.stop_gradient(ops.max(ops.absolute(x), axis=(1, 2), keepdims=True)) + EPSILON
  x = x / scale
  has_places = ops.cast(ops.shape(x)[1] > 1, "float32")
  varying = x - has_places * ops.mean(x, axis=1, keepdims=True)
  energy = ops.sum(ops.square(varying) + _FLAT * ops.square(x), axis=2, keepdims=True)
  norm = ops.sqrt(ops.mean(energy, axis=1, keepdims=True) + _TINY)
  return varying / (norm + EPSILON / scale)


def _of_places(name, embed, by_place):
  """Returns the `Distance` that is the mean of `by_place` over positions."""
  return Distance(name, embed, functools.partial(_averaged_over_positions, by_place), by_place)


def _averaged_over_positions(by_place, embedding_0, embedding_1):
  return ops.mean(by_place(embedding_0, embedding_1), axis=1)


def _halved_sum_over_channels(embedding_0, embedding_1):
  return ops.sum(_squared_difference(embedding_0, embedding_1), axis=-1) / 2


def _weighted_difference(embedding_0, embedding_1, *, weights, dropout):
  differences = _squared_difference(embedding_0, embedding_1)
  if dropout is not None:
    differences = dropout(differences)
  return _summed_by_weight(differences, weights)


def _summed_by_weight(differences, weights):
  """Returns the sum over the last axis, each channel multiplied by its weight."""
  channels = differences.shape[-1]
  if tuple(weights.shape) != (channels,):
    raise errors.UserError(
        f"Features of {channels} channels need weights of shape [{channels}]. "
        f"Received: {list(weights.shape)}.")
  return ops.sum(differences * _float32(weights), axis=-1)


def _summed_over_channels(embedding_0, embedding_1):
  return ops.sum(_squared_difference(embedding_0, embedding_1), axis=-1)


def _averaged_over_channels(embedding_0, embedding_1):
  return ops.mean(_squared_difference(embedding_0, embedding_1), axis=-1)


def _averaged_over_both_axes(embedding_0, embedding_1):
  return ops.mean(_squared_difference(embedding_0, embedding_1), axis=(1, 2))


@dataclasses.dataclass(frozen=True)
class _Sum:
  """The embeddings and distances of several terms, added."""

  terms: tuple

  def embed(self, features):
    return tuple(term.embed(features) for term in self.terms)

  def between(self, embedding_0, embedding_1):
    return sum(term.between(*pair) for term, *pair in zip(self.terms, embedding_0, embedding_1))

  def by_place(self, embedding_0, embedding_1):
    return sum(term.by_place(*pair) for term, *pair in zip(self.terms, embedding_0, embedding_1))


def _sum_of(terms):
  """Returns the `Distance` that adds the distances of its terms."""
  added = _Sum(tuple(terms))
  keeps_places = all(term.by_place for term in terms)
  return Distance("+".join(term.name for term in terms), added.embed, added.between,
                  added.by_place if keeps_places else None)


def _unit(x, *, axis):
  """Returns x / (norm + EPSILON), the norm taken over `axis`.

  Numerator and denominator are first divided by the largest magnitude (plus EPSILON), so that no
  square leaves the range of float32 and the denominator is never near zero. As the result does
  not depend on that scale, holding it constant leaves the gradient exact.
  """
  scale = ops.stop_gradient(ops.max(ops.absolute(x), axis=axis, keepdims=True)) + EPSILON
  scaled = x / scale
  norm = ops.sqrt(ops.sum(ops.square(scaled), axis=axis, keepdims=True) + _TINY)
  return scaled / (norm + EPSILON / scale)


def _squared_difference(embedding_0, embedding_1):
  _check_same_shape("Embeddings", embedding_0, embedding_1)
  return ops.square(embedding_0 - embedding_1)


def _positions(features):
  """Returns features of any layout as [batch, positions, channels] float32."""
  features = _float32(features)
  rank = len(_static_shape(features))
  if rank == 2:
    return ops.expand_dims(features, 1)
  if rank == 3:
    return features
  if rank == 4:
    _, height, width, channels = ops.shape(features)
    return ops.reshape(features, (-1, height * width, channels))
  raise errors.UserError(
      "Features are [batch, height, width, channels], [batch, tokens, channels] or "
      f"[batch, channels]. Received: {_static_shape(features)}.")


def _float32(x):
  return ops.cast(x, "float32")


def _static_shape(x):
  """Returns the shape as a tuple, with None for what a graph does not know."""
  return tuple(x.shape)


def _check_same_shape(what, x_0, x_1):
  shape_0, shape_1 = _static_shape(x_0), _static_shape(x_1)
  batches = {shape_0[:1], shape_1[:1]} - {(None,), (1,)}
  alike = len(shape_0) == len(shape_1) and len(batches) < 2 and all(
      None in sizes or sizes[0] == sizes[1] for sizes in zip(shape_0[1:], shape_1[1:]))
  if not alike:
    raise errors.UserError(f"{what} differ in shape: {shape_0} and {shape_1}.")


def _check_same_taps(features_0, features_1):
  if set(features_0) != set(features_1) or not features_0:
    raise errors.UserError(
        "The two sides need the same taps, at least one. "
        f"Received: {', '.join(features_0) or 'none'}; and: {', '.join(features_1) or 'none'}.")
  for tap in features_0:
    _check_same_shape(f"Features at tap {tap!r}", features_0[tap], features_1[tap])


# The paper's equation and its listing agree on `local` and `style`. They disagree on mean pool:
# the listing, whose numbers are reproducible, sums over channels (`mean_pool`); the equation
# averages over them (`mean_pool_over_channels`), which weights the taps differently.
DISTANCES = {distance.name: distance for distance in (
    _of_places("local", _local_embedding, _summed_over_channels),
    _of_places("correlation", _correlation_embedding, _halved_sum_over_channels),
    Distance("mean_pool", _pooled_embedding, _summed_over_channels),
    Distance("mean_pool_over_channels", _pooled_embedding, _averaged_over_channels),
    Distance("style", _gram_embedding, _averaged_over_both_axes),
    Distance("sort", _sorted_embedding,
             functools.partial(_averaged_over_positions, _summed_over_channels)),
    _of_places("l2", _positions, _averaged_over_channels),
)}

# The names of Pihlgren et al., of which a sum is made as of any: `spatial+sort`.
ALIASES = {"spatial": "local", "mean": "mean_pool"}
