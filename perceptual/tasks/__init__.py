"""Networks trained with a perceptual loss: which loss is the best to train with?

The downstream tasks of Pihlgren et al., "A Systematic Performance Analysis of Deep Perceptual Loss
Networks: Breaking Transfer Learning Conventions" (arXiv 2302.04032): super-resolution, delineation
of roads, and autoencoding. `registry` lists them; each has a folder with its data, its network and
its tests. The loss (`loss`), the training run (`run`) and the results (`results`) are shared.
"""
