"""Writes what torchvision's own networks compute, for a test of those here.

    python tools/torchvision_reference.py --output_dir=reference
    export PERCEPTUAL_TORCHVISION_REFERENCE=reference
    tools/test.sh tests/models/test_torchvision_reference.py

It needs PyTorch, torchvision and 3.5 GB of disk, and nothing of this package: it may run in an
environment of its own. `<network>.npz` holds the state dict of a network with random weights,
images of an even and of an odd size, channels last, and for both what every module with a tap here
gives in double precision:

    state/<torchvision's name>      image/<0 or 1>      output/<0 or 1>/<tap, or logits>
"""

import argparse
import pathlib

import numpy as np
import torch
import torchvision

SIZES = ((80, 112), (97, 131))
# What statistics are taken of: fewer positions give some channels of deep layers next to no
# variance, by which EfficientNet-B7 then multiplies its own rounding a trillionfold.
_MEASURED = (8, 3, 160, 224)

_FIRES = {2: 3, 3: 4, 4: 6, 5: 7, 6: 9, 7: 10, 8: 11, 9: 12}
_LAYERS = {name: name for name in ("relu", "layer1", "layer2", "layer3", "layer4")}
_FEATURES = {f"features_{place}": f"features.{place}" for place in range(8)}
# As torchvision builds them for the published weights.
_TRANSFORMED = {"transform_input": True, "aux_logits": True, "init_weights": False}

# Network here: torchvision's name of it, the options of its builder, and its taps to its modules.
NETWORKS = {
    "alexnet": ("alexnet", {}, {
        "relu1": "features.1", "relu2": "features.4", "relu3": "features.7",
        "relu4": "features.9", "relu5": "features.11"}),
    "vgg11": ("vgg11", {}, {
        "relu1_1": "features.1", "relu2_1": "features.4", "relu3_2": "features.9",
        "relu4_2": "features.14", "relu5_2": "features.19"}),
    "vgg16": ("vgg16", {}, {
        "relu1_2": "features.3", "relu2_2": "features.8", "relu3_3": "features.15",
        "relu4_3": "features.22", "relu5_3": "features.29"}),
    "vgg16_bn": ("vgg16_bn", {}, {
        "relu1_2": "features.5", "relu2_2": "features.12", "relu3_3": "features.22",
        "relu4_3": "features.32", "relu5_3": "features.42"}),
    "vgg19": ("vgg19", {}, {
        "relu1_2": "features.3", "relu2_2": "features.8", "relu3_4": "features.17",
        "relu4_4": "features.26", "relu5_4": "features.35"}),
    "densenet121": ("densenet121", {}, {
        name: f"features.{name}"
        for name in ("relu0", "denseblock1", "denseblock2", "denseblock3", "denseblock4")}),
    "torchvision_resnet18": ("resnet18", {}, _LAYERS),
    "torchvision_resnet50": ("resnet50", {}, _LAYERS),
    "resnext50_32x4d": ("resnext50_32x4d", {}, _LAYERS),
    "googlenet": ("googlenet", _TRANSFORMED, {
        name: name for name in (
            "conv1", "conv3", *(f"inception{module}" for module in (
                "3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b")))}),
    "inception_v3": ("inception_v3", _TRANSFORMED, {
        name: name for name in (
            "Conv2d_2b_3x3", "Conv2d_4a_3x3", *(f"Mixed_{module}" for module in (
                "5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")))}),
    "squeezenet1_1": ("squeezenet1_1", {}, {
        "relu1": "features.1", **{f"fire{fire}": f"features.{place}"
                                  for fire, place in _FIRES.items()}}),
    "torchvision_efficientnet_b0": ("efficientnet_b0", {}, _FEATURES),
    "torchvision_efficientnet_b7": ("efficientnet_b7", {}, _FEATURES),
}


def main():
  parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
  parser.add_argument("--output_dir", type=pathlib.Path, required=True)
  output_dir = parser.parse_args().output_dir
  output_dir.mkdir(parents=True, exist_ok=True)
  for place, network in enumerate(NETWORKS):
    torch.manual_seed(place)
    name, options, modules = NETWORKS[network]
    model = torchvision.models.get_model(name, weights=None, **options).eval()
    randomise_batch_norms(model)
    np.savez(output_dir / f"{network}.npz", **reference(model, modules))
    print(f"Wrote {network}.", flush=True)


@torch.no_grad()
def randomise_batch_norms(model):
  """Gives every normalisation its own scale and offset, and statistics near those of its input."""
  norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
  momenta = [norm.momentum for norm in norms]
  for norm in norms:
    norm.weight.uniform_(0.5, 1.5)
    norm.bias.uniform_(-0.3, 0.3)
    norm.momentum = 1.0
    norm.train()
  model(torch.randn(_MEASURED))
  for norm, momentum in zip(norms, momenta):
    norm.momentum = momentum
    norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
    norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.8, 1.25)
    norm.eval()


@torch.no_grad()
def reference(model, modules):
  """Returns what a file holds: a dict of name to array."""
  arrays = {f"state/{name}": tensor.numpy() for name, tensor in model.state_dict().items()}
  # In double precision: random networks as deep as these multiply the rounding of single.
  model, seen = model.double(), {}
  for tap, module in modules.items():
    # A copy, since what follows may work in place.
    model.get_submodule(module).register_forward_hook(
        lambda _, inputs, output, tap=tap: seen.update({tap: output.clone()}))
  for place, size in enumerate(SIZES):
    image = torch.randn(2, 3, *size)
    logits = model(image.double())
    arrays[f"image/{place}"] = channels_last(image)
    arrays[f"output/{place}/logits"] = logits.numpy()
    arrays.update(
        {f"output/{place}/{tap}": channels_last(output) for tap, output in seen.items()})
  return arrays


def channels_last(tensor):
  return np.ascontiguousarray(tensor.numpy().transpose(0, 2, 3, 1))


if __name__ == "__main__":
  main()
