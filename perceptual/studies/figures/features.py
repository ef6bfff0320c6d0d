"""What features tell: perceptual functions, sensitivity, entropy, frequencies, dynamic range."""

import numpy as np
from scipy import stats

from perceptual.studies.analyses import configurations, entropy
from perceptual.studies.figures import data as study_data
from perceptual.studies.figures import drawn, published, style

DISTANCES = {"local": "local", "mean_pool": "mean pool", "style": "style", "lin": "learned (lin)"}
_SIGMAS = np.geomspace(0.05, 5, 60)


def functions(data):
  """The score by perceptual function, out of the box: (a) at the end, (b) at each one's best step.

  Networks come by ascending accuracy. The best of several steps is too high by what noise adds.
  """
  found = {distance: data.out_of_the_box(distance=distance) for distance in DISTANCES}
  found = {distance: of_distance for distance, of_distance in found.items() if of_distance}
  drawn.require(found, "functions", "networks out of the box, scored by several distances")
  networks = [c.network for c in sorted(
      next(iter(found.values())), key=lambda c: c.point[0])]
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=2.9, sharey=True)
  rows = []
  for place, (distance, look) in enumerate(style.marks(found).items()):
    shift = 0.16 * (place - (len(found) - 1) / 2)
    at_end = [c for c in found[distance] if c.network in networks]
    drawn.points(axes[0, 0], at_end, x=[networks.index(c.network) + shift for c in at_end],
                 label=DISTANCES[distance], **look)
    rows += [drawn.row(c, panel="a", distance=distance) for c in at_end]
    rows += _best_steps(axes[0, 1], data, distance, networks, shift, look)
  if data.comparable:
    for panel, letter, stated in ((axes[0, 0], "a", published.FUNCTIONS),
                                  (axes[0, 1], "b", published.FUNCTIONS_EARLY_STOPPED)):
      rows += _published_functions(panel, letter, stated, networks, list(found))
  for panel in axes.flat:
    panel.set_xticks(range(len(networks)), map(style.network_name, networks), rotation=60,
                     ha="right", rotation_mode="anchor")
  axes[0, 0].set_ylabel(data.score_label)
  axes[0, 0].set_title("end of training")
  axes[0, 1].set_title("best step")
  style.legend(figure, columns=5)
  return drawn.Drawn(figure, rows, [
      f"scores by the distance {distance}" for distance in DISTANCES if distance not in found])


def _best_steps(panel, data, distance, networks, shift, look):
  rows = []
  for place, network in enumerate(networks):
    curve = data.curves(network, distance=distance)
    if curve is None:
      continue
    steps, score, spread, accuracy, _ = curve
    trained = np.flatnonzero(steps > 0)
    best = trained[np.argmax(score[trained])]
    panel.errorbar(place + shift, score[best], yerr=np.nan_to_num(spread[best]), linestyle="none",
                   elinewidth=0.7, label=DISTANCES[distance], **look)
    rows.append({"panel": "b", "distance": distance, "source": "measured", "network": network,
                 "step": int(steps[best]), "accuracy": drawn.rounded(accuracy[best]),
                 "score": drawn.rounded(score[best]), "score_se": drawn.rounded(spread[best])})
  return rows


def _published_functions(panel, letter, stated, networks, distances):
  rows = []
  looks = style.marks(distances)
  for network, of_network in stated.items():
    for distance, score in of_network.items():
      if network in networks and distance in distances:
        shift = 0.16 * (distances.index(distance) - (len(distances) - 1) / 2)
        drawn.published(panel, networks.index(network) + shift, score,
                        color=looks[distance]["color"], label="_")
        rows.append({"panel": letter, "distance": distance,
                     **drawn.published_row(network, score=score)})
  if rows:
    drawn.published(panel, [], [])  # one entry of the legend
  return rows


def sensitivity(data):
  """Distortion sensitivity against accuracy and score: all taps summed, a point a run."""
  return _against_both(data, "sensitivity", "sensitivity", configurations.SUM,
                       "distortion sensitivity")


def feature_entropy(data):
  """Entropy of features against accuracy and score: averaged over taps, a point a run."""
  return _against_both(data, "entropy", "entropy", entropy.MEAN, "entropy of features")


def _against_both(data, analysis, column, tap, label):
  """Draws a value of an analysis against accuracy and against score, with its intervals."""
  table = data.analysis(analysis).where(tap=tap)
  drawn.require(table, analysis, f"the analysis at {tap}")
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=2.6, sharey=True)
  families = np.array([style.family(network) for network in table["network"]], object)
  rows = []
  for name, look in style.marks(sorted(set(families), key=style.order)).items():
    of_family = table.take(families == name)
    value = of_family[column]
    for panel, x in zip(axes.flat, (of_family["accuracy"], of_family["score"])):
      panel.errorbar(x, value, yerr=[value - of_family["low"], of_family["high"] - value],
                     linestyle="none", elinewidth=0.5, label=style.family_name(name), **look)
    rows += [{"source": "measured", "network": of_family["network"][i], "run": of_family["run"][i],
              **{key: drawn.rounded(of_family[key][i])
                 for key in ("accuracy", "score", column, "low", "high")}}
             for i in range(len(of_family))]
  axes[0, 0].set(xlabel=drawn.ACCURACY, ylabel=label)
  axes[0, 1].set_xlabel(data.score_label)
  style.legend(figure)
  return drawn.Drawn(figure, rows)


def spatial_frequency(data):
  """Accuracy on filtered images: (a) low-pass, (b) the slope of that, (c) without a band.

  All over clean accuracy. Lines are means over seeds, out of the box; bands are standard errors.
  """
  low_pass = data.analysis("low_pass")
  band = _optional(data, "inverse_band_pass")
  figure, axes = style.subplots(1, 3, width=style.PAGE, height=2.5)
  parts = [(axes[0, 0], "a", low_pass, "side", "normalised"),
           (axes[0, 1], "b", low_pass, "side", "slope"),
           (axes[0, 2], "c", band, "radius", "normalised")]
  networks = drawn.featured([c for c in data.out_of_the_box()
                             if c.network in low_pass.unique("network")])
  rows = []
  for network, look in style.marks(sorted((c.network for c in networks),
                                          key=style.order)).items():
    for panel, letter, table, place, column in parts:
      if table is not None:
        rows += _frequency_line(panel, letter, table.where(network=network, varied=False),
                                network, place, column, look)
  axes[0, 0].set(xlabel="side r of the square", ylabel="accuracy / clean accuracy")
  axes[0, 1].set(xlabel="side r of the square", ylabel="slope")
  axes[0, 2].set(xlabel="radius of the band", ylabel="accuracy / clean accuracy")
  style.legend(figure, columns=7)
  return drawn.Drawn(figure, rows, [] if band is not None else [
      "the analysis inverse_band_pass (panel c)"])


def _optional(data, analysis):
  try:
    return data.analysis(analysis)
  except study_data.MissingData:
    return None


def _frequency_line(panel, letter, table, network, place, column, look):
  """Draws the mean over runs at each place; returns the rows."""
  places, means, spreads, counts = [], [], [], []
  for at in sorted(set(table[place])) if len(table) else ():
    values = table[column][(table[place] == at) & ~np.isnan(table[column])]
    if len(values):
      places.append(at)
      means.append(values.mean())
      spreads.append(values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan)
      counts.append(len(values))
  means, spreads = np.array(means), np.array(spreads)
  panel.plot(places, means, **look, linewidth=0.9, markersize=2.5, markevery=0.12,
             label=style.network_name(network))
  panel.fill_between(places, means - np.nan_to_num(spreads), means + np.nan_to_num(spreads),
                     color=look["color"], alpha=0.2, linewidth=0)
  return [{"panel": letter, "source": "measured", "network": network, place: at,
           column: drawn.rounded(means[i]), f"{column}_se": drawn.rounded(spreads[i]),
           "seeds": counts[i]} for i, at in enumerate(places)]


def dynamic_range(data):
  """The score of distances drawn about 0 and 1 with one width, and where on it the networks are.

  The curve is exact: 50 + (2 q - 1) (oracle - 50), q being the probability that the nearer
  candidate's distance is the smaller one. The oracle, the highest score there is, is the published
  80 of BAPPS, so that other judged sets have no such figure; the analysis `dynamic_range` simulates
  the curve of any.
  """
  found = data.out_of_the_box()
  drawn.require(found, "dynamic_range", "networks with nothing varied")
  if not data.comparable:
    raise study_data.MissingData(f"Figure dynamic_range is of {configurations.BAPPS} alone, whose "
                                 f"highest score is published, not of {data.judged_set}.")
  figure, axes = style.subplots(1, 2, width=style.PAGE, height=2.5)
  curve = expected_scores(_SIGMAS, published.ORACLE)
  rows = [{"source": "simulated", "sigma": drawn.rounded(sigma), "score": drawn.rounded(score)}
          for sigma, score in zip(_SIGMAS, curve)]
  # Where the curve has a network's score: it falls, and np.interp takes what rises.
  sigmas = {c.network: float(np.interp(-c.point[1], -curve, _SIGMAS)) for c in found}
  families = list(dict.fromkeys(style.family(c.network) for c in found))
  for panel in axes.flat:
    panel.plot(_SIGMAS, curve, color="black", label=f"simulated, oracle {published.ORACLE:g} "
               f"({style.PUBLISHED})")
    for name, look in style.marks(families).items():
      of_family = [c for c in found if style.family(c.network) == name]
      drawn.points(panel, of_family, x=[sigmas[c.network] for c in of_family],
                   label=style.family_name(name), **look)
    panel.set_xlabel("width of the normals, σ")
  rows += [drawn.row(c, sigma=drawn.rounded(sigmas[c.network])) for c in found]
  axes[0, 0].set(ylabel=data.score_label, xscale="log")
  axes[0, 1].set_title("the networks alone")
  axes[0, 1].set(xlim=_about(sigmas.values()), ylim=_about(c.point[1] for c in found))
  style.legend(figure, columns=4)
  return drawn.Drawn(figure, rows)


def _about(values):
  """Returns limits of an axis about values, with a margin of a fifth of their range."""
  values = list(values)
  margin = 0.2 * (max(values) - min(values)) or 0.01 * abs(values[0])
  return min(values) - margin, max(values) + margin


def expected_scores(sigmas, oracle):
  """Returns the expected score at each width, `[sigmas]`, in percent; see `dynamic_range`.

  Args:
    sigmas: widths, above 0.
    oracle: the highest score there is, in percent.
  """
  places = np.linspace(0, 1, 2001)
  result = []
  for sigma in sigmas:
    near = stats.truncnorm(0, 1 / sigma, 0, sigma)
    # The farther distance is 1 - f, f drawn as the nearer one: q is P(near < 1 - f).
    q = np.trapezoid(near.pdf(places) * near.cdf(1 - places), places)
    result.append(50 + (2 * q - 1) * (oracle - 50))
  return np.array(result)
