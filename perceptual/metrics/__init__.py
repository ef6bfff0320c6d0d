"""What compares two images."""

from perceptual.common import backends

backends.choose()  # before Keras is imported
