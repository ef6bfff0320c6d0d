"""Training classifiers under a `tf.distribute` strategy, and what a training folder holds."""
