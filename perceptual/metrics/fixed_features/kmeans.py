"""Stacked k-means: a network whose kernels are the centroids of patches of images, as a metric.

Krähenbühl, Doersch, Donahue, Darrell, "Data-dependent Initializations of Convolutional Neural
Networks" (ICLR 2016, arXiv 1511.06856), with whose AlexNet Zhang et al. (CVPR 2018) have the row
"K-means". No label is used, and no gradient.

Layer by layer, from the image on: patches of the layer's input are centred, whitened by PCA to as
many components as the layer has filters, and brought to unit length; k-means finds as many
centroids as filters; they are the kernels, in the coordinates of the patches. Then each channel is
scaled, and its bias set, so that over all positions of all images it has zero mean and unit
variance before the ReLU. The next layer sees these features.

Where the paper leaves open what to do, its authors' code, philkr/magic_init, was followed: PCA
keeps the components of the highest variance, and k-means is scikit-learn's on mini-batches of ten
patches a centroid. Taken otherwise: the bias centres channels at 0 (an option of the code, which
has 0.1 by default), and there is no calibration of layers against each other, since it multiplies
all features of a tap by one positive number, which distances of normalised features do not see.
"""

import hashlib

import keras
import numpy as np
from keras import ops

from perceptual import errors, models
from perceptual.common import packages, progress
from perceptual.metrics import networks
from perceptual.metrics.feature_metric import FeatureMetric
from perceptual.models import preprocessing

NETWORKS = ("alexnet",)

PATCHES = 5000  # a layer, of all images
DEMO_CROPS = 60  # of each demo photograph
_BATCH = 64


def kmeans(network="alexnet", *, images=None, seed=0, distance="local", taps=None,
           float_range=(0.0, 1.0), dtype="float32"):
  """Returns the metric of a network fitted by stacked k-means.

  That takes about 10 seconds of one CPU core for the default images. On one machine, equal
  arguments give equal weights with any number of cores.

  Args:
    network: one of `NETWORKS`.
    images: what it is fitted to, `[n, height, width, 3]`, uint8 or float in the declared range;
      None for 1,020 crops of the embedded demo photographs at 64x64, of the regions that the demo
      trains on.
    seed: a non-negative integer: of the choice of patches, and of k-means.
    distance: name of the distance between features.
    taps: names of the taps to use; None for all. They change no weight.
    float_range: what the lowest and highest value of a float image mean, one of
      `preprocessing.FLOAT_RANGES`' values.
    dtype: what the network computes in, one of `networks.DTYPES`.

  Returns:
    `feature_metric.FeatureMetric`; lower is better.

  Raises:
    UserError: an unknown network, distance, tap or dtype, an illegal seed, images out of range, too
      few or too small of them, or images without variety.
  """
  if network not in NETWORKS:
    raise errors.unknown("network of k-means", network, NETWORKS)
  packages.require("sklearn", "threadpoolctl", extra="demo", purpose=f"kmeans-{network}")
  preprocess = preprocessing.Preprocessing(float_range=float_range)
  if images is not None:
    images = preprocessing.as_array(images)
    preprocess.check(images)
  with networks.made_in(dtype):
    model = models.build(network, num_classes=0, kernel_initializer="zeros")
    # Made before the network is fitted, so that a wrong name does not have to wait for that.
    metric = FeatureMetric(
        model, name=f"kmeans-{network}", taps=taps, distance=distance, preprocess=preprocess,
        options={"seed": seed, "images": "demo" if images is None else _hash(images)})
    if images is None:
      from perceptual.data.labelled import demo

      images, _ = demo.crops("train", per_photograph=DEMO_CROPS)
    fit(model, ops.convert_to_numpy(preprocess(images)), seed=seed)
  return metric


def fit(model, images, *, seed=0):
  """Gives every convolution of a network its centroids and biases.

  Args:
    model: a functional `keras.Model` whose layers with weights are convolutions with biases.
    images: `[n, height, width, 3]` float32, normalised.
    seed: a non-negative integer.

  Raises:
    UserError: an illegal seed, or images that are too few or too much alike.
  """
  errors.require_integer("seed", seed, at_least=0)
  if not (images != images[:1, :1, :1]).any():
    raise errors.UserError("The images are of one colour: k-means finds nothing in them.")
  rng = np.random.default_rng(seed)
  convolutions = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2D)]
  for convolution in progress.progress(
      convolutions, description=f"k-means of {model.name}", unit="layer"):
    features = _run(keras.Model(model.input, convolution.input), images)
    patches = _patches(features, convolution, rng)
    kernel = _centroids(patches, convolution.filters, seed)
    convolution.kernel.assign(kernel.T.reshape(convolution.kernel.shape))
    convolution.bias.assign(np.zeros(convolution.filters))
    _normalise(convolution, _run(keras.Model(model.input, convolution.output), images))


def _run(model, images):
  """The output of a model, as a NumPy array."""
  return np.concatenate([
      ops.convert_to_numpy(model(images[i:i + _BATCH], training=False))
      for i in range(0, len(images), _BATCH)])


def _patches(features, convolution, rng):
  """Returns some of what a convolution's windows see, `[patches, rows x columns x channels]`."""
  rows, columns = convolution.kernel_size
  if convolution.padding == "same":  # of an odd kernel at stride 1; others are padded by a layer
    features = np.pad(features, [(0, 0), (rows // 2,) * 2, (columns // 2,) * 2, (0, 0)])
  windows = np.lib.stride_tricks.sliding_window_view(features, (rows, columns), axis=(1, 2))
  windows = windows[:, ::convolution.strides[0], ::convolution.strides[1]]
  places = windows.shape[:3]
  there = int(np.prod(places))
  if there < convolution.filters:
    raise errors.UserError(
        f"The images have {there} patches for {convolution.name}, which needs at least "
        f"{convolution.filters}, as many as it has filters: give more images, or larger ones.")
  chosen = rng.choice(there, min(there, PATCHES), replace=False)
  patches = windows[np.unravel_index(chosen, places)]  # [patches, channels, rows, columns]
  return patches.transpose(0, 2, 3, 1).reshape(len(chosen), -1)


def _centroids(patches, count, seed):
  """Returns centroids of whitened patches as filters of patches, `[count, values of a patch]`."""
  import threadpoolctl
  from sklearn import cluster, decomposition

  # One thread: sums in another order would make k-means stop elsewhere. It is as fast here.
  with threadpoolctl.threadpool_limits(1):
    pca = decomposition.PCA(
        min(count, patches.shape[1]), whiten=True, svd_solver="randomized", random_state=seed)
    whitened = pca.fit_transform(patches)
    whitened /= np.linalg.norm(whitened, axis=1, keepdims=True) + np.finfo(np.float32).tiny
    centroids = cluster.MiniBatchKMeans(
        count, batch_size=10 * count, n_init=1, random_state=seed).fit(whitened).cluster_centers_
    scale = np.sqrt(pca.explained_variance_).clip(np.finfo(np.float32).eps)
    return centroids / scale @ pca.components_


def _normalise(convolution, outputs):
  """Gives the channels of a convolution zero mean and unit variance, over what they are now."""
  mean, std = outputs.mean(axis=(0, 1, 2), dtype=float), outputs.std(axis=(0, 1, 2), dtype=float)
  if not (std > 0).all():
    raise errors.UserError(f"The images are too much alike: a filter of {convolution.name} has the "
                           "same output everywhere.")
  convolution.kernel.assign(ops.convert_to_numpy(convolution.kernel) / std)
  convolution.bias.assign(-mean / std)


def _hash(images):
  """A hash of an array of images, for the fingerprint."""
  images = ops.convert_to_numpy(images)
  return hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
