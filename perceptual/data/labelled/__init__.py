"""Labelled images: ImageNet at 64x64, one's own, the demo."""
