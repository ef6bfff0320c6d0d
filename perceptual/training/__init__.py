"""Training classifiers under a `tf.distribute` strategy, and what a run directory holds."""
