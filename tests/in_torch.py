"""What a process of PyTorch makes of `perceptual.torch`: prints it as JSON, for `test_torch.py`."""

import copy
import functools
import io
import json
import sys
from concurrent import futures

import keras
import numpy as np
import torch

import perceptual.torch
from perceptual.errors import UserError

SOURCE = "gaussian-resnet2"  # quick to make, and the same on every backend


def refusal(function, *arguments, **options):
  """Returns the message of the `UserError` that a call raises; None if it raises none."""
  try:
    function(*arguments, **options)
  except UserError as error:
    return str(error)


def singly(module, reference, candidate):
  """Returns what a module gives, image by image under `torch.vmap`."""
  return torch.func.vmap(lambda x, y: module(x[None], y[None])[0])(reference, candidate)


def values(metric, x, y):
  """Every function of the module, and the same of the Keras metric."""
  keras_metric = perceptual.load_metric(SOURCE)
  x_last, y_last = x.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1)
  mask = torch.zeros(len(x), 1, *x.shape[2:])
  mask[..., 4:20, 4:20] = 1
  return {
      "backend": keras.backend.backend(),
      "call": [metric(x, y), keras_metric(x_last, y_last)],
      "per_tap": [torch.stack(list(each.values())) for each in (
          metric.per_tap(x, y), keras_metric.per_tap(x_last, y_last))],
      "map": [metric.spatial_map(x, y), keras_metric.spatial_map(x_last, y_last)[:, None]],
      "mask": [metric(x, y, mask=mask), keras_metric(x_last, y_last, mask=mask[:, 0])],
      "similarity": [perceptual.torch.PerceptualMetric("ssim")(x, y),
                     perceptual.load_metric("ssim")(x_last, y_last)],
      "signed": perceptual.torch.PerceptualMetric(SOURCE, float_range="-1,1")(2 * x - 1, 2 * y - 1),
      "uint8": [metric((255 * x).byte(), (255 * y).byte()), metric((255 * x).byte(), y)],
      "grey": metric(x[:, :1], y[:, :1]),
  }


def precision(metric, x, y):
  """The distance however PyTorch is asked to lower the precision."""
  with torch.autocast("cpu", dtype=torch.bfloat16):
    autocast = metric(x, y)
  half = copy.deepcopy(metric).half()
  holder = torch.nn.Sequential(copy.deepcopy(metric)).to(torch.float64)
  return {"precision": [autocast, half(x, y), holder[0](x, y)],
          "dtypes": sorted({str(buffer.dtype) for buffer in half.buffers()}),
          "mixed": metric(x, y.bfloat16())}


def derivatives(metric, x, y):
  """Gradients by `backward`, by `torch.func` and image by image; and without any."""
  candidate = y.clone().requires_grad_()
  metric(x, candidate).sum().backward()
  with torch.no_grad():
    tracked = metric(x, candidate).requires_grad
  each = torch.func.grad(lambda y, x: metric(x[None], y[None])[0])
  of_all = torch.func.grad(lambda y: metric(x, y).sum())
  return {"tracked": tracked, "untracked": metric(x, y).requires_grad,
          "gradients": [candidate.grad, of_all(y), torch.func.vmap(each)(y, x)]}


def as_module(metric, x, y):
  """What a module is beside a function: what it holds, its copies, its use in threads."""
  file = io.BytesIO()
  torch.save(metric, file)
  file.seek(0)
  replica = metric._replicate_for_data_parallel()  # what DataParallel makes, here without GPUs
  with futures.ThreadPoolExecutor(2) as pool:
    in_threads = list(pool.map(replica, x.split(1), y.split(1)))
  step = torch.compile(lambda x, y: metric(torch.sqrt(x).square(), y) + 1, backend="eager")
  return {
      "parameters": len(list(metric.parameters())), "buffers": len(list(metric.buffers())),
      "state": len(metric.state_dict()), "repr": repr(metric),
      "lower_is_better": metric.lower_is_better, "float_range": metric.float_range,
      "copies": [copy.deepcopy(metric)(x, y), torch.load(file, weights_only=False)(x, y),
                 torch.cat(in_threads), metric.train()(x, y), step(x, y) - 1,
                 torch.func.functional_call(metric, dict(metric.named_buffers()), (x, y))],
      "zeroed": torch.func.functional_call(
          metric, {name: 0 * buffer for name, buffer in metric.named_buffers()}, (x, y)),
  }


def ranges(metric, x, y):
  """What is made of values outside the declared range."""
  free = perceptual.torch.PerceptualMetric(SOURCE, check_candidate=False)
  over = y.clone()
  over[1, 0, 0, 0] = 2
  return {
      "refused": {
          "candidate": refusal(metric, x, over),
          "reference": refusal(metric, 255 * x, y),
          "reference of a loss": refusal(free, 255 * x, y),
          "layout": refusal(metric, x.permute(0, 2, 3, 1), y),
          "array": refusal(metric, x.numpy(), y),
          "device": refusal(metric, x, y.to("meta")),
          "mask": refusal(metric, x, y, mask=torch.ones(2, 32, 32)),
          "mask of ssim": refusal(perceptual.torch.PerceptualMetric("ssim"), x, y,
                                  mask=torch.ones(2, 1, 32, 32)),
          "taps": refusal(perceptual.torch.PerceptualMetric("ssim").per_tap, x, y),
          "options": refusal(functools.partial(
              perceptual.torch.PerceptualMetric, perceptual.load_metric(SOURCE), distance="local")),
      },
      "overshoot": [free(x, over), free(x, over.clip(0, 1))],
      "hidden": singly(metric, x, over),
      "shown": singly(metric, x, y),
  }


def main(path):
  """Prints the results for the images of a file."""
  x, y = torch.from_numpy(np.load(path)).permute(0, 1, 4, 2, 3)
  metric = perceptual.torch.PerceptualMetric(SOURCE)
  results = {}
  for part in (values, precision, derivatives, as_module, ranges):
    results.update(part(metric, x, y))
  print(json.dumps(results, default=lambda tensor: tensor.detach().tolist()))


if __name__ == "__main__":
  main(sys.argv[1])
