"""LIVE, release 2 (Sheikh, Wang, Cormack, Bovik 2005): 29 references, 779 distorted images; DMOS.

  dmos_realigned.mat                   dmos_new, orgs; or dmos.mat: dmos, orgs
  refnames_all.mat                     refnames_all: the reference of each image
  refimgs/*.bmp                        jp2k, jpeg, wn, gblur, fastfading: img1.bmp, img2.bmp, ...

The labels run over the five folders in this order, each by number. Images that are references
themselves (`orgs`) are among them and are left out.
"""

import io
import posixpath
import re

import numpy as np

from perceptual.data.judged.judgements import Judgement, Judgements
from perceptual.data.judged.public_sets import layout
from perceptual.errors import UserError

NAME = "live"
PUBLISHED = (779, 29)
FOLDERS = ("jp2k", "jpeg", "wn", "gblur", "fastfading")
# The realigned scores are those to use, as the authors' readme says.
_SCORES = {"dmos_realigned.mat": "dmos_new", "dmos.mat": "dmos"}
_REFERENCES = "refnames_all.mat"
_DISTORTED = re.compile(r"img(\d+)\.bmp", re.IGNORECASE)


def read(files):
  """Returns the `Judgements`; `UserError` where the layout or the labels differ."""
  references = files.table(_REFERENCES)
  folder = posixpath.dirname(references)
  table = next((found for name in _SCORES if (found := files.find(name, folder=folder))), None)
  if table is None:
    raise UserError(f"{files.path} holds neither {' nor '.join(_SCORES)} beside {references}.")
  contents = files.read([table, references])
  key = _SCORES[posixpath.basename(table).lower()]
  scores = _variable(contents[table], table, key)
  originals = _variable(contents[table], table, "orgs")
  names = _variable(contents[references], references, "refnames_all")
  images = _images(files, folder)
  _check_lengths(table, references, scores, originals, names, images)
  rows = tuple(
      Judgement((_reference(files, names[place], f"{references} entry {place + 1}"), image),
                _score(score, table, place), f"{table} entry {place + 1}", part=distortion)
      for place, (score, original, (image, distortion)) in enumerate(
          zip(scores, originals, images)) if not original)
  layout.warn_of_counts(NAME, rows, PUBLISHED)
  return Judgements("opinions", rows, (table, references),
                    f"LIVE release 2, differential mean opinion scores ({key})",
                    higher_is_better=False)


def _variable(data, table, key):
  """Returns one variable of a MATLAB file as a vector."""
  from scipy import io as matlab

  try:
    variables = matlab.loadmat(io.BytesIO(data))
  except Exception as error:  # a damaged file raises errors of many kinds
    raise UserError(f"{table} is not a whole MATLAB file: {error}.") from error
  if key not in variables:
    there = ", ".join(name for name in variables if not name.startswith("__"))
    raise layout.other_release(NAME, table, f"no variable {key} among {there or 'none'}")
  return np.ravel(variables[key])


def _images(files, folder):
  """(name, distortion) of every distorted image, in the order of the labels."""
  found = []
  for distortion in FOLDERS:
    numbered = {}
    for name in files.names:
      directory, base = posixpath.split(name)
      image = _DISTORTED.fullmatch(base)
      if image and directory.lower() == posixpath.join(folder, distortion).lower():
        numbered[int(image[1])] = name
    if sorted(numbered) != list(range(1, len(numbered) + 1)) or not numbered:
      raise layout.other_release(
          NAME, posixpath.join(folder, distortion),
          f"{len(numbered)} images that are not numbered img1.bmp, img2.bmp, ... without a gap")
    found += [(numbered[number], distortion) for number in sorted(numbered)]
  return found


def _check_lengths(table, references, scores, originals, names, images):
  lengths = {f"scores in {table}": len(scores), "orgs": len(originals),
             f"names in {references}": len(names), "images": len(images)}
  if len(set(lengths.values())) > 1:
    raise layout.other_release(
        NAME, table, ", ".join(f"{length} {what}" for what, length in lengths.items()))


def _reference(files, name, where):
  """The reference of an entry of the cell array of names."""
  return layout.image(files, str(np.ravel(name)[0]), where)


def _score(score, table, place):
  layout.require_range(NAME, f"{table} entry {place + 1}", float(score), -20, 130)
  return float(score)
