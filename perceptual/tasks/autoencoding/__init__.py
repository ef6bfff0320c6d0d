"""Autoencoding: images through 64 numbers and back, and how well the numbers tell classes apart.

After Pihlgren et al. (arXiv 2302.04032) and their earlier "Improving Image Autoencoder Embeddings
with Perceptual Loss" (arXiv 2001.03444).
"""

from perceptual.tasks.autoencoding.definition import make as make
