"""What compares two images."""

from perceptual.common import backends

if backends.installed():  # without one, metrics may still be listed, and run by ONNX Runtime
  backends.choose()  # before Keras is imported
