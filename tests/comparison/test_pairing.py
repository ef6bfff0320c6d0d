"""Which file is compared with which, by names alone."""

import os

import pytest

from perceptual.comparison import pairing
from perceptual.comparison.pairing import Skipped
from perceptual.data.images import formats
from perceptual.errors import UserError


@pytest.fixture
def touch(tmp_path):
  """Makes empty files; names are paths below the test's folder."""

  def make(*names):
    for name in names:
      (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / name).touch()
    return tmp_path

  return make


def _pairs(found, root):
  """The pairs as names below a folder."""
  return [tuple(os.path.relpath(found.files[file], root) for file in pair)
          for pair in found.pairs]


def _skipped(found, root):
  return [tuple(entry) for entry in
          (Skipped(*(name.removeprefix(f"{root}/") for name in entry)) for entry in found.skipped)]


def test_one_with_many():
  found = pairing.one_with_many("r.png", ["a.png", "b.png", "r.png"])
  assert _pairs(found, ".") == [("r.png", "a.png"), ("r.png", "b.png"), ("r.png", "r.png")]
  assert found.explicit and len(found.files) == 3 and found.skipped == ()


def test_a_pair_named_twice_is_compared_once_and_listed():
  found = pairing.one_with_many("r.png", ["a.png", "b.png", "a.png"])
  assert _pairs(found, ".") == [("r.png", "a.png"), ("r.png", "b.png")]
  assert found.skipped == (Skipped("r.png", "a.png", "named more than once"),)


def test_folders_pair_by_the_path_below_them(touch):
  root = touch("r/1.png", "r/sub/1.png", "r/sub/2.png", "c/1.png", "c/sub/1.png", "c/2.png")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [("r/1.png", "c/1.png"), ("r/sub/1.png", "c/sub/1.png")]
  assert not found.explicit
  assert _skipped(found, root) == [("r/sub/2.png", "", "no candidate of this name"),
                                   ("", "c/2.png", "no reference of this name")]


def test_files_that_differ_in_the_extension_alone_are_partners(touch):
  root = touch("r/a.png", "r/b.PNG", "r/c.tar.png", "c/a.jpg", "c/b.png", "c/c.tar.webp")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [
      ("r/a.png", "c/a.jpg"), ("r/b.PNG", "c/b.png"), ("r/c.tar.png", "c/c.tar.webp")]
  assert found.skipped == ()


def test_the_exact_name_goes_before_another_extension(touch):
  root = touch("r/a.png", "c/a.jpg", "c/a.png")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [("r/a.png", "c/a.png")]
  assert _skipped(found, root) == [("", "c/a.jpg", "no reference of this name")]


def test_uncertain_partners_are_listed_and_not_guessed(touch):
  root = touch("r/a.png", "r/a.webp", "r/b.png", "r/z.png",
               "c/a.jpg", "c/b.bmp", "c/b.gif", "c/z.png")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [("r/z.png", "c/z.png")]
  assert _skipped(found, root) == [
      ("r/a.png", "", "names that differ in the extension alone: a.jpg"),
      ("r/a.webp", "", "names that differ in the extension alone: a.jpg"),
      ("", "c/a.jpg", "names that differ in the extension alone: a.png, a.webp"),
      ("r/b.png", "", "names that differ in the extension alone: b.bmp, b.gif"),
      ("", "c/b.bmp", "names that differ in the extension alone: b.png"),
      ("", "c/b.gif", "names that differ in the extension alone: b.png")]


def test_hidden_files_are_passed_over_and_others_listed(touch):
  root = touch("r/a.png", "r/.DS_Store", "r/notes.txt", "c/a.png", "c/.git/x.png", "c/Thumbs.db")
  found = pairing.folders(root / "r", root / "c")
  assert _skipped(found, root) == [("r/notes.txt", "", "not the name of an image"),
                                   ("", "c/Thumbs.db", "not the name of an image")]


def test_frames_belong_to_the_clip_of_their_folder(touch):
  root = touch("r/x/1.png", "r/x/2.png", "r/y/1.png", "r/y/deep/1.png", "r/0.png", "c/x/1.png",
               "c/x/2.png", "c/y/1.png", "c/y/deep/1.png", "c/0.png")
  found = pairing.frames(root / "r", root / "c")
  assert found.clips == (".", "x", "x", "y", "y/deep")
  assert len(found.pairs) == 5


def test_every_pair_once_in_the_order_of_names(touch):
  root = touch("f/a.png", "f/b.png", "f/sub/c.png", "f/readme.md")
  found = pairing.every_pair(root / "f")
  assert _pairs(found, root / "f") == [("a.png", "b.png"), ("a.png", "sub/c.png"),
                                       ("b.png", "sub/c.png")]
  assert _skipped(found, root) == [("f/readme.md", "", "not the name of an image")]


def test_a_csv_file_lists_paths_from_its_own_folder(touch):
  root = touch("lists/pairs.csv")
  elsewhere = root / "elsewhere" / "x.png"
  (root / "lists" / "pairs.csv").write_text(
      "\ufeffnote,candidate,reference\n"
      f"\"a, b\",out/1.png,ref/1.png\n,{elsewhere},ref/1.png\n", "utf-8")
  found = pairing.from_csv(root / "lists" / "pairs.csv")
  assert _pairs(found, root) == [("lists/ref/1.png", "lists/out/1.png"),
                                 ("lists/ref/1.png", "elsewhere/x.png")]
  assert not found.explicit


@pytest.mark.parametrize(("text", "message"), [
    ("", "needs the columns reference and candidate; it has nothing."),
    ("reference;candidate\na;b\n", "needs the columns reference and candidate; it has "
                                   "'reference;candidate'."),
    ("reference,candidate\n", "lists no pairs."),
    (b"reference,candidate\n\xff\xfe,b\n", "is not a CSV file in UTF-8: "),
], ids=["empty", "semicolons", "no pairs", "not UTF-8"])
def test_a_csv_file_that_is_none_is_an_error(tmp_path, text, message):
  path = tmp_path / "pairs.csv"
  path.write_bytes(text if isinstance(text, bytes) else text.encode())
  with pytest.raises(UserError) as caught:
    pairing.from_csv(path)
  assert str(caught.value).startswith(str(path)) and message in str(caught.value)


def test_bad_lines_of_a_csv_file_are_listed_and_the_others_compared(tmp_path):
  path = tmp_path / "pairs.csv"
  path.write_text("reference,candidate\na.png,b.png\n~nobody-of-this-name/a.png,b.png\na.png\n"
                  "a.png,\n,b.png\n")
  found = pairing.from_csv(path)
  assert _pairs(found, tmp_path) == [("a.png", "b.png")]
  needed = "a reference and a candidate are needed"
  assert [entry.reason.partition(";")[0] for entry in found.skipped] == [
      "line 3: ~nobody-of-this-name/a.png: no user ~nobody-of-this-name",
      f"line 4: {needed}", f"line 5: {needed}", f"line 6: {needed}"]
  assert found.skipped[0][:2] == ("~nobody-of-this-name/a.png", "b.png")
  path.write_text("reference,candidate\na.png\n")
  assert len(pairing.from_csv(path).pairs) == 0


@pytest.mark.parametrize("form", [
    lambda path: pairing.one_with_many("a.png", [path]), pairing.from_csv, pairing.every_pair,
    lambda path: pairing.folders(path, "."), lambda path: pairing.frames(".", path)])
def test_the_folder_of_a_user_who_is_not_there(form):
  with pytest.raises(UserError, match="no user ~nobody-of-this-name"):
    form("~nobody-of-this-name/x")


_E_ONE, _E_TWO = "caf\u00e9", "cafe\u0301"  # as most systems write it, and as macOS does


def test_names_pair_whatever_their_unicode_form(touch):
  root = touch(f"r/{_E_ONE}/{_E_ONE}.png", f"c/{_E_TWO}/{_E_TWO}.png", f"r/x{_E_TWO}.png",
               f"c/x{_E_ONE}.jpg")
  found = pairing.frames(root / "r", root / "c")
  assert _pairs(found, root) == [
      (f"r/x{_E_TWO}.png", f"c/x{_E_ONE}.jpg"),
      (f"r/{_E_ONE}/{_E_ONE}.png", f"c/{_E_TWO}/{_E_TWO}.png")]
  assert found.clips == (".", _E_ONE) and found.skipped == ()


def test_of_two_unicode_forms_the_exact_one_is_the_partner(touch):
  root = touch(f"r/{_E_ONE}.png", f"r/{_E_TWO}.png", f"c/{_E_TWO}.png")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [(f"r/{_E_TWO}.png", f"c/{_E_TWO}.png")]
  assert _skipped(found, root) == [(f"r/{_E_ONE}.png", "", "no candidate of this name")]
  root = touch(f"r/{_E_ONE}.png", f"c2/{_E_ONE}.png")
  found = pairing.folders(root / "r", root / "c2")
  assert _skipped(found, root) == [
      (f"r/{_E_TWO}.png", "", "no candidate of this name, 'cafe\\u0301.png'")]


def test_ambiguous_unicode_forms_are_listed_so_that_they_can_be_told_apart(touch):
  three = "\u1e69", "s\u0323\u0307", "s\u0307\u0323"  # of one letter
  root = touch(f"r/{three[0]}.png", f"c/{three[1]}.png", f"c/{three[2]}.png", "r/a.png", "c/a.png")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [("r/a.png", "c/a.png")]
  reasons = [entry.reason for entry in found.skipped]
  assert "names that differ in their Unicode form alone" in reasons[0]
  assert "'s\\u0323\\u0307.png'" in reasons[0] and "'s\\u0307\\u0323.png'" in reasons[0]


def test_links_to_folders_that_are_read_already_are_listed(touch):
  root = touch("r/a.png", "c/a.png")
  (root / "r" / "loop").symlink_to(".")
  found = pairing.folders(root / "r", root / "c")
  assert _pairs(found, root) == [("r/a.png", "c/a.png")]
  assert _skipped(found, root) == [("r/loop", "", "a link to the folder itself, which is listed")]


def test_all_pairs_hold_no_pair_of_one_file_with_itself(touch):
  root = touch("f/a.png", "f/b.png")
  (root / "f" / "link.png").symlink_to("a.png")
  os.link(root / "f" / "b.png", root / "f" / "hard.png")
  found = pairing.every_pair(root / "f")
  assert _pairs(found, root / "f") == [("a.png", "b.png")]
  assert _skipped(found, root) == [("f/hard.png", "", "the same file as b.png"),
                                   ("f/link.png", "", "the same file as a.png")]


def test_folders_list_every_format_that_files_may_have(touch):
  names = [f"image{suffix}" for suffix in formats.SUFFIXES]
  root = touch(*(f"r/{name}" for name in names), *(f"c/{name}" for name in names))
  found = pairing.folders(root / "r", root / "c")
  assert {".avif", ".jfif", ".jpe", ".jp2", ".tga"} <= set(formats.SUFFIXES)
  assert len(found.pairs) == len(names) and found.skipped == ()


def test_a_csv_file_that_is_not_there(tmp_path):
  with pytest.raises(UserError, match=r"none\.csv cannot be read: No such file"):
    pairing.from_csv(tmp_path / "none.csv")


@pytest.mark.parametrize("form", [pairing.folders, pairing.frames])
def test_folders_that_are_none_or_hold_no_image(touch, form):
  root = touch("r/a.png", "empty/notes.txt")
  with pytest.raises(UserError, match=r"No such folder: .*/none\."):
    form(root / "r", root / "none")
  with pytest.raises(UserError, match=r"No such folder: .*/r/a\.png\."):
    form(root / "r" / "a.png", root / "r")
  with pytest.raises(UserError, match=r"empty holds no image \(PNG, "):
    form(root / "r", root / "empty")


def test_all_pairs_of_one_image_are_none(touch):
  with pytest.raises(UserError, match="holds one image; all pairs need at least two"):
    pairing.every_pair(touch("a.png"))


def test_any_name_of_a_file_becomes_printable(touch):
  root = touch("r/new\nline.png", "c/new\nline.png", os.fsdecode(b"r/\xff.png"), "r/ü.png")
  found = pairing.folders(root / "r", root / "c")
  assert found.names(0) == (f"{root}/r/new\\nline.png", f"{root}/c/new\\nline.png")
  assert {name for name, _, _ in _skipped(found, root)} == {"r/\\udcff.png", "r/ü.png"}
  assert found.files[0] == root / "r" / "new\nline.png"
