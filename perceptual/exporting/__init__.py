"""A metric on its way out: a SavedModel that needs nothing but TensorFlow."""
