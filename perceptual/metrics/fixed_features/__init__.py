"""Features that nothing was trained for, as metrics: random (Gaussian) networks, stacked k-means.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018),
section 3 and table 5: the rows that say how much of a network's worth is its architecture alone,
and how much comes with the statistics of images, before anybody has labelled one.
"""

from perceptual.metrics.fixed_features.gaussian import gaussian
from perceptual.metrics.fixed_features.kmeans import kmeans

__all__ = ["gaussian", "kmeans"]
