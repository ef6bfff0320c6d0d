"""State dicts, weights by PyTorch's names, from the files that they come in."""

import hashlib
import zipfile

import numpy as np

from perceptual import errors
from perceptual.common import budgets
from perceptual.weights import torch_files


def read(path):
  """Reads a state dict from a `.pth` or `.npz` file, told apart by what is in them.

  Args:
    path: a file that `torch.save(model.state_dict(), path)` wrote, or
      `numpy.savez(path, **{name: tensor.numpy() for name, tensor in model.state_dict().items()})`.

  Returns:
    A dict of name to NumPy array, in the order of the file.

  Raises:
    UserError: it cannot be read, or is neither.
  """
  try:
    if _is_cut_short(path):
      raise errors.UserError(f"{path} is damaged: the end of its zip archive is missing.")
    is_npz = zipfile.is_zipfile(path) and not torch_files.is_torch_archive(path)
    return _read_npz(path) if is_npz else torch_files.read(path)
  except OSError as error:
    raise errors.UserError(f"{path} cannot be read: {error.strerror or error}.") from None


def tensors_hash(state):
  """Returns the SHA-256 of a state dict: names, shapes and values in float32, by ascending name.

  Unlike that of a file it does not depend on how the file was packed.

  Args:
    state: a dict of name to array; or (name, array) pairs in the order of the names, which are then
      held one at a time.
  """
  digest = hashlib.sha256()
  for name, tensor in sorted(state.items()) if isinstance(state, dict) else state:
    digest.update(f"{name} {list(tensor.shape)}\n".encode())
    digest.update(np.ascontiguousarray(tensor, "<f4").tobytes())
  return digest.hexdigest()


def _is_cut_short(path):
  with open(path, "rb") as file:
    return file.read(2) == b"PK" and not zipfile.is_zipfile(path)


def _read_npz(path):
  try:
    return budgets.read_npz(path)
  except errors.UserError:
    raise
  except budgets.NPZ_DAMAGE as error:
    raise errors.UserError(f"{path} is not an .npz file of arrays, or is damaged "
                           f"({errors.first_line(error).rstrip('.')}).") from None
