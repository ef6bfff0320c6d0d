"""What compares two images."""

from perceptual.common import backends, packages

# Without a backend, ONNX Runtime may still do.
if backends.installed() or not packages.is_installed("onnxruntime"):
  backends.choose()  # before Keras is imported
