"""A metric on its way out: a SavedModel that needs nothing but TensorFlow, and files for Keras."""

from perceptual.export.keras_files import keras_metric

__all__ = ["keras_metric"]
