"""AlexNet as torchvision has it, with the output of every convolution's ReLU as a feature tap.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (arXiv 1404.5997);
torchvision/models/alexnet.py. The trunk of LPIPS-Alex.
"""

import keras

from perceptual.models import layers, taps, torch_layers

# Channels, kernel, stride and padding of each convolution, and the stride of its tap. The first
# two and the last are followed by a 3x3 max-pool of stride 2.
_CONVOLUTIONS = (
    (64, 11, 4, 2, 4),
    (192, 5, 1, 2, 8),
    (384, 3, 1, 1, 16),
    (256, 3, 1, 1, 16),
    (256, 3, 1, 1, 16),
)
_POOLED = (1, 2)
_HIDDEN = 4096


def alexnet(*, width=1.0, num_classes=1000, dropout=0.5, kernel_initializer="he_normal",
            image_size=None, name="alexnet"):
  """Builds an AlexNet with the taps `relu1` to `relu5`.

  Of an image of side n the taps have sides (n - 7) // 4 + 1 and then twice (previous - 3) // 2 + 1:
  64x64 images give maps of 15x15, 7x7 and three of 3x3. The smallest image is 31x31, and 63x63 with
  logits.

  Variables are named by place: `conv1/kernel` to `conv5/bias`, `fc6/kernel`, `fc7/kernel`,
  `logits/kernel`.

  Args:
    width: the multiple of the channels of every layer but the last, > 0.
    num_classes: the number of logits; 0 for the taps alone, without the 55 million weights of the
      classifier.
    dropout: the fraction dropped in training before each hidden layer of the classifier, in [0, 1).
    kernel_initializer: how the weights begin, all but those of the logits: as Keras's layers take
      it. "zeros" is quick, for a network whose weights are then loaded.
    image_size: the side or (height, width) of the images, in pixels; None for any.
    name: the model's name.

  Returns:
    A functional `keras.Model` from `image`, `[batch, height, width, 3] float32` already normalised,
    to a dict: `logits`, `[batch, num_classes] float32` (unless num_classes is 0), and each tap.

  Raises:
    UserError: an illegal option.
  """
  torch_layers.check_options(width=width, num_classes=num_classes, dropout=dropout,
                      kernel_initializer=kernel_initializer)
  image = layers.image_input(image_size)
  x = torch_layers.MinimumSize(31, image_side=31, with_logits=63 if num_classes else None,
                        name="minimum_size")(image)
  features = {}
  for number, (channels, kernel, stride, padding, tap_stride) in enumerate(_CONVOLUTIONS, start=1):
    x = torch_layers.conv_relu(
        x, torch_layers.scaled(channels, width), kernel, stride=stride, padding=padding,
        kernel_initializer=kernel_initializer, name=f"conv{number}")
    x = features[f"relu{number}"] = taps.Tap(stride=tap_stride, name=f"relu{number}")(x)
    if number in _POOLED:
      x = torch_layers.max_pool(x, 3, stride=2, name=f"pool{number}")
  logits = {}
  if num_classes:
    logits["logits"] = _classifier(
        x, torch_layers.scaled(_HIDDEN, width), num_classes, dropout=dropout,
        kernel_initializer=kernel_initializer)
  return keras.Model(image, {**logits, **features}, name=name)


def _classifier(x, hidden, num_classes, *, dropout, kernel_initializer):
  x = torch_layers.MinimumSize(3, image_side=63, name="minimum_size_of_relu5")(x)
  x = torch_layers.max_pool(x, 3, stride=2, name="pool5")
  x = torch_layers.AdaptiveAveragePooling(6, name="grid")(x)
  x = torch_layers.flatten(x, name="flatten")
  for name in ("fc6", "fc7"):
    if dropout > 0:
      x = layers.Dropout(dropout, name=f"{name}_dropout")(x)
    x = torch_layers.dense_relu(x, hidden, kernel_initializer=kernel_initializer, name=name)
  return torch_layers.logits(x, num_classes)
