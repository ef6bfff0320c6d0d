"""The files of BAPPS (Zhang et al. 2018) as they are published: where they are and whether whole.

  2afc/{train,val}/<subset>/{ref,p0,p1}/NNNNNN.png   judge/NNNNNN.npy: fraction preferring p1
  jnd/val/<subset>/{p0,p1}/NNNNNN.png                same/NNNNNN.npy: fraction seeing no difference
"""

import dataclasses
import pathlib
import warnings

import numpy as np

from perceptual import errors
from perceptual.data.images import image_files
from perceptual.errors import UserError

# The number of examples: exact where it is known, otherwise as rounded in the paper.
PUBLISHED = {
    "2afc": {
        "train_traditional": "56.6k",
        "train_cnn": "38.1k",
        "train_mix": "56.6k",
        "val_traditional": "4720",
        "val_cnn": "4720",
        "val_superres": "10856",
        "val_deblur": "9440",
        "val_color": "4720",
        "val_frameinterp": "1888",
    },
    "jnd": {
        "val_traditional": "4.8k",
        "val_cnn": "4.8k",
    },
}
# What an example calls its parts, and in which folder of a subset they lie.
IMAGE_FOLDERS = {
    "2afc": {"reference": "ref", "candidate_0": "p0", "candidate_1": "p1"},
    "jnd": {"reference": "p0", "candidate": "p1"},
}
ANSWER = {"2afc": "judge", "jnd": "same"}  # what the answer, and its folder, is called
JUDGES = {("2afc", "train"): 2, ("2afc", "val"): 5, ("jnd", "val"): 3}
ARCHIVES = {
    "2afc": {"train": "twoafc_train.tar.gz", "val": "twoafc_val.tar.gz"},
    "jnd": {"val": "jnd.tar.gz"},
}
_LISTED = 5


@dataclasses.dataclass(frozen=True)
class JudgedFiles:
  """The files of one example, all there.

  Attributes:
    kind: `2afc` or `jnd`.
    id: for instance `val/superres/000000`.
    images: part -> path, the parts as in `IMAGE_FOLDERS`.
    answer: the fraction of judges, in [0, 1].
  """

  kind: str
  id: str
  images: dict[str, pathlib.Path]
  answer: float

  def read(self):
    """Returns the example: its images as the bytes of their files, its answer and its id.

    Raises:
      UserError: if an image does not decode, or they are not all of one size.
    """
    images = {part: path.read_bytes() for part, path in self.images.items()}
    sizes = {
        part: image_files.decode(images[part], str(path)).shape[:2]
        for part, path in self.images.items()}
    if len(set(sizes.values())) > 1:
      sizes = ", ".join(f"{part} {width}x{height}" for part, (height, width) in sizes.items())
      raise UserError(f"The images of {self.kind}/{self.id} differ in size: {sizes}.")
    return {**images, ANSWER[self.kind]: np.float32(self.answer), "id": self.id}


def subsets(kind, split):
  """Returns the names of the published subsets of `'train'` or `'val'`, in the papers' order."""
  return tuple(name.removeprefix(f"{split}_") for name in PUBLISHED[kind]
               if name.startswith(f"{split}_"))


def find(folder, kind):
  """Looks for subsets in a folder that holds `2afc` or `jnd`, or is one of these.

  Args:
    folder: any folder, also one named `dataset` by the authors' script or the folder above it.
    kind: `2afc` or `jnd`.

  Returns:
    `{split: folder of the subset}` of those that are there, in the published order.
  """
  folder = pathlib.Path(folder)
  found = {}
  for split in PUBLISHED[kind]:
    subset = split.replace("_", "/")
    named = [folder / kind / subset, folder / "dataset" / kind / subset]
    # Without the name of the kind it takes the answers to tell val/cnn of one from the other's.
    unnamed = [folder / subset] if (folder / subset / ANSWER[kind]).is_dir() else []
    for candidate in named + unnamed:
      if candidate.is_dir():
        found[split] = candidate
        break
  return found


def count_answers(kind, folder):
  """Returns how many examples the folder of a subset has answers of, whole or not."""
  return len(_by_stem(folder / ANSWER[kind], (".npy",)))


def check(kind, split, folder):
  """Checks that every example of a subset has all its parts and a legal answer.

  What can be scored but is not as published gives a warning: the number of examples, and answers
  that are not multiples of one over the number of judges.

  Args:
    kind: `2afc` or `jnd`.
    split: for instance `val_superres`.
    folder: of the subset.

  Returns:
    A list of `JudgedFiles`, by name.

  Raises:
    UserError: if a part is missing, or an answer is not one number in [0, 1].
  """
  answer = ANSWER[kind]
  parts = {
      part: _by_stem(folder / name, image_files.SUFFIXES)
      for part, name in IMAGE_FOLDERS[kind].items()}
  answers = _by_stem(folder / answer, (".npy",))
  _check_parts(folder, {**{IMAGE_FOLDERS[kind][p]: files for p, files in parts.items()},
                        answer: answers})
  subset = split.replace("_", "/")
  examples = [
      JudgedFiles(kind, f"{subset}/{name}", {part: files[name] for part, files in parts.items()},
                  _read_answer(answers[name]))
      for name in sorted(answers)]
  _warn_of_count(kind, split, len(examples))
  _warn_of_fractions(kind, split, examples)
  return examples


def _by_stem(folder, suffixes):
  """Returns `{name without suffix: path}` of the files of a folder that are not hidden."""
  if not folder.is_dir():
    raise UserError(f"{folder.parent} lacks the folder {folder.name}.")
  return {
      path.stem: path for path in folder.iterdir()
      if path.suffix.lower() in suffixes and not path.name.startswith(".")}


def _check_parts(folder, files_of):
  """Raises unless all parts, `{folder name: {name: path}}`, hold the same names, and some."""
  names = sorted(set().union(*files_of.values()))
  if not names:
    raise UserError(f"{folder} is empty.")
  lacking = {
      name: [part for part, files in files_of.items() if name not in files] for name in names}
  broken = [f"{name} lacks {' and '.join(parts)}" for name, parts in lacking.items() if parts]
  if broken:
    raise UserError(
        f"{len(broken)} of {len(names)} examples of {folder} are not whole: "
        f"{', '.join(broken[:_LISTED])}{', ...' if len(broken) > _LISTED else ''}.")


def _read_answer(path):
  try:
    # Mapped, since an array that is read gets the memory that its header asks for. `np.load` would
    # open a zip or a pickle of that name, too.
    value = np.lib.format.open_memmap(path, mode="r")
  except Exception as error:  # of any kind: NumPy parses the header as Python
    raise UserError(f"{path} is not a NumPy array: {errors.first_line(error)}.") from error
  if value.size != 1 or not np.issubdtype(value.dtype, np.number):
    raise UserError(f"{path} should hold one number, holds {value.dtype} {value.shape}.")
  answer = float(value.item())
  if not 0 <= answer <= 1:  # NaN too
    raise UserError(f"{path} should hold a fraction from 0 to 1, holds {answer}.")
  return answer


def _warn_of_count(kind, split, count):
  published = PUBLISHED[kind][split]
  if published not in (str(count), f"{count / 1000:.1f}k"):
    warnings.warn(
        f"bapps/{kind} {split} has {count} examples, published are {published}: scores on it are "
        "not comparable.", stacklevel=2)


def _warn_of_fractions(kind, split, examples):
  judges = JUDGES[kind, split.split("_")[0]]
  odd = [e for e in examples if abs(e.answer * judges - round(e.answer * judges)) > 1e-3]
  if odd:
    warnings.warn(
        f"bapps/{kind} {split}: {len(odd)} answers are not multiples of 1/{judges}, such as "
        f"{odd[0].answer:g} of {odd[0].id}.", stacklevel=2)


def warn_of_absent(kind, found):
  """Warns of the published subsets that are not in `found`, the splits there are."""
  absent = [split for split in PUBLISHED[kind] if split not in found]
  if absent:
    warnings.warn(
        f"bapps/{kind} is built without {', '.join(absent)}: not found in the source.",
        stacklevel=2)
