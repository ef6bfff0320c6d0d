"""Judged sets from files to the reader: whole, resumed, or not there at all."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from perceptual.data.judged import prepare_judged, prepared
from perceptual.errors import UserError
from tests.data.judged import studies

MOS = "higher_is_better"


def prepare(source, data_dir, name="study", **options):
  return prepare_judged.prepare(source, data_dir, name=name, **options)


def files_below(folder):
  return {path.relative_to(folder).as_posix(): path.read_bytes()
          for path in folder.rglob("*") if path.is_file()}


# The set and its reader


def test_opinions_from_files_to_the_reader(opinions, tmp_path):
  report = prepare(opinions, tmp_path / "data", direction=MOS)
  judged = prepared.load_judged("study", tmp_path / "data")
  assert (judged.kind, judged.size, judged.higher_is_better) == ("opinions", 15, True)
  np.testing.assert_array_equal(judged.answers, [5, 4, 3, 2, 1] * 3)
  assert judged.votes is judged.parts is None
  names = [[judged.images[index].name for index in example] for example in judged.examples]
  assert names[6] == ["photos/r1.png", "photos/r1_1.png"]
  assert len(set(judged.references.tolist())) == 3
  assert "15 opinions; 3 references; 18 images (28x40, 32x24, 32x32); scores 1 to 5" in str(report)


def test_images_are_the_files_as_they_were(opinions, tmp_path):
  judged = prepare(opinions, tmp_path / "data", direction=MOS).judged
  for index, stored in enumerate(judged.images):
    source = opinions / stored.name
    assert (judged.directory / stored.file).read_bytes() == source.read_bytes()
    np.testing.assert_array_equal(judged.image(index), np.asarray(Image.open(source)))
    assert judged.image_sizes[index].tolist() == list(judged.image(index).shape[:2])


def test_examples_by_the_size_of_their_images(opinions, tmp_path):
  judged = prepare(opinions, tmp_path / "data", direction=MOS).judged
  groups = judged.by_size()
  assert sorted(groups) == sorted(studies.SIZES)
  for (height, width), examples in groups.items():
    for index in judged.examples[examples].flat:
      assert judged.image(index).shape == (height, width, 3)
  assert sorted(np.concatenate(list(groups.values()))) == list(range(15))


def test_triplets_with_votes(triplets, tmp_path):
  judged = prepare(triplets, tmp_path / "data").judged
  assert (judged.kind, judged.examples.shape, judged.higher_is_better) == ("2afc", (15, 3), None)
  np.testing.assert_array_equal(judged.answers[:3], [0.25, 0.75, 0.75])
  np.testing.assert_array_equal(judged.votes, 4)


def test_pairs(pairs, tmp_path):
  judged = prepare(pairs, tmp_path / "data").judged
  assert (judged.kind, judged.examples.shape) == ("jnd", (15, 2))


def test_references_of_equal_content_are_one(opinions, tmp_path):
  shutil.copy(opinions / "photos/r0.png", opinions / "photos/copy.png")
  for line in (4, 5, 6):
    studies.change(opinions / "scores.csv", line, "photos/r0.png", "photos/copy.png")
  judged = prepare(opinions, tmp_path / "data", direction=MOS).judged
  assert len(set(judged.examples[:5, 0])) == 2
  assert len(set(judged.references[:5])) == 1


def test_a_tar_gives_the_same_set_as_its_folder(triplets, tmp_path):
  archive = studies.as_tar(triplets, tmp_path / "study.tar")
  folder, tar = (prepare(source, tmp_path / "data", name).judged
                 for source, name in ((triplets, "folder"), (archive, "tar")))
  np.testing.assert_array_equal(folder.examples, tar.examples)
  assert [image.sha256 for image in folder.images] == [image.sha256 for image in tar.images]


def test_provenance_is_kept_and_the_sum_tells_sets_apart(opinions, tmp_path):
  first = prepare(opinions, tmp_path / "data", direction=MOS).judged
  again = prepare(opinions, tmp_path / "data", "again", direction=MOS).judged
  assert first.provenance["source"] == str(opinions)
  assert list(first.provenance["tables"]) == ["scores.csv"]
  assert first.provenance["sha256"] == again.provenance["sha256"]
  studies.change(opinions / "scores.csv", 2, ",5", ",4.9")
  changed = prepare(opinions, tmp_path / "data", "changed", direction=MOS).judged
  assert changed.provenance["sha256"] != first.provenance["sha256"]


def test_images_that_nothing_names_are_counted_and_left(opinions, tmp_path):
  studies.save(opinions / "photos/other.png", studies.reference(0))
  report = prepare(opinions, tmp_path / "data", direction=MOS)
  assert report.unused == 1
  assert len(report.judged.images) == 18


def test_a_set_is_read_without_tensorflow(opinions, tmp_path):
  prepare(opinions, tmp_path / "data", direction=MOS)
  code = ("import sys; from perceptual.data.judged import prepared; "
          "prepared.load_judged('study', sys.argv[1]).image(0); "
          "sys.exit(bool({'tensorflow', 'keras'} & {*sys.modules}))")
  subprocess.run([sys.executable, "-c", code, tmp_path / "data"], check=True,
                 cwd=prepared.__file__.rsplit("perceptual", 1)[0])


# Written whole, or not at all


def test_the_same_source_again_is_nothing_to_do(opinions, tmp_path):
  first = prepare(opinions, tmp_path / "data", direction=MOS)
  (first.judged.directory / ".lock").touch()  # a killed process may leave one, here or there
  lock = first.judged.directory.with_name("study.unfinished") / ".lock"
  lock.parent.mkdir()
  lock.touch()
  before = files_below(tmp_path / "data")
  moved = opinions.rename(tmp_path / "moved")
  again = prepare(moved, tmp_path / "data", direction=MOS)
  assert again.found and not first.found
  assert str(again) == f"Already complete, nothing to do: {first}"
  assert files_below(tmp_path / "data") == before


def test_a_set_that_is_there_stays_unless_it_is_overwritten(opinions, tmp_path):
  prepare(opinions, tmp_path / "data", direction=MOS)
  before = files_below(tmp_path / "data")
  with pytest.raises(UserError, match=f"already holds a judged set, with another direction than "
                                      f"{opinions}: choose another --name, or"):
    prepare(opinions, tmp_path / "data", direction="lower_is_better")
  picture = opinions / "photos/r2_3.png"
  was = picture.read_bytes()
  picture.write_bytes(was[:-1] + bytes([was[-1] ^ 1]))  # of the same size
  with pytest.raises(UserError, match="already holds a judged set, with other images than "):
    prepare(opinions, tmp_path / "data", direction=MOS)
  studies.save(picture, studies.noisy(studies.reference(2), 99, seed=9))
  with pytest.raises(UserError, match="already holds a judged set, with other images than "):
    prepare(opinions, tmp_path / "data", direction=MOS)
  studies.change(opinions / "scores.csv", 2, ",5", ",4.5")
  with pytest.raises(UserError, match="set, with other judgements and other images than "):
    prepare(opinions, tmp_path / "data", direction=MOS)
  assert files_below(tmp_path / "data") == before
  prepare(opinions, tmp_path / "data", direction=MOS, overwrite=True)
  assert prepared.load_judged("study", tmp_path / "data").answers[0] == 4.5
  assert prepared.available(tmp_path / "data") == ["study"]


def test_a_damaged_set_is_replaced_when_it_is_overwritten(opinions, tmp_path):
  judged = prepare(opinions, tmp_path / "data", direction=MOS).judged
  (judged.directory / judged.images[0].file).unlink()
  with pytest.raises(UserError, match=r"000000\.png is missing: .* To replace it: --overwrite\."):
    prepare(opinions, tmp_path / "data", direction=MOS)
  assert not prepare(opinions, tmp_path / "data", direction=MOS, overwrite=True).found


def break_image(folder):
  path = folder / "photos/r2_3.png"
  path.write_bytes(path.read_bytes()[:-20])


def resize_image(folder):
  studies.save(folder / "photos/r2_3.png", studies.reference(0))


@pytest.mark.parametrize("spoil, message", [
    (break_image, "photos/r2_3.png: "),
    (resize_image, r"scores.csv line 15: the images differ in size: photos/r2.png 32x32, "
                   "photos/r2_3.png 32x24"),
    (lambda folder: (folder / "photos/r2_3.png").unlink(), "1 image not in"),
])
def test_a_bad_image_leaves_nothing(opinions, tmp_path, spoil, message):
  spoil(opinions)
  with pytest.raises(UserError, match=message) as error:
    prepare(opinions, tmp_path / "data", direction=MOS)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "data").exists()


def test_a_mistake_leaves_other_sets_alone(opinions, tmp_path):
  prepare(opinions, tmp_path / "data", "good", direction=MOS)
  before = files_below(tmp_path / "data")
  break_image(opinions)
  with pytest.raises(UserError, match=r"photos/r2_3\.png: "):
    prepare(opinions, tmp_path / "data", direction=MOS)
  assert files_below(tmp_path / "data") == before


def test_a_killed_preparation_goes_on(opinions, tmp_path, monkeypatch):
  def killed(*args):
    raise KeyboardInterrupt

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(prepare_judged, "_check_sizes", killed)
    prepare(opinions, tmp_path / "data", direction=MOS)
  left = tmp_path / "data/judged/study.unfinished/images"
  copied = {path.name: path.stat().st_mtime_ns for path in left.iterdir()}
  assert len(copied) == 18
  assert prepared.available(tmp_path / "data") == []
  with pytest.raises(UserError, match="No judged set 'study'"):
    prepared.load_judged("study", tmp_path / "data")
  (left / "000099.png").write_bytes(b"of other judgements")
  judged = prepare(opinions, tmp_path / "data", direction=MOS).judged
  now = {path.name: path.stat().st_mtime_ns for path in (judged.directory / "images").iterdir()}
  assert now == copied


# Answers that look reversed


def test_answers_the_right_way_round_give_no_warning(opinions, tmp_path):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    prepare(opinions, tmp_path / "data", direction=MOS)


def test_opinions_of_the_wrong_direction_are_told(opinions, tmp_path):
  doubt = r"looks reversed: images of larger squared error .*-1\.00"
  with pytest.raises(UserError, match=f"{doubt}.*If it is right as it is: --accept_reversed"):
    prepare(opinions, tmp_path / "data", direction="lower_is_better")
  assert not (tmp_path / "data").exists()
  with pytest.warns(UserWarning, match=doubt):
    prepare(opinions, tmp_path / "data", direction="lower_is_better", accept_reversed=True)


def test_references_that_score_worse_than_their_versions_are_told(opinions, tmp_path):
  with (opinions / "scores.csv").open("a") as file:
    file.write("photos/r0.png,photos/r0.png,5\n")
  with (pytest.warns(UserWarning, match="Left out 1 opinion of an image with itself"),
        pytest.raises(UserError, match="references compared with themselves have 5 in the mean")):
    prepare(opinions, tmp_path / "data", direction="lower_is_better")


def test_votes_for_the_other_candidate_are_told(triplets, tmp_path):
  table = triplets / "triplets.csv"
  table.write_text(table.read_text().replace("votes_a,votes_b", "votes_b,votes_a"))
  with pytest.raises(UserError, match="looks reversed: people preferred the candidate of the lar"):
    prepare(triplets, tmp_path / "data")


def test_shares_that_saw_a_difference_are_told(pairs, tmp_path):
  table = pairs / "pairs.csv"
  rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
  studies.write_csv(table, [(*row[:2], 1 - float(row[2])) for row in rows],
                    ("reference", "distorted", "same"))
  with pytest.raises(UserError, match="share of people who saw a difference"):
    prepare(pairs, tmp_path / "data")


# Reading what is not right


def edit(path, old, new):
  path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize("spoil, message", [
    (lambda folder: (folder / "images/000003.png").unlink(), "000003.png is missing"),
    (lambda folder: (folder / "images/000003.png").write_bytes(b"x"), "has 1 bytes, not"),
    (lambda folder: (folder / "examples.csv").unlink(), "is damaged"),
    (lambda folder: edit(folder / "examples.csv", "5.0", "1.0"), "not as they were written"),
    (lambda folder: edit(folder / "judged.json", "true", "false"), "not as they were written"),
    (lambda folder: (folder / "judged.json").write_text("{}"), "is damaged"),
    (lambda folder: (folder / "judged.json").write_text("[1"), "is damaged"),
])
def test_a_damaged_set_is_not_read(opinions, tmp_path, spoil, message):
  spoil(prepare(opinions, tmp_path / "data", direction=MOS).judged.directory)
  with pytest.raises(UserError, match=message) as error:
    prepared.load_judged("study", tmp_path / "data")
  assert "\n" not in str(error.value)


def test_an_image_that_changed_since_is_not_given(opinions, tmp_path):
  judged = prepare(opinions, tmp_path / "data", direction=MOS).judged
  studies.save(judged.directory / judged.images[0].file, studies.reference(1))
  with pytest.raises(UserError, match="has changed since"):
    judged.image(0)
  (judged.directory / judged.images[0].file).unlink()
  with pytest.raises(UserError, match="cannot be read"):
    judged.image(0)


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "x.unfinished"])
def test_a_name_is_one_folder(opinions, tmp_path, name):
  with pytest.raises(UserError, match="The name of a judged set"):
    prepare(opinions, tmp_path / "data", name, direction=MOS)
  assert not (tmp_path / "data").exists()


def test_the_sets_that_there_are_are_named(opinions, tmp_path):
  prepare(opinions, tmp_path / "data", direction=MOS)
  with pytest.raises(UserError, match=r"No judged set 'stdy' .* There are: study\."):
    prepared.load_judged("stdy", tmp_path / "data")


@pytest.mark.parametrize("options, message", [
    ({"layout": "tid2008"}, "Unknown layout 'tid2008'"),
    ({"layout": "csiq", "direction": MOS}, "The layout csiq says itself"),
    ({"layout": "csiq", "columns": {"score": "mos"}}, "The layout csiq says itself"),
])
def test_options_that_do_not_go_together(opinions, tmp_path, options, message):
  with pytest.raises(UserError, match=message):
    prepare(opinions, tmp_path / "data", **options)
