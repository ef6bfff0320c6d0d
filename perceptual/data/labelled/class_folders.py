"""Which split and class an image belongs to, told by the folder it lies in.

Understood are, below any number of wrapping folders,

  `<split>/<class>/.../<file>`   with `train` and `val`, `valid`, `validation` or `test`;
  `<class>/.../<file>`           a part of every class is then held out for validation;

and Tiny-ImageNet's own way: `train/<class>/images/<file>`, while `val/images/<file>` finds its
class in `val/val_annotations.txt`. Beside `val`, `test` is left out: it is unlabelled as a rule.
"""

import collections
import posixpath

import numpy as np

from perceptual.errors import UserError

ANNOTATIONS = "val_annotations.txt"
VALIDATION_NAMES = ("validation", "val", "valid", "test")  # the first one that is there is used
HELD_OUT = 0.1  # the share of a class, unless told otherwise
_SPLIT_NAMES = ("train", *VALIDATION_NAMES)
_NO_CLASS = ("images",)  # what a folder is called that holds images of all classes
LAYOUTS = "<split>/<class>/<image> (splits train and val) or <class>/<image>"


def assign(names, *, annotations=None, seed=0, held_out=None):
  """Finds the split and the class of every image.

  Args:
    names: relative names of images, with forward slashes.
    annotations: `{name: bytes}` of the files called `val_annotations.txt`.
    seed: of the choice of held-out images, where the folders make no validation split.
    held_out: the share of each class that is then held out; None for `HELD_OUT`.

  Returns:
    `{name: (split, class)}` with the splits `train` and `validation`, in the order of `names`.
    Images outside the splits that are used are not in it.

  Raises:
    UserError: if there are no images, if some of them are in no class folder, if there are split
      folders but no `train`, or if a share is given but the folders make a validation split.
  """
  if not names:
    raise UserError(f"No images found; expected {LAYOUTS}.")
  folders = sorted({posixpath.dirname(name) for name in names})
  depth = _split_depth(folders)
  if depth is None:
    depth = _class_depth(folders)
    classes = {folder: _class_of(folder, depth) for folder in folders}
    return _hold_out({name: classes[posixpath.dirname(name)] for name in names}, seed, held_out)
  return _by_split(names, folders, depth, annotations or {}, seed, held_out)


def _parts(folder):
  return folder.split("/") if folder else []


def _split_depth(folders):
  """The place of the split's name in the folders' paths, or None where there are no splits."""
  shared = _parts(posixpath.commonpath(folders))
  for depth, part in enumerate(shared):
    if part in _SPLIT_NAMES:
      return depth
  depth = len(shared)
  below = [_parts(folder)[depth:] for folder in folders]
  # A class, too, may be called `train`: it holds images, where a split holds class folders.
  has_splits = (
      any(len(parts) > 1 and parts[0] in _SPLIT_NAMES for parts in below)
      or all(parts and parts[0] in _SPLIT_NAMES for parts in below))
  return depth if has_splits else None


def _class_depth(folders):
  """The place of the class in the folders' paths: below the folders that all of them share."""
  if len(folders) == 1:
    return max(len(_parts(folders[0])) - 1, 0)
  return len(_parts(posixpath.commonpath(folders)))


def _class_of(folder, depth):
  parts = _parts(folder)
  if len(parts) <= depth or parts[depth] in _NO_CLASS:
    raise UserError(
        f"The images in {folder or 'the top folder'} lie in no class folder; expected {LAYOUTS}.")
  return parts[depth]


def _by_split(names, folders, depth, annotations, seed, held_out):
  """Assigns the images below split folders, whose names are at `depth` in the paths."""
  split_folders = {f: _parts(f)[depth] for f in folders if len(_parts(f)) > depth}
  present = set(split_folders.values())
  validation = next((name for name in VALIDATION_NAMES if name in present), None)
  if "train" not in present:
    raise UserError(f"There is a folder {validation!r} but no folder 'train' beside it.")
  splits = {"train": "train", validation: "validation"}
  annotated = _annotated(annotations)
  assigned = {}
  for name in names:
    folder = posixpath.dirname(name)
    if split_folders.get(folder) in splits:
      label = annotated[name] if name in annotated else _class_of(folder, depth + 1)
      assigned[name] = (splits[split_folders[folder]], label)
  if validation is None:
    return _hold_out({name: label for name, (_, label) in assigned.items()}, seed, held_out)
  if held_out is not None:
    raise UserError(f"The folder {validation!r} holds the validation images, so none are held out: "
                    "leave the share out.")
  return assigned


def _annotated(annotations):
  """Returns `{name of an image: class}`, as the files called `val_annotations.txt` give it."""
  classes = {}
  for name, content in annotations.items():
    for line in content.decode(errors="replace").splitlines():
      file, separator, rest = line.partition("\t")
      if not separator:
        raise UserError(f"{name}: expected <image>, a tab, <class>; received {line!r}.")
      classes[posixpath.join(posixpath.dirname(name), "images", file)] = rest.split("\t")[0]
  return classes


def _hold_out(classes, seed, share):
  """Splits `{name: class}`: a random share of each class that has two or more is validation."""
  share = HELD_OUT if share is None else share
  by_class = collections.defaultdict(list)
  for name, label in classes.items():
    by_class[label].append(name)
  random = np.random.default_rng(seed)
  held_out = set()
  for label in sorted(by_class):
    names = sorted(by_class[label])
    count = min(max(1, round(share * len(names))), len(names) - 1)  # some to train on, too
    held_out.update(names[i] for i in random.permutation(len(names))[:count])
  return {name: ("validation" if name in held_out else "train", label)
          for name, label in classes.items()}
