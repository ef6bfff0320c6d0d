"""Delineation: roads in aerial photographs as a mask, trained by pixels and by features.

After Pihlgren et al. (arXiv 2302.04032), who follow Mosinska et al., "Beyond the Pixel-Wise Loss
for Topology-Aware Delineation" (CVPR 2018).
"""

from perceptual.tasks.delineation.definition import make as make
