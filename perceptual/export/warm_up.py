"""What TensorFlow Serving warms a SavedModel up by: requests that it runs before it serves.

Otherwise the first request of each size of image waits while the graph is made ready for it.
"""

import re

import numpy as np
import tensorflow as tf

from perceptual.common import packages
from perceptual.errors import UserError

FOLDER, FILE = "assets.extra", "tf_serving_warmup_requests"
_PAIR = ("reference", "candidate")
_SIGNATURES = {"serving_default": np.float32, "serving_default_uint8": np.uint8}


def sizes(texts):
  """Returns pairs (height, width) of texts such as `64x96`.

  Raises:
    UserError: a text is not a size, or TensorFlow Serving's messages are not installed.
  """
  if texts:
    packages.require("tensorflow_serving", extra="export", purpose="Warming up a server")
  matches = {text: re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text) for text in texts}
  for text, match in matches.items():
    if match is None:
      raise UserError(f"The size of images {text!r} is not HEIGHTxWIDTH, such as 64x64.")
  return [tuple(map(int, match.groups())) for match in matches.values()]


def write(folder, image_sizes):
  """Writes requests for the distance of a pair of black images, of either type.

  Args:
    folder: of the SavedModel, before it is put in its place.
    image_sizes: pairs (height, width).
  """
  from tensorflow_serving.apis import prediction_log_pb2

  (folder / FOLDER).mkdir()
  with tf.io.TFRecordWriter(str(folder / FOLDER / FILE)) as writer:
    for size in image_sizes:
      for signature, dtype in _SIGNATURES.items():
        log = prediction_log_pb2.PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = signature
        for name in _PAIR:
          image = np.zeros([1, *size, 3], dtype)
          request.inputs[name].CopyFrom(tf.make_tensor_proto(image))
        writer.write(log.SerializeToString())
