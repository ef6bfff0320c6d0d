"""The two tests: that of the study, and the standard one of the super-resolution literature.

`study`: the photograph becomes a pair of 288 pixels a side, its input blurred by 1 (`pairs`), so
its numbers are not comparable with any table of Set5 or Set14. Its code prints four, and which of
them the paper reports is unknown:

    psnr_a   Y = 65.481 R + 128.553 G + 24.966 B + 16, no border, peak the brightest Y of the target
    ssim_b   of the same Y: Gaussian window, peak the wider of the two ranges
    psnr_c   of 8-bit pictures, Y = (65.738 R + 129.057 G + 25.064 B) / 256, border 2, peak 1
    ssim_d   of the same Y: square window of 7 pixels

and here `psnr` besides, that of psnr_a at the peak of 255.

`standard`: the whole photograph, cropped to a multiple of the scale and shrunk by MATLAB's bicubic
(`bicubic`); PSNR and SSIM of the luma of 8 bits without a border as wide as the scale, peak 255.
The baseline of the literature shrinks and enlarges that luma alone. Perceptual metrics are of the
whole colour images. Of a photograph stored without colour the luma is its grey.
"""

import contextlib
import pathlib

import numpy as np

from perceptual import errors
from perceptual.common import packages
from perceptual.common.progress import plural
from perceptual.common.progress import progress as progress_bar
from perceptual.loading import load_metric
from perceptual.tasks import results
from perceptual.tasks.super_resolution import bicubic, network, pairs

STUDY_BORDER = 2
_OF_THE_STUDY = ("psnr_a", "ssim_b", "psnr_c", "ssim_d")
STANDARD = ("psnr", "ssim")  # measures of the standard test, of luma
_SHOWN = 4  # pictures of each test


def test(model, test_sets, *, scale, metrics, progress):
  """Returns the `results.Result`s of a network and of bicubic, by both tests.

  Args:
    model: the network, images in [0, 1] to images in [0, 1].
    test_sets: name -> `image_sources.Images`.
    scale: how much larger the outputs are.
    metrics: names of metrics for the standard test.
    progress: called with a line of text as a test begins.
  """
  packages.require("skimage", extra="demo", purpose="The study's test of super-resolution")
  loaded = {name: load_metric(name) for name in metrics}
  found = []
  for name, images in test_sets.items():
    progress(f"testing on {name}: {plural(len(images.names), 'photograph')}")
    _require_sizes(name, images, network.LEAST_SIDE * scale)
    of_study, standard = [], []
    photographs = progress_bar(images.names, description=f"testing on {name}")
    for number, (photograph, grey) in enumerate(zip(photographs, images.greyscale)):
      with _naming(f"{name}/{photograph}"):
        image = images.read(number)
        of_study.append(_study(model, image, scale))
        standard.append(_standard(model, image, scale, grey=grey, metrics=loaded))
    found += _results(name, "study", images.names, of_study)
    found += _results(name, "standard", images.names, standard)
  return found


def _require_sizes(name, images, least):
  """Raises `UserError` unless what photographs are shrunk to is large enough for the network."""
  for photograph, size in zip(images.names, images.sizes):
    if min(size) < least:
      raise errors.UserError(f"{name}/{photograph}: {size[1]}x{size[0]} pixels are too few: the "
                             f"standard test needs {least} a side. Leave it out.")


@contextlib.contextmanager
def _naming(photograph):
  """Puts the name of a photograph before an error, for instance that it is too small."""
  try:
    yield
  except ValueError as error:  # a `UserError` is one
    raise errors.UserError(f"{photograph}: {errors.first_line(error)}") from None


def _study(model, photograph, scale):
  """Returns the target of a photograph, and `{method: (measures, output)}` as the study has it."""
  small, target = pairs.pair(photograph, scale=scale)
  outputs = {"network": restored(model, small), "bicubic": pairs.upsampled(small, scale)}
  return target, {method: (study_measures(target, output), output)
                  for method, output in outputs.items()}


def _standard(model, photograph, scale, *, grey, metrics):
  """Returns what the standard test has of one photograph, as `_study`."""
  height, width = (length // scale * scale for length in photograph.shape[:2])
  target = photograph[:height, :width]
  small = bicubic.resize(target, 1 / scale)
  plane = luma(target, grey=grey)
  restored_image, enlarged = _uint8(restored(model, small)), bicubic.resize(small, scale)
  outputs = {"network": (luma(restored_image, grey=grey), restored_image),
             "bicubic": (bicubic_luma(plane, scale), enlarged)}
  return target, {
      method: ({**standard_measures(plane, output_plane, scale),
                **{name: float(np.asarray(metric(target[np.newaxis], output[np.newaxis]))[0])
                   for name, metric in metrics.items()}}, output)
      for method, (output_plane, output) in outputs.items()}


def restored(model, small):
  """Returns what a network makes of a small uint8 image: `[height, width, 3]` float."""
  batch = _float(small)[np.newaxis].astype(np.float32)
  return np.asarray(model(batch, training=False))[0].astype(np.float64)


def bicubic_luma(plane, scale):
  """Returns a luma `[height, width]` uint8 shrunk and enlarged again: the baseline."""
  return bicubic.resize(bicubic.resize(plane, 1 / scale), scale)


def study_measures(target, output):
  """Returns the four numbers of the study's code, and `psnr`, by name.

  Args:
    target: `[height, width, 3]` uint8.
    output: the same, float in [0, 1] or uint8.
  """
  exact, rounded = _float(output), _float(_uint8(output))
  target = _float(target)
  y, y_of_output = (image @ (65.481, 128.553, 24.966) + 16 for image in (target, exact))
  spread = max(y.max() - y.min(), y_of_output.max() - y_of_output.min())
  border = slice(STUDY_BORDER, -STUDY_BORDER)
  saved = [(image @ (65.738, 129.057, 25.064) / 256)[border, border] for image in (target, rounded)]
  return {
      "psnr": _psnr(y, y_of_output, 255.0),
      "psnr_a": _psnr(y, y_of_output, y.max()),
      "ssim_b": _ssim(y, y_of_output, spread, gaussian_weights=True, sigma=1.5,
                      use_sample_covariance=False),
      "psnr_c": _psnr(*saved, 1.0),
      "ssim_d": _ssim(*saved, 1.0),
  }


def standard_measures(target, output, scale):
  """Returns `psnr` and `ssim` of lumas as the literature has them, by name.

  Args:
    target: `[height, width]` uint8, sides that are multiples of `scale`.
    output: the same.
    scale: whose many pixels of each border are left out.
  """
  border = slice(scale, -scale)
  lumas = [plane[border, border].astype(np.float64) for plane in (target, output)]
  return {
      "psnr": _psnr(*lumas, 255.0),
      "ssim": _ssim(*lumas, 255.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)}


def luma(image, *, grey=False):
  """Returns the luma of a uint8 image as MATLAB's rgb2ycbcr rounds it, `[height, width]` uint8.

  Args:
    image: `[height, width, 3]` uint8.
    grey: whether it stands for a greyscale image: then the mean of its colours.
  """
  if grey:
    return np.floor(image.mean(axis=-1) + 0.5).astype(np.uint8)
  return np.floor(16.5 + image @ np.array((65.481, 128.553, 24.966)) / 255).astype(np.uint8)


def _results(test_set, protocol, names, measured):
  """Returns the results of the network and the baseline.

  Args:
    test_set, protocol: their names.
    names: of the photographs.
    measured: for each of them the target and `{method: (measures, output)}`.
  """
  pictures = tuple(
      results.Picture(
          str(pathlib.PurePosixPath(name).with_suffix("")),
          {**{method: _uint8(output) for method, (_, output) in methods.items()}, "target": target},
          "   ".join(f"{method}: {_told(measures)}" for method, (measures, _) in methods.items()))
      for name, (target, methods) in list(zip(names, measured))[:_SHOWN])
  found = []
  for method in ("network", "bicubic"):
    each = [methods[method][0] for _, methods in measured]
    found.append(results.Result(
        test_set, protocol, method, tuple(names),
        {name: np.array([measures[name] for measures in each]) for name in each[0]},
        pictures if method == "network" else ()))
  return found


def _told(measures):
  return ", ".join(f"{name} {value:.4g}" for name, value in measures.items()
                   if name not in _OF_THE_STUDY)


def _psnr(target, output, peak):
  return float(10 * np.log10(peak**2 / max(np.mean((target - output)**2), 1e-12)))


def _ssim(target, output, peak, **options):
  from skimage.metrics import structural_similarity

  return float(structural_similarity(target, output, data_range=peak, **options))


def _float(image):
  return image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)


def _uint8(image):
  if image.dtype == np.uint8:
    return image
  return np.floor(np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
