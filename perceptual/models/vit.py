"""Vision Transformers for 64x64 images, with the class token after every block as a feature tap.

Dosovitskiy et al., "An Image is Worth 16x16 Words" (arXiv 2010.11929), and their code,
google-research/vision_transformer (vit_jax/models_vit.py), in the sizes of Kumar et al., "Do better
ImageNet classifiers assess perceptual similarity better?" (TMLR 2022). From that code: the GELU is
its tanh approximation (Flax's default), the epsilon of layer normalisation 1e-6, initial values are
Glorot's for the encoder, LeCun's for the patches and zero for the class token and the logits; no
dropout of attention weights.

Taps are taken from the stream of residuals, ahead of the last layer normalisation, which belongs to
the classifier.
"""

import dataclasses
import math

import keras

from perceptual import errors
from perceptual.models import layers, taps, vit_layers

# The side, in pixels, of the images that have one learned position embedding for each patch.
LEARNED_SIDE = 64

# The user's keras.json may say otherwise; the whole package is [batch, height, width, channels].
_FORMAT = "channels_last"

# A width or depth written with three digits, as 0.167, still means a sixth.
_TOLERANCE = 0.01


@dataclasses.dataclass(frozen=True)
class Variant:
  """A published size.

  Attributes:
    channels: channels of a token.
    mlp_channels: hidden channels of a block's MLP.
    blocks: encoder blocks.
    heads: heads of each block's attention.
    patch: the side of a patch, in pixels.
  """

  channels: int
  mlp_channels: int
  blocks: int
  heads: int
  patch: int


VARIANTS = {
    "vit_b8": Variant(channels=768, mlp_channels=3072, blocks=12, heads=12, patch=8),
    "vit_b4": Variant(channels=768, mlp_channels=3072, blocks=12, heads=12, patch=4),
    "vit_l8": Variant(channels=1024, mlp_channels=4096, blocks=24, heads=16, patch=8),
    "vit_l4": Variant(channels=1024, mlp_channels=4096, blocks=24, heads=16, patch=4),
}


def vit(variant, *, width=1.0, depth=1.0, patch_taps=False, num_classes=1000, dropout=0.0,
        image_size=None, name=None):
  """Builds a Vision Transformer with feature taps.

  A tap `block_i` is the class token after encoder block i, `[batch, channels]`, with no stride.
  With `patch_taps` there is a tap `patches_i` besides: the tokens of the patches after that block,
  as a map `[batch, height / patch, width / patch, channels]`, whose stride is the patch.

  Position embeddings are learned for the patches of 64x64 images, 8x8 or 16x16 of them, and
  interpolated bilinearly for images of other sizes. The sides of an image must be multiples of the
  patch.

  **How many heads a narrowed network has is stated nowhere.** Taken here is the published number,
  12 or 16, at every width: a head narrows with the network. So the legal widths are the multiples
  of 1/64, and the best ones of Kumar et al., "6%" and "12%", are 1/16 and 1/8. With heads of a
  constant 64 channels, the former could not be built. Their first version prints 12 heads for
  ViT-L/4, which do not divide its 1024 channels; it has 16 here, as everywhere else.

  Variables are named by place (`patches/kernel`, `tokens/position_embedding`,
  `block1_attention/query/kernel`, `block1_mlp_out/bias`), so that `variable.path` depends on the
  options alone.

  Args:
    variant: one of `VARIANTS`.
    width: the fraction of the published channels, of tokens and MLPs: a multiple of 1/64.
    depth: the fraction of the published blocks, at most 1, a multiple of 1/12 or 1/24: 0.167 of a
      ViT-B are two blocks.
    patch_taps: whether there are taps of the patches too.
    num_classes: the number of logits; 0 for the taps alone.
    dropout: the fraction dropped in training of the tokens, of what attention adds to them, and of
      an MLP's hidden and last channels, in [0, 1). The recipe has 0.1.
    image_size: the side or (height, width) of the images, in pixels; None for any, which may then
      differ from call to call.
    name: the model's name; None for that of the variant.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already
    normalised, to a dict: `logits`, `[batch, num_classes] float32` under every dtype policy (unless
    num_classes is 0), and each tap by its name in the policy's compute dtype.

  Raises:
    UserError: an unknown variant, an illegal option, or an image size that is not a whole number of
      patches.
  """
  if variant not in tuple(VARIANTS):
    raise errors.unknown("ViT", variant, VARIANTS)
  _check_options(patch_taps=patch_taps, num_classes=num_classes, dropout=dropout)
  size = _scaled(variant, width, depth)
  image = layers.image_input(image_size)
  patches, x = _embedded(image, size, dropout)
  features = {}
  for number in range(1, size.blocks + 1):
    x = _block(x, size, dropout, name=f"block{number}")
    features |= _taps(x, patches if patch_taps else None, number, stride=size.patch)
  logits = {}
  if num_classes:
    logits["logits"] = _classifier(features[f"block_{size.blocks}"], num_classes)
  return keras.Model(image, {**logits, **features}, name=name or variant)


def _check_options(*, patch_taps, num_classes, dropout):
  """Raises a `UserError` for an illegal value; the others are checked where they are used."""
  layers.require(isinstance(patch_taps, bool), "patch_taps", patch_taps, must_be="True or False")
  layers.require(layers.is_integer(num_classes) and num_classes >= 0, "num_classes", num_classes,
                 must_be="an integer >= 0")
  layers.require(layers.is_number(dropout) and 0 <= dropout < 1, "dropout", dropout,
                 must_be="a number in [0, 1)")


def _scaled(variant, width, depth):
  """Returns a published `Variant` made narrower, wider or shallower."""
  layers.require_factor("width", width)
  # Two blocks are easily asked for by a 2, which would give twice the published ones.
  layers.require(layers.is_number(depth) and 0 < depth <= 1, "depth", depth,
                 must_be="a fraction of the published depth, in (0, 1]")
  size = VARIANTS[variant]
  head_channels = _whole(
      "width", width, size.channels // size.heads, f"channels of each of the {size.heads} heads of "
      f"{variant}")
  blocks = _whole("depth", depth, size.blocks, f"blocks of {variant}")
  channels = head_channels * size.heads
  return dataclasses.replace(
      size, channels=channels, mlp_channels=channels * size.mlp_channels // size.channels,
      blocks=blocks)


def _whole(option, fraction, published, what):
  """Returns a fraction of a published number of things, which must be a whole number of them."""
  exact = fraction * published
  nearest = max(1, math.floor(exact + 0.5))
  if abs(exact - nearest) > _TOLERANCE:
    below = max(1, math.floor(exact))
    nearby = " or ".join(f"{count / published:.6g} ({count})" for count in (below, below + 1))
    raise errors.UserError(
        f"{option} must be a multiple of 1/{published}, a whole number of the {published} {what}: "
        f"for instance {nearby}. Received: {fraction!r}.")
  return nearest


def _embedded(image, size, dropout):
  """Returns the embedded patches as a map, and the tokens that the encoder begins with."""
  x = vit_layers.WholePatches(size.patch, name="whole_patches")(image)
  patches = keras.layers.Conv2D(
      size.channels, size.patch, strides=size.patch, padding="valid",
      kernel_initializer="lecun_normal", data_format=_FORMAT, name="patches")(x)
  tokens = vit_layers.Tokens(LEARNED_SIDE // size.patch, name="tokens")(patches)
  return patches, _dropped(tokens, dropout, name="tokens")


def _block(x, size, dropout, *, name):
  """Applies an encoder block: attention, then an MLP, each to normalised tokens and then added."""
  y = _normalised(x, name=f"{name}_attention_norm")
  y = vit_layers.SelfAttention(size.heads, name=f"{name}_attention")(y)
  y = _dropped(y, dropout, name=f"{name}_attention")
  x = keras.layers.Add(name=f"{name}_attention_add")([x, y])
  y = _normalised(x, name=f"{name}_mlp_norm")
  y = _dense(y, size.mlp_channels, activation=vit_layers.tanh_gelu, name=f"{name}_mlp_hidden")
  y = _dropped(y, dropout, name=f"{name}_mlp_hidden")
  y = _dense(y, size.channels, name=f"{name}_mlp_out")
  y = _dropped(y, dropout, name=f"{name}_mlp_out")
  return keras.layers.Add(name=f"{name}_mlp_add")([x, y])


def _normalised(x, *, name):
  return keras.layers.LayerNormalization(epsilon=1e-6, name=name)(x)


def _dense(x, channels, *, activation=None, name):
  almost_zero = keras.initializers.RandomNormal(stddev=1e-6)
  return keras.layers.Dense(
      channels, activation=activation, bias_initializer=almost_zero, name=name)(x)


def _dropped(x, dropout, *, name):
  return layers.Dropout(dropout, name=f"{name}_dropout")(x) if dropout > 0 else x


def _taps(x, patches, number, *, stride):
  """Returns the taps of a block: of the class token, and of the patches if their map is given."""
  token = vit_layers.ClassToken(name=f"block{number}_class_token")(x)
  features = {f"block_{number}": taps.Tap(stride=None, name=f"block_{number}")(token)}
  if patches is not None:
    patch_map = vit_layers.PatchMap(name=f"block{number}_patch_map")(x, patches)
    features[f"patches_{number}"] = taps.Tap(stride=stride, name=f"patches_{number}")(patch_map)
  return features


def _classifier(x, num_classes):
  """Applies the last normalisation and the dense layer, in float32 whatever the dtype policy."""
  x = keras.layers.LayerNormalization(epsilon=1e-6, dtype="float32", name="norm")(x)
  return keras.layers.Dense(
      num_classes, kernel_initializer="zeros", dtype="float32", name="logits")(x)
