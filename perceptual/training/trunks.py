"""The networks that metrics are learned on: published, trained here, or of random weights."""

import dataclasses

import keras

from perceptual import errors, models
from perceptual.metrics.feature_metric import weights_hash
from perceptual.models import taps as feature_taps
from perceptual.training import model_dir
from perceptual.weights import catalogue, store

_OTHERWISE = "Learn from scratch, or on a network of one's own (--trunk_dir)."


@dataclasses.dataclass(frozen=True)
class Trunk:
  """A network without what comes after its last tap in use.

  Attributes:
    model: Keras model from normalised images to `{tap: features}`.
    network: the network's name.
    options: the options that build it.
    origin: where its weights come from, for people.
  """

  model: keras.Model
  network: str
  options: dict
  origin: str

  def as_data(self):
    """What the trunk was before anything was learned, as plain data."""
    return {"network": self.network, "origin": self.origin,
            "weights_sha256": weights_hash(self.model)}


def build(network, options, taps):
  """Returns a network as `models.build` does, from its first layer to the last of some taps.

  Args:
    network: a name for `models.build`.
    options: its options.
    taps: names of the taps; None for all.
  """
  return feature_taps.select_taps(models.build(network, **_with_defaults(network, options)), taps)


def at_random(network, options, taps):
  """Returns a `Trunk` as it is initialised; arguments as `build`."""
  options = _with_defaults(network, options)
  model = feature_taps.select_taps(models.build_at_random(network, **options), taps)
  return Trunk(model, network, options, "at random")


def published(network, options, taps, weights_dir=None):
  """Returns a `Trunk` with published weights, converted before, or those that a wrapper names.

  Args:
    network: its name, one with an entry in `catalogue`, or of `models.wrappers()`.
    options: of a wrapper its options; of others none, since weights are of a network as published.
    taps: names of the taps; None for all.
    weights_dir: the folder of converted weights, as `store.weights_dir` takes it.

  Raises:
    UserError: there are no such weights, or not in the folder: the message says how to get them.
  """
  if network in models.wrappers():
    return Trunk(build(network, options, taps), network, _with_defaults(network, options),
                 "as wrapped")
  if options:
    raise errors.UserError(f"Published weights are of {network} as it is: they take no "
                           f"{next(iter(options))}. {_OTHERWISE}")
  available = [name for name in catalogue.names() if catalogue.get(name).role == "trunk"]
  if network not in available:
    raise errors.UserError(f"There are no published weights of {network!r}, only of "
                           f"{', '.join(available)}. {_OTHERWISE}")
  model = feature_taps.select_taps(store.load(network, weights_dir), taps)
  return Trunk(model, network, _with_defaults(network, options),
               f"published, {catalogue.get(network).file}")


def trained(folder, taps, checkpoint="best_score"):
  """Returns a `Trunk` that `perceptual train` trained.

  Args:
    folder: the run directory.
    taps: names of the taps; None for all.
    checkpoint: one of `model_dir.CHECKPOINTS`, or a `step-N` that was kept.

  Raises:
    UserError: there is no such folder or checkpoint.
  """
  model, network, options, step = model_dir.load_network(folder, checkpoint)
  return Trunk(feature_taps.select_taps(model, taps), network, options,
               f"trained, {checkpoint} at step {step}")


def _with_defaults(network, options):
  """Returns every option of a network, without a classifier where it can be left out."""
  options = {**models.network_options(network), **options}
  return options if network in models.wrappers() else {**options, "num_classes": 0}
