"""A synthetic study of 722 runs: the shape that the paper tells of, with invented numbers.

Nothing here was measured. Scores follow an inverse U over accuracy, with noise, so that every
figure has something to show.
"""

import numpy as np

from perceptual.studies.figures.scatter import SUBSETS

DISTANCES = ("local", "mean_pool", "style")
STEPS = (0, 250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 64000, 112590)
_OUT = {"resnet2": 12, "resnet3": 18, "resnet4": 24, "resnet5": 29, "resnet6": 34, "resnet10": 44,
        "resnet18": 52, "resnet34": 56, "resnet50": 60, "resnet101": 62.5, "resnet152": 64,
        "resnet200": 65, **{f"efficientnet_b{i}": 58 + 1.7 * i for i in range(6)},
        "vit_b8": 57, "vit_b4": 61, "vit_l8": 56, "vit_l4": 63}
_SWEPT = ("resnet6", "resnet50", "resnet200", "vit_b8", "vit_l4")
_GRIDS = {
    "train.epochs": ([1, 2, 4, 8, 16, 32, 64], 0.12),
    "network.width": ([0.0625, 0.125, 0.25, 0.5, 0.75], 0.35),
    "network.depth": ([0.0833, 0.1667, 0.25, 0.5, 0.75], 0.55),
    "train.weight_decay": ([0.0, 1e-5, 3e-4, 1e-3, 3e-3, 1e-2], 0.45),
    "augmentation.center_fraction": ([0.5, 0.75], 0.9),
    "network.dropout": ([0.1, 0.3, 0.5, 0.7, 0.9], 0.6),
    "train.label_smoothing": ([0.05, 0.1, 0.2, 0.3, 0.5], 0.85),
}
# What base files bind, or networks and augmentation have by default.
_DEFAULTS = {
    "train.epochs": 90, "network.width": 1.0, "network.depth": 1.0, "train.weight_decay": 1e-4,
    "augmentation.center_fraction": 0.875, "augmentation.crop": "pad", "network.dropout": 0.0,
    "train.label_smoothing": 0.0, "network.skip_connections": True, "augmentation.noise": 0.0}


def runs():
  """Returns 722 runs: dictionaries of run, network, seed, accuracy and bindings."""
  found = []

  def add(network, accuracy, seeds, **bindings):
    settings = "".join(f"-{name.rpartition('.')[2]}{value}" for name, value in bindings.items())
    for seed in range(seeds):
      found.append({"run": f"{network}{settings}-seed{seed}", "network": network, "seed": seed,
                    "accuracy": accuracy, "bindings": bindings})

  for network, accuracy in _OUT.items():
    add(network, accuracy, 5)
  for network in _SWEPT:
    for binding, (values, least) in _GRIDS.items():
      if binding == "network.depth" and network.startswith("resnet"):
        continue
      for place, value in enumerate(values):
        share = least + (1 - least) * place / len(values)
        if binding in ("train.weight_decay", "network.dropout", "train.label_smoothing"):
          share = 1 + least - share
        more = {"augmentation.crop": "center"} if binding.endswith("center_fraction") else {}
        add(network, _OUT[network] * share, 3, **{binding: value, **more})
  for network in ("resnet6", "resnet10", "resnet18", "resnet34", "resnet50"):
    add(network, _OUT[network] - 4, 3, **{"network.skip_connections": False})
  for place, classes in enumerate((50, 100, 300, 600, 900)):
    for choice, more in (("random", 20), ("top", 30), ("bottom", -5)):
      add("resnet6", 34 + more * (1 - place / 5), 3, **{
            "images.classes": "@class_subset()", "class_subset.choose": choice,
            "class_subset.count": classes})
  for network in ("resnet6", "resnet50", "resnet200"):
    for factor in (0.1, 0.2, 0.5, 1.0):
      add(network, _OUT[network] - 20 * factor, 3, **{"augmentation.noise": factor})
  for network in ("resnet6", "resnet50"):
    add(network, _OUT[network] + 1, 3, **{"augmentation.policy": "autoaugment"})
  for network in ("resnet6", "resnet18", "resnet50", "efficientnet_b0", "vit_b8"):
    for size in (224, 256):
      add(network, _OUT[network] + 10, 3, **{"images.image_size": size})
  return found


def score_at(accuracy):
  """Returns the invented score of an accuracy: highest, 69.8, at 30%."""
  return 69.8 - np.where(accuracy < 30, 0.006, 0.0022) * (accuracy - 30) ** 2


def collected(found=None, *, judged_set="bapps/2afc", seed=0):
  """Yields the rows of the collected table, as lists; the first is the head."""
  found = runs() if found is None else found
  generator = np.random.default_rng(seed)
  bound = sorted({name for run in found for name in run["bindings"]})
  yield ["study", "run", "index", *(f"binding.{name}" for name in bound), "varied", "network",
         "seed", "step", "epoch", "accuracy", "judged_set", "subset", "distance", "tap", "score",
         "low", "high"]
  for index, run in enumerate(found):
    bindings = [run["bindings"].get(name, _DEFAULTS.get(name, "")) for name in bound]
    network = run["network"]
    taps = [f"block_{i}" for i in range(1, 13)] if network.startswith("vit") else [
        f"reduction_{i}" for i in range(1, 5)]
    shift = generator.normal() * 0.15
    for step in STEPS:
      progress = np.log1p(step) / np.log1p(STEPS[-1])
      accuracy = 0.1 + (run["accuracy"] + shift * 3) * progress**4
      last = step == STEPS[-1]
      about = ["synthetic", run["run"], index, *bindings, "+".join(run["bindings"]), network,
               run["seed"], step, step / 1251, accuracy, judged_set]
      for subset in ("mean", *SUBSETS) if last else ("mean",):
        for number, distance in enumerate(DISTANCES):
          for place, tap in enumerate(("sum", *taps)):
            if subset != "mean" and place:
              continue
            depth = place / len(taps) if place else 0.7
            score = (score_at(accuracy) + 0.4 * number - 2 * (depth - 0.7) ** 2 + shift
                     + generator.normal() * 0.05
                     + (5 * np.cos(len(subset)) if subset != "mean" else 0))
            yield [*about, subset, distance, tap, f"{score:.4f}", f"{score - 0.5:.4f}",
                   f"{score + 0.5:.4f}"]


def analyses(found=None, *, seed=0):
  """Returns the rows of the analyses of the runs out of the box, as dictionaries."""
  generator = np.random.default_rng(seed)
  rows = []
  for run in runs() if found is None else found:
    if run["bindings"]:
      continue
    about = {"run": run["run"], "network": run["network"], "step": STEPS[-1]}
    scale = run["accuracy"] / 65
    value = 0.3 - 0.15 * scale + generator.normal() * 0.005
    rows.append({"analysis": "sensitivity", **about, "tap": "sum", "sensitivity": value,
                 "low": value - 0.01, "high": value + 0.01})
    value = 0.9 - 0.1 * scale**2 + generator.normal() * 0.005
    rows.append({"analysis": "entropy", **about, "tap": "mean", "entropy": value,
                 "low": value - 0.004, "high": value + 0.004})
    before = None
    for side in range(1, 65, 3):
      normalised = 1 / (1 + np.exp(-(side - 12 - 14 * scale) / 4)) + generator.normal() * 0.004
      slope = None if before is None else (normalised - before) / 3
      before = normalised
      rows.append({"analysis": "low_pass", **about, "side": side, "normalised": normalised,
                   "slope": slope})
    for radius in range(0, 32, 2):
      normalised = 1 - np.exp(-radius / (3 + 4 * scale)) + generator.normal() * 0.004
      rows.append({"analysis": "inverse_band_pass", **about, "radius": radius,
                   "normalised": normalised})
  return rows
