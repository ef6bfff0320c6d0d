"""Features that nothing was trained for, as metrics: random (Gaussian) networks, stacked k-means.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018),
section 3 and table 5: the rows that show how much a network's architecture alone contributes, and
how much the statistics of unlabelled images do.
"""

from perceptual.metrics.fixed_features.gaussian import gaussian
from perceptual.metrics.fixed_features.kmeans import kmeans

__all__ = ["gaussian", "kmeans"]
