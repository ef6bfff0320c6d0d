"""Super-resolution: photographs at four or eight times their size, trained by a loss of features.

After Pihlgren et al. (arXiv 2302.04032), who follow Johnson et al., "Perceptual Losses for
Real-Time Style Transfer and Super-Resolution" (ECCV 2016).
"""

from perceptual.tasks.super_resolution.definition import make as make
