"""What compares two images."""

from perceptual.common import backends

backends.choose_unless_optional()  # before Keras is imported
