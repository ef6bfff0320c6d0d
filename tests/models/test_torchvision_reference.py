"""Every loss network against torchvision's own, at full width, where its outputs were written down.

`tools/torchvision_reference.py` writes them, in an environment that has torchvision.
"""

import os
import pathlib

import keras
import numpy as np
import pytest

from perceptual import models
from perceptual.models import loss_networks
from perceptual.weights import torch_layout, torchvision_modules

VARIABLE = "PERCEPTUAL_TORCHVISION_REFERENCE"


@pytest.fixture(scope="module")
def folder():
  if VARIABLE not in os.environ:
    pytest.skip(f"{VARIABLE} is not set: see tools/torchvision_reference.py")
  return pathlib.Path(os.environ[VARIABLE])


@pytest.fixture
def double_precision():
  policy = keras.config.dtype_policy()
  keras.config.set_dtype_policy("float64")
  yield
  keras.config.set_dtype_policy(policy)


@pytest.mark.usefixtures("double_precision")
@pytest.mark.parametrize("network", loss_networks.LAYERS)
def test_every_tap_and_the_logits_are_torchvision_s(network, folder):
  model = models.build(network, kernel_initializer="zeros")
  with np.load(folder / f"{network}.npz") as reference:
    torch_layout.assign(
        model, {name.removeprefix("state/"): reference[name] for name in reference.files
                if name.startswith("state/")}, torchvision_modules.TRUNKS[network].modules)
    for place in range(2):
      outputs = model(reference[f"image/{place}"], training=False)
      for name, output in outputs.items():
        expected = reference[f"output/{place}/{name}"]
        assert output.shape == expected.shape
        scale = np.abs(expected).max()
        assert scale > 1e-3, "a comparison of zeros would prove nothing"
        largest = np.abs(output - expected).max() / scale
        print(f"{network} {name} {expected.shape}: {largest:.1e} of the largest")
        assert largest < 1e-5
