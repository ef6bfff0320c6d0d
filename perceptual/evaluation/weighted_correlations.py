"""Correlations in which examples count several times, as in the draws of a bootstrap.

Each draw is a row of weights: how often an example, or each example of a cluster, was drawn.
"""

import dataclasses

import numpy as np

_ROWS = 128  # examples compared with all others at once, which bounds the memory


def pearson(x, y, weights):
  """Returns Pearson's correlation for each row of weights; NaN where one of the two is constant.

  Args:
    x: `[examples]` or `[rows, examples]`.
    y: as `x`.
    weights: `[rows, examples]`, how often each example counts.
  """
  total = weights.sum(axis=1, keepdims=True)
  x = x - np.sum(weights * x, axis=1, keepdims=True) / total
  y = y - np.sum(weights * y, axis=1, keepdims=True) / total
  product = np.sum(weights * x * y, axis=1)
  variances = np.sum(weights * x**2, axis=1) * np.sum(weights * y**2, axis=1)
  return np.divide(product, np.sqrt(variances), out=np.full(len(weights), np.nan),
                   where=variances > 0)


def spearman(x, y, weights):
  """As `pearson`, of the ranks; an example that counts twice has two equal ranks."""
  return pearson(_midranks(x, weights), _midranks(y, weights), weights)


def _midranks(values, weights):
  """`[rows, examples]`: the mean rank of each value where each example counts `weights` times."""
  order = np.argsort(values, kind="stable")
  ascending = values[order]
  begins = np.append(True, ascending[1:] != ascending[:-1])
  totals = np.add.reduceat(weights[:, order], np.flatnonzero(begins), axis=1)
  ranks = np.cumsum(totals, axis=1) - (totals - 1) / 2
  group = np.empty(len(values), int)
  group[order] = np.cumsum(begins) - 1
  return ranks[:, group]


@dataclasses.dataclass(frozen=True)
class Concordance:
  """What Kendall's tau-b needs from the pairs of examples, by the clusters of the two.

  Attributes:
    agreed: `[clusters, clusters]`, concordant pairs less discordant ones.
    apart_x: `[clusters, clusters]`, pairs that differ in x.
    apart_y: `[clusters, clusters]`, pairs that differ in y.
  """

  agreed: np.ndarray
  apart_x: np.ndarray
  apart_y: np.ndarray

  @classmethod
  def between(cls, x, y, index, count):
    """Compares all pairs of examples: `examples` squared steps, block by block.

    Args:
      x: `[examples]`.
      y: `[examples]`.
      index: `[examples]` cluster of each example, from 0; no cluster is empty.
      count: number of clusters.
    """
    order = np.argsort(index, kind="stable")
    x, y, index = x[order], y[order], index[order]
    begins = np.searchsorted(index, np.arange(count))
    tables = np.zeros([3, count, count])
    for start in range(0, len(x), _ROWS):
      rows = slice(start, start + _ROWS)
      sign_x = np.sign(x[rows, None] - x)
      sign_y = np.sign(y[rows, None] - y)
      for table, pairs in zip(tables, (sign_x * sign_y, np.abs(sign_x), np.abs(sign_y))):
        np.add.at(table, index[rows], np.add.reduceat(pairs, begins, axis=1))
    return cls(*tables)


def kendall(concordance, counts):
  """Returns tau-b where each cluster counts `counts` times, `[rows, clusters]`; NaN if undefined.

  Copies of one example are tied with each other, so that the sums over pairs are quadratic forms.
  """
  agreed, apart_x, apart_y = (
      np.sum((counts @ table) * counts, axis=1)
      for table in (concordance.agreed, concordance.apart_x, concordance.apart_y))
  product = np.sqrt(apart_x * apart_y)
  return np.divide(agreed, product, out=np.full(len(counts), np.nan), where=product > 0)
