"""How scores change while networks train, all taps together and tap by tap."""

import numpy as np

from perceptual.studies.analyses import configurations
from perceptual.studies.analyses import over_training as curves
from perceptual.studies.figures import data as study_data
from perceptual.studies.figures import drawn, style

_MOST_PATHS, _MOST_TAPS = 14, 7  # lines of a panel
_NEEDS = "networks out of the box, scored at two steps or more"


def training(data):
  """Perceptual score and accuracy over training steps, out of the box.

  Bands are standard errors over seeds. The step before training is not drawn.
  """
  curves = {c.network: data.curves(c.network) for c in drawn.featured(data.out_of_the_box())}
  curves = {network: curve for network, curve in curves.items() if curve is not None}
  drawn.require(curves, "training", _NEEDS)
  figure, axes = style.subplots(2, 1, height=4.0, sharex=True)
  rows = []
  looks = style.marks(sorted(curves, key=style.order))
  for network, look in looks.items():
    steps, score, score_error, accuracy, accuracy_error = curves[network]
    for panel, values, spread in ((axes[0, 0], score, score_error),
                                  (axes[1, 0], accuracy, accuracy_error)):
      _band(panel, steps, values, spread, label=style.network_name(network), **look)
    rows += [{"source": "measured", "network": network, "step": int(step),
              "score": drawn.rounded(score[i]), "score_se": drawn.rounded(score_error[i]),
              "accuracy": drawn.rounded(accuracy[i]),
              "accuracy_se": drawn.rounded(accuracy_error[i])}
             for i, step in enumerate(steps) if step > 0]
  axes[0, 0].set(ylabel=data.score_label, xscale="log")
  axes[1, 0].set(ylabel=drawn.ACCURACY, xlabel="training step")
  style.legend(figure)
  return drawn.Drawn(figure, rows)


def layers(data):
  """The score of each tap alone: (a) at the end of training, (b) over training in one network.

  In (a) taps stand at their place in the network, from the first to the last. The network of (b) is
  ResNet-50 or, without it, the first. Published: the best layer of ResNets is the third of four.
  """
  names = {}
  for network, tap in zip(data.scores["network"], data.scores["tap"]):
    names.setdefault(network, {}).setdefault(tap)
  taps = {network: [tap for tap in found if tap != configurations.SUM]
          for network, found in names.items()}
  at_end = {c.network: scored for c in drawn.featured(data.out_of_the_box())
            if len(scored := _final(data, c.network, taps[c.network])) > 1}
  drawn.require(at_end, "layers", "networks out of the box, scored tap by tap")
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=3.2)
  rows = _draw_final(axes[0, 0], at_end)
  axes[0, 0].set(xlabel="place of the tap in the network", ylabel=data.score_label)
  network = "resnet50" if "resnet50" in at_end else next(iter(at_end))
  shown, left_out = _some([configurations.SUM, *taps[network]], _MOST_TAPS)
  rows += _draw_over_training(axes[0, 1], data, network, shown)
  axes[0, 1].set(xlabel="training step", ylabel=data.score_label, xscale="log",
                 title=style.network_name(network))
  for panel in axes.flat:
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4)
  return drawn.Drawn(figure, rows, _room("b", left_out))


def over_training(data):
  """Score against accuracy as networks train: (a) of configurations, (b) by tap in one of them.

  Each line follows one training, from its first evaluation after a step to its last, marked by a
  ring. Points are means over seeds. The configuration of (b) is the one with the most seeds and
  evaluations.
  """
  local = data.scores.where(distance="local", subset=configurations.MEAN)
  found = curves.curves(local.where(tap=configurations.SUM), judged_set=data.judged_set)
  drawn.require(found, "over_training", "runs scored at two steps of training or more")
  chosen = drawn.featured([curve.configuration for curve in found])
  of_all = {style.configuration_name(curve.configuration): curve for curve in found
            if curve.configuration in chosen}
  most = max(of_all.values(), key=lambda curve: curve.score.shape)
  of_runs = local.take(np.isin(local["run"].astype(str), most.configuration.runs))
  by_tap = {curve.tap: curve for curve in sorted(
      curves.curves(of_runs, judged_set=data.judged_set),
      key=lambda curve: curve.tap != configurations.SUM)}
  shown, left_out = _some(by_tap, _MOST_PATHS)
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=3.0, sharey=True)
  rows = [*_draw_paths(axes[0, 0], of_all, "a"),
          *_draw_paths(axes[0, 1], {tap: by_tap[tap] for tap in shown}, "b")]
  axes[0, 0].set(ylabel=data.score_label)
  axes[0, 1].set(title=style.configuration_name(most.configuration))
  for panel in axes.flat:
    panel.set(xlabel=drawn.ACCURACY)
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
  return drawn.Drawn(figure, rows, _room("b", left_out))


def _some(taps, most):
  """Returns (at most so many taps, spread evenly from the first to the last; those left out)."""
  taps = list(taps)
  shown = [taps[i] for i in np.linspace(0, len(taps) - 1, min(most, len(taps))).round().astype(int)]
  return shown, [tap for tap in taps if tap not in shown]


def _room(panel, left_out):
  """Returns what a figure lacks for want of room."""
  return [f"room in panel {panel} for {', '.join(left_out)}"] if left_out else []


def _draw_paths(panel, found, letter):
  """Draws curves `{label: over_training.Curve}` as score against accuracy; returns the rows."""
  rows = []
  for label, look in style.marks(found).items():
    curve = found[label]
    trained = curve.epoch > 0
    accuracy, score = curve.accuracy.mean(axis=0)[trained], curve.score.mean(axis=0)[trained]
    panel.plot(accuracy, score, color=look["color"], marker=look["marker"], markersize=2,
               linewidth=0.8, label=label)
    panel.plot(accuracy[-1], score[-1], color=look["color"], marker="o", markersize=7,
               markerfacecolor="none", markeredgewidth=1.2, zorder=4)
    rows += [{"panel": letter, "source": "measured", "configuration": curve.configuration.label,
              "tap": curve.tap, "seeds": len(curve.score), "epoch": drawn.rounded(epoch),
              "accuracy": drawn.rounded(accuracy[i]), "score": drawn.rounded(score[i])}
             for i, epoch in enumerate(curve.epoch[trained])]
  return rows


def _final(data, network, taps):
  """Returns `[(tap, configuration)]` of a network out of the box."""
  return [(tap, c) for tap in taps for c in data.out_of_the_box(tap=tap) if c.network == network]


def _draw_final(panel, at_end):
  rows = []
  for network, look in style.marks(sorted(at_end, key=style.order)).items():
    scored = at_end[network]
    places = np.linspace(0, 1, len(scored))
    drawn.points(panel, [c for _, c in scored], x=places, line="-",
                 label=style.network_name(network), **look)
    rows += [drawn.row(c, panel="a", tap=tap, place=drawn.rounded(place))
             for (tap, c), place in zip(scored, places)]
  return rows


def _draw_over_training(panel, data, network, taps):
  rows = []
  for tap, look in style.marks(taps).items():
    curve = data.curves(network, tap=tap)
    if curve is None:
      continue
    steps, score, spread, _, _ = curve
    _band(panel, steps, score, spread, label=tap, **look)
    rows += [{"panel": "b", "source": "measured", "network": network, "tap": tap,
              "step": int(step), "score": drawn.rounded(score[i]),
              "score_se": drawn.rounded(spread[i])} for i, step in enumerate(steps) if step > 0]
  if not rows:
    raise study_data.MissingData(f"Figure layers lacks {_NEEDS}, tap by tap.")
  return rows


def _band(panel, steps, values, spread, *, color, marker, label):
  """Draws a line with a band of one standard error, from the first step of training on."""
  trained = steps > 0
  steps, values, spread = steps[trained], values[trained], np.nan_to_num(spread[trained])
  panel.plot(steps, values, color=color, marker=marker, markersize=2.5, label=label)
  panel.fill_between(steps, values - spread, values + spread, color=color, alpha=0.2, linewidth=0)
