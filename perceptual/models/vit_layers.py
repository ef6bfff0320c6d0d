"""The layers of Vision Transformers, which Keras lacks or has slower.

Maps are `[batch, rows, columns, channels]`, tokens `[batch, tokens, channels]`.
"""

import keras
from keras import ops

from perceptual.models import layers, resizing


@keras.saving.register_keras_serializable("perceptual")
def tanh_gelu(x):
  """The tanh approximation of the GELU; Keras's name "gelu" stands for the exact one."""
  return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable("perceptual")
class WholePatches(layers.SideCheck):
  """Lets images through whose sides are whole numbers of patches.

  Args:
    patch: the side of a patch, in pixels.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, patch, **options):
    super().__init__(**options)
    self.patch = patch

  def is_legal(self, side):
    return side % self.patch == 0

  def message(self, sides=None):
    received = f" Received: {sides[0]}x{sides[1]}." if sides else ""
    return (f"The sides of the images must be multiples of {self.patch} pixels, the side of this "
            f"network's patches.{received}")

  def get_config(self):
    return {**super().get_config(), "patch": self.patch}


@keras.saving.register_keras_serializable("perceptual")
class Tokens(keras.layers.Layer):
  """Makes tokens of a map of patches: a class token and the patches, each with its position added.

  `[batch, rows, columns, channels]` becomes `[batch, 1 + rows * columns, channels]`. Positions have
  learned embeddings on a grid; those of another grid are interpolated bilinearly.

  Args:
    grid: the rows, and the columns, of the learned grid.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, grid, **options):
    super().__init__(**options)
    self.grid = grid

  def build(self, input_shape):
    channels = input_shape[-1]
    self.class_token = self.add_weight(
        name="class_token", shape=(1, 1, channels), initializer="zeros")
    # Positions are added in the policy's compute dtype, but interpolated in float32.
    self.position_embedding = self.add_weight(
        name="position_embedding", shape=(1 + self.grid ** 2, channels),
        initializer=keras.initializers.RandomNormal(stddev=0.02), autocast=False)

  def call(self, patches):
    batch, rows, columns, channels = ops.shape(patches)
    class_token = ops.broadcast_to(
        ops.cast(self.class_token, patches.dtype), (batch, 1, channels))
    tokens = ops.concatenate(
        [class_token, ops.reshape(patches, (-1, rows * columns, channels))], axis=1)
    learned = tuple(patches.shape)[1:3] == (self.grid, self.grid)
    positions = self.position_embedding if learned else self._interpolated(rows, columns)
    return tokens + ops.cast(positions, tokens.dtype)

  def compute_output_shape(self, input_shape):
    batch, rows, columns, channels = input_shape
    return (batch, None if None in (rows, columns) else 1 + rows * columns, channels)

  def flops(self, input_shape):
    """Returns 0: additions alone, which `costs.flops` does not count."""
    return 0

  def get_config(self):
    return {**super().get_config(), "grid": self.grid}

  def _interpolated(self, rows, columns):
    """The embeddings of the class token and of positions in another grid, in its order."""
    embedding = ops.convert_to_tensor(self.position_embedding)
    learned = ops.reshape(ops.transpose(embedding[1:]), (-1, self.grid, self.grid))
    grid = ops.reshape(resizing.bilinear(learned, (rows, columns)), (-1, rows * columns))
    return ops.concatenate([embedding[:1], ops.transpose(grid)], axis=0)


@keras.saving.register_keras_serializable("perceptual")
class SelfAttention(keras.layers.Layer):
  """Multi-head attention of tokens to one another, `[batch, tokens, channels]` to the same shape.

  Three separate projections and two batched products: of the forms tried, the quickest to train on
  CPUs (1.3 to 1.6 times as quick as one fused projection or `keras.layers.MultiHeadAttention`).

  Args:
    heads: the number of heads, which divides the channels.
    **options: as `keras.layers.Layer` has them.
  """

  def __init__(self, heads, **options):
    super().__init__(**options)
    self.heads = heads

  def build(self, input_shape):
    self._query, self._key, self._value, self._mixed = (
        self._projection(name, input_shape) for name in ("query", "key", "value", "output"))

  def call(self, tokens):
    _, count, channels = ops.shape(tokens)
    head_channels = channels // self.heads

    def split(projection):
      """Returns a projection's heads, `[batch, heads, tokens, channels / heads]`."""
      by_head = ops.reshape(projection(tokens), (-1, count, self.heads, head_channels))
      return ops.transpose(by_head, (0, 2, 1, 3))

    query = split(self._query) * head_channels ** -0.5
    attention = ops.softmax(ops.matmul(query, ops.transpose(split(self._key), (0, 1, 3, 2))))
    mixed = ops.transpose(ops.matmul(attention, split(self._value)), (0, 2, 1, 3))
    return self._mixed(ops.reshape(mixed, (-1, count, channels)))

  def compute_output_shape(self, input_shape):
    return input_shape

  def flops(self, input_shape):
    """Returns the operations of the products for one image, as `costs.flops` counts them."""
    _, count, channels = input_shape
    return 8 * count * channels ** 2 + 4 * count ** 2 * channels

  def get_config(self):
    return {**super().get_config(), "heads": self.heads}

  def _projection(self, name, input_shape):
    projection = keras.layers.Dense(input_shape[-1], dtype=self.dtype_policy, name=name)
    projection.build(input_shape)
    return projection


@keras.saving.register_keras_serializable("perceptual")
class ClassToken(keras.layers.Layer):
  """The first token, `[batch, channels]`."""

  def call(self, tokens):
    return tokens[:, 0]

  def compute_output_shape(self, input_shape):
    return (input_shape[0], input_shape[2])


@keras.saving.register_keras_serializable("perceptual")
class PatchMap(keras.layers.Layer):
  """All tokens but the first as a map of the shape of a second input, the embedded patches."""

  def call(self, tokens, patches):
    _, rows, columns, channels = ops.shape(patches)
    return ops.reshape(tokens[:, 1:], (-1, rows, columns, channels))

  def compute_output_shape(self, tokens_shape, patches_shape):
    return patches_shape
