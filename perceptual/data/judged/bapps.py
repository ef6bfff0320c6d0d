"""BAPPS (Zhang et al. 2018), image patches judged by people: `bapps/2afc` and `bapps/jnd` of TFDS.

After this module is imported, `tfds.load("bapps/2afc", data_dir=...)` can build the data set; once
it is prepared, TFDS reads it without. Images are stored as they are in their files, 256x256 as
published.
"""

import contextlib
import dataclasses
import io
import pathlib
import shutil
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download.extractor import ExtractError
from tensorflow_datasets.core.download.util import DownloadError

from perceptual import errors
from perceptual.common import folders
from perceptual.common.files import expanded, is_remote, place
from perceptual.common.in_order import map_in_order
from perceptual.data import already_there, tfds_files
from perceptual.data.images import archives
from perceptual.data.judged import bapps_files, tfds_sets

KINDS = tuple(bapps_files.PUBLISHED)
URL = "https://perceptual-similarity.s3.us-west-2.amazonaws.com/dataset/"
_LAYOUT = "2afc/{train,val}/<subset>/{ref,p0,p1,judge}, jnd/val/<subset>/{p0,p1,same}"


class Bapps(tfds.core.GeneratorBasedBuilder):
  """TFDS builder of BAPPS, by download or from `manual_dir`."""

  VERSION = tfds.core.Version(tfds_sets.VERSION)
  RELEASE_NOTES: ClassVar = {"1.0.0": "As published."}
  BUILDER_CONFIGS: ClassVar = [
      tfds.core.BuilderConfig(
          name="2afc", description="Which of two distorted patches is closer to the reference."),
      tfds.core.BuilderConfig(
          name="jnd", description="Whether a patch can be told from the reference at a glance."),
  ]
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
      f"Either {_LAYOUT}, or the archives twoafc_train.tar.gz, twoafc_val.tar.gz and jnd.tar.gz "
      f"of {URL}; without them they are downloaded.")

  def _info(self):
    kind = self.builder_config.name
    images = {
        part: tfds.features.Image(shape=(None, None, 3), encoding_format="png")
        for part in bapps_files.IMAGE_FOLDERS[kind]}
    return tfds.core.DatasetInfo(
        builder=self,
        description="Patches judged by people: the Berkeley-Adobe Perceptual Patch Similarity set.",
        features=tfds.features.FeaturesDict({
            **images, bapps_files.ANSWER[kind]: np.float32, "id": tfds.features.Text()}),
        homepage="https://richzhang.github.io/PerceptualSimilarity/",
        citation="Zhang, Isola, Efros, Shechtman, Wang: The Unreasonable Effectiveness of Deep "
                 "Features as a Perceptual Metric. CVPR 2018.")

  def _split_generators(self, dl_manager):
    """Checks the names and answers of all subsets, then gives their examples."""
    kind = self.builder_config.name
    folders = _local_folders(dl_manager, kind) or _downloaded_folders(dl_manager, kind)
    bapps_files.warn_of_absent(kind, folders)
    subsets = {
        split: bapps_files.check(kind, split, folder) for split, folder in folders.items()}
    return {split: self._generate_examples(files) for split, files in subsets.items()}

  def _generate_examples(self, files):
    """Yields `(id, example)`; an image that does not decode ends the preparation."""
    for example in map_in_order(bapps_files.JudgedFiles.read, files):
      yield example["id"], example


def _local_folders(dl_manager, kind):
  """The subsets' folders below `manual_dir`, unpacked from the archives there if necessary."""
  try:
    folder = dl_manager.manual_dir
  except AssertionError:  # there is none, or it is empty
    return {}
  found = bapps_files.find(folder, kind)
  for phase, name in bapps_files.ARCHIVES[kind].items():
    is_unpacked = any(split.startswith(phase) for split in found)
    if not is_unpacked and (folder / name).exists():
      found.update(_find_unpacked(_unpacked(dl_manager, folder / name), kind, name))
  return found


def _downloaded_folders(dl_manager, kind):
  names = bapps_files.ARCHIVES[kind].values()
  found = {}
  for name, archive in dl_manager.download({name: URL + name for name in names}).items():
    found.update(_find_unpacked(_unpacked(dl_manager, archive), kind, name))
  return found


def _unpacked(dl_manager, archive):
  """Returns the folder of an archive's files; TFDS does not compare their checksum."""
  archives.verify(pathlib.Path(archive))
  return dl_manager.extract(archive)


def _find_unpacked(folder, kind, name):
  found = bapps_files.find(folder, kind)
  if not found:
    raise errors.UserError(f"{name} does not hold the subsets of {kind}: expected {_LAYOUT}.")
  return found


@dataclasses.dataclass(frozen=True)
class Report:
  """What was prepared; `str(report)` is for people.

  Attributes:
    sizes: number of examples, `{kind: {split: count}}`.
    found: the kinds that were complete already, for which nothing was done.
  """

  sizes: dict[str, dict[str, int]]
  found: list[str]

  def __str__(self):
    return "\n".join(
        f"{already_there.NOTHING_TO_DO if kind in self.found else ''}bapps/{kind}: "
        + _counted(sizes)
        for kind, sizes in self.sizes.items())


def prepare(source, data_dir, *, configs=None, overwrite=False):
  """Writes `<data_dir>/bapps/{2afc,jnd}/1.0.0`; nothing is left where that fails.

  Args:
    source: a folder with the published files, or with the archives of them; None to download.
    data_dir: the folder of all TFDS data sets; downloads are kept in its folder `downloads`.
    configs: which of `KINDS`; by default those that the source holds.
    overwrite: whether to replace complete data sets.

  Returns:
    A `Report`.

  Raises:
    UserError: if a kind is unknown, the source does not hold it or is not whole, the download
      fails, or a data set is there already that has other subsets than the folders of the source.
  """
  for kind in configs or ():
    if kind not in KINDS:
      raise errors.unknown("BAPPS config", kind, KINDS)
  if source is not None:
    source = expanded(source)
    configs = _configs_there(source, configs)
  found, sizes = [], {}
  for kind in configs or KINDS:
    if tfds_files.is_kept(_directory(kind, data_dir), overwrite=overwrite):
      found.append(kind)
    else:
      _build(kind, source, data_dir, overwrite=overwrite)
    splits = open_prepared(kind, data_dir).info.splits
    sizes[kind] = {split: info.num_examples for split, info in splits.items()}
    if kind in found and source is not None:
      _require_same_subsets(kind, source, sizes[kind], _directory(kind, data_dir))
  return Report(sizes, found)


def _require_same_subsets(kind, source, sizes, directory):
  """Raises `UserError` if a source has folders of other subsets; what archives hold is not seen."""
  asked = {split: bapps_files.count_answers(kind, folder)
           for split, folder in bapps_files.find(source, kind).items()}
  if asked:
    already_there.require_made_alike(
        directory, {"subsets": _counted(asked)}, {"subsets": _counted(sizes)})


def _counted(sizes):
  return ", ".join(f"{split} {size:,}" for split, size in sizes.items())


def _configs_there(source, configs):
  """The kinds that `source` holds; all of `configs` must be among them."""
  if not source.is_dir():
    raise errors.UserError(f"No such folder: {source}.")
  there = [
      kind for kind in KINDS
      if bapps_files.find(source, kind)
      or any((source / archive).exists() for archive in bapps_files.ARCHIVES[kind].values())]
  missing = [kind for kind in configs or there or KINDS if kind not in there]
  if missing:
    raise errors.UserError(
        f"{source} holds no BAPPS {' or '.join(missing)}: expected {_LAYOUT}, or the archives.")
  return configs or there


def _build(kind, source, data_dir, *, overwrite):
  """Lets the TFDS builder work in a directory beside, and moves what it wrote into place."""
  with tfds_files.unfinished(_directory(kind, data_dir), overwrite=overwrite) as building:
    builder = Bapps(config=kind, data_dir=building / "tfds")
    config = tfds.download.DownloadConfig(
        # TFDS would take an extracted archive for that of another source of the same name.
        extract_dir=building / "extracted", manual_dir=source, try_download_gcs=False)
    downloads = place(data_dir) / "downloads"
    if is_remote(downloads):
      downloads = folders.staging_dir(downloads)
    try:
      with contextlib.redirect_stdout(io.StringIO()):  # it names directories that are moved
        builder.download_and_prepare(download_dir=downloads, download_config=config)
    except (OSError, ExtractError, DownloadError) as error:
      reason = (str(error) or repr(error)).splitlines()[0]
      advice = "" if source else (
          f" Get {', '.join(bapps_files.ARCHIVES[kind].values())} from {URL} by other means and "
          "give their folder as the source.")
      raise errors.UserError(f"bapps/{kind}: {reason}.{advice}") from error
    for path in pathlib.Path(builder.data_dir).iterdir():
      path.rename(building / path.name)
    shutil.rmtree(building / "tfds")
    shutil.rmtree(building / "extracted")


def _directory(kind, data_dir):
  return tfds_sets.directory(f"bapps/{kind}", data_dir)


def open_prepared(kind, data_dir):
  """Returns the TFDS builder of a prepared data set, for reading.

  Raises:
    UserError: if the kind is unknown, or `data_dir` holds no whole data set of it.
  """
  if kind not in KINDS:
    raise errors.unknown("BAPPS config", kind, KINDS)
  return tfds_files.open_builder(tfds_sets.whole(f"bapps/{kind}", data_dir))
