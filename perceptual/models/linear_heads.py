"""The learned linear heads of LPIPS: a weight for each channel of each tap.

Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR 2018):
a 1x1 convolution without bias and with weights that are not negative, of the squared differences of
normalised features.
"""

import keras
from keras import ops


def linear_heads(channels, *, name="linear_heads"):
  """Builds the heads, with weights of one, which weigh no channel more than another.

  Args:
    channels: a dict from tap to its number of channels.
    name: the model's name.

  Returns:
    A functional `keras.Model` from `{tap: [batch, height, width, channels] float32}` to
    `{tap: [batch, height, width, 1] float32}`. The head of a tap is the layer `<tap>_head`.
  """
  differences = {
      tap: keras.Input((None, None, count), name=tap, dtype="float32")
      for tap, count in channels.items()}
  outputs = {
      tap: keras.layers.Conv2D(
          1, 1, use_bias=False, kernel_initializer="ones",
          kernel_constraint=keras.constraints.NonNeg(), data_format="channels_last",
          dtype="float32", name=f"{tap}_head")(x)
      for tap, x in differences.items()}
  return keras.Model(differences, outputs, name=name)


def channel_weights(heads):
  """Returns what the heads have learned, `{tap: [channels] float32}`, as NumPy arrays."""
  return {tap: ops.convert_to_numpy(heads.get_layer(f"{tap}_head").kernel).ravel()
          for tap in heads.output}
