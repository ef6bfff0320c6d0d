"""Public sets by their layout, on miniature copies made here; labels of other releases are refused.

The images are those of `studies`; names, folders and label files are as published.
"""

import re
import warnings

import numpy as np
import pytest
from scipy import io as matlab

from perceptual.commands import prepare as prepare_command
from perceptual.data.judged import judgements, prepare_judged, public_sets
from perceptual.data.judged.public_sets import live
from perceptual.data.judged.source_files import SourceFiles
from perceptual.errors import UserError
from tests.data.judged import studies

LEVELS = 5


def version(reference, level):
  """A version of a reference: the higher the level, the more noise."""
  return studies.noisy(studies.reference(reference), 4 + 8 * level, 10 * reference + level)


def save_set(folder, references, versions):
  """Saves three references and their versions under the names that two functions give."""
  for index in range(3):
    studies.save(folder / references(index), studies.reference(index))
    for level in range(LEVELS):
      studies.save(folder / versions(index, level), version(index, level))


def places():
  """(reference, level) of every version."""
  return [(index, level) for index in range(3) for level in range(LEVELS)]


def tid2013(folder):
  save_set(folder, lambda i: f"reference_images/I{i + 1:02d}.BMP",
           lambda i, k: f"distorted_images/i{i + 1:02d}_08_{k + 1}.bmp")
  (folder / "mos_with_names.txt").write_text("".join(
      f"{6 - k:.5f} I{i + 1:02d}_08_{k + 1}.bmp\r\n" for i, k in places()))


def kadid10k(folder):
  save_set(folder, lambda i: f"images/I{i + 1:02d}.png",
           lambda i, k: f"images/I{i + 1:02d}_01_{k + 1:02d}.png")
  studies.write_csv(
      folder / "dmos.csv",
      [(f"I{i + 1:02d}_01_{k + 1:02d}.png", f"I{i + 1:02d}.png", 4.8 - k * 0.9, 0.5)
       for i, k in places()], ("dist_img", "ref_img", "dmos", "var"))


CSIQ_NAMES = ("1600", "aerial_city", "boston")


def csiq(folder):
  openpyxl = pytest.importorskip("openpyxl", reason="CSIQ's labels are an Excel file")
  save_set(folder, lambda i: f"src_imgs/{CSIQ_NAMES[i]}.png",
           lambda i, k: f"dst_imgs/awgn/{CSIQ_NAMES[i]}.AWGN.{k + 1}.png")
  # An image that nobody rated.
  studies.save(folder / "dst_imgs/jpeg/1600.JPEG.1.png", version(0, 0))
  workbook = openpyxl.Workbook()
  workbook.active.title = "all_by_distortion"
  sheet = workbook.create_sheet("all_by_image")
  cells = [("image", "dst_idx", "dst_type", "dst_lev", "dmos_std", "dmos")]
  cells += [(1600 if i == 0 else CSIQ_NAMES[i], 1, "noise", k + 1, 0.06, k / 5 + 0.1)
            for i, k in places()]
  for row, values in enumerate(cells, 4):  # the head stands in row 4, from column D on
    for column, value in enumerate(values, 4):
      sheet.cell(row, column, value)
  workbook.save(folder / "csiq.DMOS.xlsx")


LIVE_NAMES = ("bikes.bmp", "caps.bmp", "house.bmp")


def live_files(folder, *, scores="dmos_realigned.mat", key="dmos_new"):
  """Each of the five folders has one level of the three references, then a reference itself."""
  names, dmos, orgs = [], [], []
  for index in range(3):
    studies.save(folder / "refimgs" / LIVE_NAMES[index], studies.reference(index))
  for level, distortion in enumerate(live.FOLDERS):
    for place, (index, image) in enumerate(
        [*((i, version(i, level)) for i in range(3)), (0, studies.reference(0))], 1):
      studies.save(folder / distortion / f"img{place}.bmp", image)
      names.append(LIVE_NAMES[index])
      orgs.append(place == 4)
      dmos.append(0.0 if orgs[-1] else 20.0 + 15 * level)
  matlab.savemat(folder / scores, {key: [dmos], "orgs": [np.array(orgs, np.uint8)]})
  matlab.savemat(folder / "refnames_all.mat", {"refnames_all": np.array([names], object)})


def pipal(folder):
  save_set(folder, lambda i: f"Train_Ref/A{i + 1:04d}.bmp",
           lambda i, k: f"Distortion_{k % 4 + 1}/A{i + 1:04d}_00_{k:02d}.bmp")
  (folder / "Train_Label").mkdir()
  for i in range(3):
    (folder / f"Train_Label/A{i + 1:04d}.txt").write_text("".join(
        f"A{i + 1:04d}_00_{k:02d}.bmp,{1600 - 50 * k + 0.25}\n" for k in range(LEVELS)))


def pieapp(folder):
  def distorted(i, k):
    return f"distort_{i + 1}_noise_inter_{k}.png"

  save_set(folder, lambda i: f"reference_images/test/ref_{i + 1}.png",
           lambda i, k: f"distorted_images/test/ref_{i + 1}/{distorted(i, k)}")
  (folder / "labels/test").mkdir(parents=True)
  for i in range(3):
    reference = f"ref_{i + 1}.png"
    rows = [(reference, reference, distorted(i, k), 1.0) for k in range(LEVELS)]
    rows += [(reference, distorted(i, a), distorted(i, b), 0.75)
             for a in range(LEVELS) for b in range(a + 1, LEVELS)]
    studies.write_csv(
        folder / f"labels/test/ref_{i + 1}_pairwise_labels.csv", rows,
        ("ref image", " distorted image A", " distorted image B", " preference for A"))
    studies.write_csv(folder / f"labels/test/ref_{i + 1}_per_image_score.csv", [],
                      ("ref image", " distorted image", " score for distorted image"))


def nights(folder):
  rows = []
  for place in range(15):
    index, other = place % 3, 1 + place // 5
    for name, image in (("ref/000/{}.png", studies.reference(index)),
                        ("distort/000/{}_0.png", version(index, 0)),
                        ("distort/000/{}_1.png", version(index, other))):
      studies.save(folder / name.format(f"{place:03d}"), image)
    paths = [f"{stem}.png" for stem in (f"ref/000/{place:03d}", f"distort/000/{place:03d}_0",
                                        f"distort/000/{place:03d}_1")]
    split = "train" if place == 13 else "test"
    votes = 5 if place == 14 else 7
    rows.append((place, votes, 1, 0, *paths, "a prompt", split, True))
  studies.write_csv(folder / "data.csv", rows, (
      "id", "votes", "left_vote", "right_vote", "ref_path", "left_path", "right_path", "prompt",
      "split", "is_imagenet"))


MAKE = {"tid2013": tid2013, "kadid10k": kadid10k, "csiq": csiq, "live": live_files, "pipal": pipal,
        "pieapp": pieapp, "nights": nights}
# kind, examples, references, whether higher is better, the first answer
EXPECTED = {
    "tid2013": ("opinions", 15, 3, True, 6.0),
    "kadid10k": ("opinions", 15, 3, True, 4.8),
    "csiq": ("opinions", 15, 3, False, 0.1),
    "live": ("opinions", 15, 3, False, 20.0),
    "pipal": ("opinions", 15, 3, True, 1600.25),
    "pieapp": ("2afc", 30, 3, None, 0.25),
    "nights": ("2afc", 13, 3, None, 0.0),
}


def read(folder, layout):
  return judgements.checked(public_sets.LAYOUTS[layout].read(SourceFiles(folder)))


@pytest.mark.parametrize("layout", MAKE)
def test_a_miniature_copy_is_prepared(layout, tmp_path):
  MAKE[layout](tmp_path / "download" / layout)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    # From the folder above, as an archive unpacks.
    judged = prepare_judged.prepare(
        tmp_path / "download", tmp_path / "data", name=layout, layout=layout).judged
  kind, size, references, higher, first = EXPECTED[layout]
  assert (judged.kind, judged.size, judged.higher_is_better) == (kind, size, higher)
  assert len(set(judged.references.tolist())) == references
  assert judged.answers[0] == pytest.approx(first)
  assert judged.provenance["layout"] == layout
  # Of the count alone is warned: the answers are the right way round.
  assert [re.search("published are|reversed", str(w.message))[0] for w in caught] == [
      "published are"]


@pytest.mark.parametrize("layout", MAKE)
def test_labels_stand_with_their_own_images(layout, tmp_path):
  """The more noise, the worse the answer: each label is that of its file."""
  MAKE[layout](tmp_path)
  with pytest.warns(UserWarning, match="published are"):
    judged = prepare_judged.prepare(tmp_path, tmp_path / "data", name="x", layout=layout).judged
  for example, answer in zip(judged.examples, judged.answers):
    reference, *candidates = (judged.image(index).astype(float) for index in example)
    noise = [np.mean((candidate - reference) ** 2) for candidate in candidates]
    if judged.kind == "2afc":
      assert (noise[0] < noise[1]) == (answer < 0.5)
    else:
      same = judged.references == judged.references[list(judged.examples[:, 1]).index(example[1])]
      worst = max if judged.higher_is_better else min
      best_answer = worst(judged.answers[same])
      assert (answer == best_answer) == (noise[0] < 60)


def test_the_layouts_are_those_of_the_command():
  assert tuple(public_sets.LAYOUTS) == prepare_command.LAYOUTS


def test_votes_and_parts_are_kept_where_they_are_published(tmp_path):
  pieapp(tmp_path / "pieapp")
  tid2013(tmp_path / "tid2013")
  with pytest.warns(UserWarning, match="published are"):
    assert {row.votes for row in read(tmp_path / "pieapp", "pieapp").rows} == {40}
    assert {row.part for row in read(tmp_path / "tid2013", "tid2013").rows} == {"distortion 08"}


def test_live_without_realigned_scores(tmp_path):
  live_files(tmp_path, scores="dmos.mat", key="dmos")
  with pytest.warns(UserWarning, match="published are"):
    assert read(tmp_path, "live").note.endswith("(dmos)")


@pytest.mark.parametrize(("layout", "published"), [
    ("tid2013", (3000, 25)), ("kadid10k", (10_125, 81)), ("csiq", (866, 30)), ("live", (779, 29)),
    ("pipal", (23_200, 200)), ("pieapp", (4200, 40)), ("nights", (2120,))])
def test_published_counts_give_no_warning(layout, published):
  assert published == public_sets.LAYOUTS[layout].PUBLISHED
  references = published[1] if len(published) > 1 else 1
  rows = [judgements.Judgement((str(place % references), "x"), 0.0, "") for place in
          range(published[0])]
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    public_sets.layout.warn_of_counts(layout, rows, published)


# Other releases


def edited(name, old, new):
  def edit(folder):
    path = folder / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
  return edit


def without(name):
  return lambda folder: (folder / name).unlink()


def mat(name, **variables):
  return lambda folder: matlab.savemat(folder / name, variables)


@pytest.mark.parametrize("layout, spoil, message", [
    ("tid2013", without("mos_with_names.txt"), "holds no mos_with_names.txt"),
    ("tid2013", edited("mos_with_names.txt", "6.00000 I01_08_1.bmp\n", ""),
     "1 image without a score .*i01_08_1.bmp.* another release"),
    ("tid2013", edited("mos_with_names.txt", "6.00000", "60.0"),
     "line 1 .* a score of 60, published are 0 to 9"),
    ("tid2013", edited("mos_with_names.txt", "I01_08_1.bmp", "I01_08.bmp"), "line 1 is not that"),
    ("tid2013", without("distorted_images/i02_08_3.bmp"), "names I02_08_3.bmp, of which .* none"),
    ("kadid10k", edited("dmos.csv", "dmos", "mos"), "no column dmos among dist_img, ref_img, mos"),
    ("kadid10k", edited("dmos.csv", "4.8", "48"), "a score of 48, published are 1 to 5"),
    ("kadid10k", edited("dmos.csv", "I01_01_01.png", "img1.png"), "'img1.png' is not named as"),
    ("kadid10k", without("images/I02.png"), "names I02.png, of which .* none"),
    ("live", without("refnames_all.mat"), "holds no refnames_all.mat"),
    ("live", without("dmos_realigned.mat"), "neither dmos_realigned.mat nor dmos.mat"),
    ("live", mat("dmos_realigned.mat", dmos=[1.0], orgs=[0]), "no variable dmos_new among dmos, o"),
    ("live", mat("dmos_realigned.mat", dmos_new=[[1.0, 2.0]], orgs=[[0, 0]]),
     "2 scores in dmos_realigned.mat, 2 orgs, 20 names in refnames_all.mat, 20 images"),
    ("live", without("wn/img2.bmp"), "3 images that are not numbered img1.bmp"),
    ("live", lambda folder: (folder / "refnames_all.mat").write_bytes(b"x" * 200),
     "refnames_all.mat is not a whole MATLAB file"),
    ("pipal", without("Train_Ref/A0002.bmp"), "names A0002.bmp, of which .* none"),
    ("pipal", edited("Train_Label/A0002.txt", "A0002_00_00.bmp,", "A0002_00_00.bmp;"),
     "A0002.txt line 1 is not that of pipal"),
    ("pipal", edited("Train_Label/A0002.txt", "1600.25", "0.8"), "a score of 0.8, published are"),
    ("pieapp", edited("labels/test/ref_1_pairwise_labels.csv", "ref_1.png,", "ref_2.png,"),
     "ref_1_pairwise_labels.csv line 2 is not that of pieapp"),
    ("pieapp", edited("labels/test/ref_1_pairwise_labels.csv", "1.0", "31"),
     "a score of 31, published are 0 to 1"),
    ("nights", edited("data.csv", "right_vote", "right"), "no column right_vote among id, votes"),
    ("nights", edited("data.csv", "7,1,0", "7,1,1"), "left_vote 1 and right_vote 1"),
    ("nights", without("ref/000/004.png"), "line 6 names ref/000/004.png, which is not in"),
])
def test_what_differs_is_said_in_one_line(layout, spoil, message, tmp_path):
  MAKE[layout](tmp_path / "source")
  spoil(tmp_path / "source")
  with pytest.raises(UserError, match=message) as error:
    prepare_judged.prepare(tmp_path / "source", tmp_path / "data", name="x", layout=layout)
  assert "\n" not in str(error.value)
  assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("layout", MAKE)
def test_an_empty_folder_is_no_set(layout, tmp_path):
  with pytest.raises(UserError, match=r"holds (no|neither)"):
    public_sets.LAYOUTS[layout].read(SourceFiles(tmp_path))


@pytest.mark.parametrize("change, message", [
    (lambda workbook: workbook.remove(workbook["all_by_image"]), "no sheet all_by_image"),
    (lambda workbook: workbook["all_by_image"].cell(4, 9, "mos"), "no row of all_by_image has"),
    (lambda workbook: workbook["all_by_image"].cell(5, 6, "haze"), "an unknown distortion 'haze'"),
    (lambda workbook: workbook["all_by_image"].cell(5, 9, 44), "a score of 44, published are 0 to"),
    (lambda workbook: workbook["all_by_image"].cell(5, 7, 9), "names 1600.AWGN.9.png, of which"),
])
def test_other_sheets_than_csiqs_are_refused(change, message, tmp_path):
  csiq(tmp_path)
  openpyxl = pytest.importorskip("openpyxl")
  workbook = openpyxl.load_workbook(tmp_path / "csiq.DMOS.xlsx")
  change(workbook)
  workbook.save(tmp_path / "csiq.DMOS.xlsx")
  with pytest.raises(UserError, match=message):
    read(tmp_path, "csiq")


def test_a_damaged_sheet_is_refused(tmp_path):
  csiq(tmp_path)
  (tmp_path / "csiq.DMOS.xlsx").write_bytes(b"PK\x03\x04 no workbook")
  with pytest.raises(UserError, match="is not a whole Excel file"):
    read(tmp_path, "csiq")
