"""Which weights decay, and how.

In the papers' code the loss has an L2 term of all weights but batch normalisation's (ResNets and
EfficientNets). ViTs decay beside the gradient (`optimizers.Adam`), kernels alone: as in the code
that the ViTs' authors released, google-research/big_vision.
"""

from keras import ops

# Scales and offsets of normalisations; a ViT's class token and position embeddings.
_NEVER = ("gamma", "beta", "class_token", "position_embedding")


def is_kernel(variable):
  """Whether a Keras variable is the kernel of a convolution or a dense layer."""
  return _name(variable) == "kernel"


def l2_loss(variables):
  """Returns half the sum of squares of trainable variables: kernels, and biases as in the papers.

  Args:
    variables: Keras variables; scales and offsets of normalisations, tokens and position embeddings
      among them are left out.
  """
  decayed = [v for v in variables if _name(v) not in _NEVER]
  return 0.5 * sum(ops.sum(ops.square(ops.cast(v, "float32"))) for v in decayed)


def _name(variable):
  return variable.path.rsplit("/", 1)[-1]
