"""Judgements from one's own CSV: what is read, and every mistake in one line."""

import warnings

import numpy as np
import pytest

from perceptual.data.judged import from_table, judgements, source_files
from perceptual.data.judged.source_files import SourceFiles
from perceptual.errors import UserError
from tests.data.judged import studies

MOS = "higher_is_better"


def read(folder, **options):
  return judgements.checked(from_table.read(SourceFiles(folder), **options))


def answers(judged):
  return [row.answer for row in judged.rows]


# What is read


def test_opinions(opinions):
  judged = read(opinions, direction=MOS)
  assert (judged.kind, judged.higher_is_better, len(judged.rows)) == ("opinions", True, 15)
  assert judged.rows[1].images == ("photos/r0.png", "photos/r0_1.png")
  assert answers(judged)[:5] == [5, 4, 3, 2, 1]
  assert not read(opinions, direction="lower_is_better").higher_is_better


def test_votes_on_triplets(triplets):
  judged = read(triplets)
  assert (judged.kind, judged.higher_is_better) == ("2afc", None)
  assert answers(judged)[:3] == [0.25, 0.75, 0.75]
  assert all(row.votes == 4 for row in judged.rows)
  assert len(judged.image_names) == 18


def test_shares_of_triplets_with_their_number_of_votes(triplets):
  table = triplets / "triplets.csv"
  rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
  studies.write_csv(table, [(*row[:3], f"{int(row[4]) / 4:.2f}", 12, "noise") for row in rows],
                    ("reference", "a", "b", "p", "votes", "part"))
  judged = read(triplets)
  assert answers(judged)[:3] == [0.25, 0.75, 0.75]
  assert {(row.votes, row.part) for row in judged.rows} == {(12, "noise")}


def test_same_and_different_pairs(pairs):
  judged = read(pairs)
  assert (judged.kind, answers(judged)[:5]) == ("jnd", [1.0, 0.75, 0.5, 0.25, 0.0])


def test_votes_of_same_and_different(pairs):
  table = pairs / "pairs.csv"
  rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
  studies.write_csv(table, [(*row[:2], round(8 * float(row[2])), round(8 - 8 * float(row[2])))
                            for row in rows],
                    ("reference", "distorted", "votes_same", "votes_different"))
  judged = read(pairs)
  assert (answers(judged)[:2], judged.rows[0].votes) == ([1.0, 0.75], 8)


def test_columns_are_named(opinions):
  table = opinions / "scores.csv"
  table.write_text(table.read_text().replace("reference,distorted,score", "ref,Bild,mos", 1))
  judged = read(opinions, direction=MOS,
                columns={"reference": "ref", "distorted": "Bild", "score": "mos"})
  assert answers(judged)[:2] == [5, 4]


def test_a_table_as_spreadsheets_save_it(opinions):
  table = opinions / "scores.csv"
  text = table.read_text().replace(",", ";").replace("photos/", "photos\\") + ";;\n"
  table.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
  assert answers(read(opinions, direction=MOS))[:2] == [5, 4]


def test_names_are_found_whatever_their_capitals_and_accents(opinions):
  (opinions / "photos/r0.png").rename(opinions / "photos/Re\u0301.PNG")
  table = opinions / "scores.csv"
  table.write_text(table.read_text().replace("photos/r0.png", "photos/r\u00e9.png"))
  assert read(opinions, direction=MOS).rows[0].images[0] == "photos/Re\u0301.PNG"


def test_of_several_tables_one_is_named(opinions, triplets):
  assert opinions == triplets  # one folder with two tables
  with pytest.raises(UserError, match=r"2 CSV files: scores.csv, triplets.csv; say by --table"):
    read(opinions)
  assert read(opinions, table="triplets.csv").kind == "2afc"


def test_a_tar_is_read_as_a_folder(opinions, tmp_path):
  archive = studies.as_tar(opinions, tmp_path / "study.tar.gz")
  judged = read(archive, direction=MOS)
  assert judged.rows[0].images == ("study/photos/r0.png", "study/photos/r0_0.png")


# What is left out, with a warning


def add_row(table, *cells):
  with table.open("a") as file:
    file.write(",".join(map(str, cells)) + "\n")


def test_references_compared_with_themselves_are_left_out(opinions):
  add_row(opinions / "scores.csv", "photos/r0.png", "photos/r0.png", 5)
  with pytest.warns(UserWarning, match=r"Left out 1 opinion of an image with itself.* line 17"):
    judged = read(opinions, direction=MOS)
  assert len(judged.rows) == 15
  assert [row.answer for row in judged.itself] == [5]


def test_a_row_given_twice_counts_once(triplets):
  add_row(triplets / "triplets.csv", "photos/r0.png", "photos/r0_1.png", "photos/r0_0.png", 1, 3)
  with pytest.warns(UserWarning, match="Left out 1 triplet given a second time"):
    assert len(read(triplets).rows) == 15


def test_a_reference_with_one_version_is_told(opinions):
  for level in range(4):
    add_row(opinions / "scores.csv", f"photos/r0_{level}.png", "photos/r1.png", 3)
  with pytest.warns(UserWarning, match="One version alone.* 4 of 7 references: "):
    read(opinions, direction=MOS)


def test_a_sound_table_gives_no_warning(opinions):
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    read(opinions, direction=MOS)


# Mistakes


@pytest.mark.parametrize("line, old, new, message", [
    (3, "r0_1.png", "r9.png", r"1 image not in .*: photos/r9.png \(scores.csv line 3\)"),
    (3, "photos/r0.png", "", r"an empty reference \(scores.csv line 3\)"),
    (3, "photos/r0_1", "../r0_1", r"\.\./r0_1.png \(scores.csv line 3\)"),
    (3, ",4", ",nan", "scores.csv line 3: score is 'nan', not a finite number"),
    (3, ",4", ",1_0", "scores.csv line 3: score is '1_0', not a finite number"),
    (3, ",4", ",good", "scores.csv line 3: score is 'good', not a finite number"),
    (3, ",4", ",", "scores.csv line 3: score is '', not a finite number"),
    (3, ",4", ",4,4", "scores.csv line 3 has 4 cells; the head has 3"),
    (3, "r0_1", "r0_0", r"scores.csv line 2 and scores.csv line 3 judge the same images .* differ"),
    (1, "score", "rating", "no kind of judgements: reference, distorted. Needed are"),
    (1, "score", "reference", "has the column 'reference' twice"),
])
def test_mistakes_in_opinions_are_one_line(opinions, line, old, new, message):
  studies.change(opinions / "scores.csv", line, old, new)
  with pytest.raises(UserError, match=message) as error:
    read(opinions, direction=MOS)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("line, old, new, message", [
    (2, ",3,1", ",0,0", "triplets.csv line 2: votes_a and votes_b are both 0"),
    (2, ",3,1", ",3,1.5", "line 2: votes_b is '1.5', not a whole number"),
    (2, ",3,1", ",3,-1", "line 2: votes_b is '-1', not a whole number"),
    (2, "r0_1.png", "r0_0.png", "line 2: both candidates are photos/r0_0.png"),
    (3, "r0_2.png", "r0_0.png", "line 2 and .*line 3 judge the same images"),
])
def test_mistakes_in_votes_are_one_line(triplets, line, old, new, message):
  studies.change(triplets / "triplets.csv", line, old, new)
  with pytest.raises(UserError, match=message) as error:
    read(triplets)
  assert "\n" not in str(error.value)


@pytest.mark.parametrize("cells, message", [
    ((3, 1, 0.5, 4), "line 2: votes do not add up: 1 of 4 is 0.25, p is 0.5"),
    ((3, 1, 0.25, 5), "line 2: votes do not add up: 3 and 1 are not 5"),
])
def test_votes_that_do_not_add_up(triplets, cells, message):
  table = triplets / "triplets.csv"
  rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
  studies.write_csv(table, [(*row[:3], *cells) for row in rows],
                    ("reference", "a", "b", "votes_a", "votes_b", "p", "votes"))
  with pytest.raises(UserError, match=message):
    read(triplets)


@pytest.mark.parametrize("share", [1.5, -0.1, "nan"])
def test_a_share_is_a_fraction(pairs, share):
  studies.change(pairs / "pairs.csv", 2, ",1.0", f",{share}")
  with pytest.raises(UserError, match=r"pairs\.csv line 2"):
    read(pairs)


@pytest.mark.parametrize("options, message", [
    ({}, "say whether higher is better .*MOS"),
    ({"direction": "up"}, "Unknown direction 'up'"),
    ({"columns": {"refs": "r"}, "direction": MOS}, "Unknown column of judgements 'refs'"),
    ({"columns": {"score": "mos"}, "direction": MOS}, "no column 'mos', given for 'score'"),
    ({"table": "ratings.csv", "direction": MOS}, "holds no ratings.csv"),
])
def test_options_that_do_not_fit(opinions, options, message):
  with pytest.raises(UserError, match=message):
    read(opinions, **options)


def test_a_direction_is_for_opinions_alone(triplets):
  with pytest.raises(UserError, match="a direction is for opinions alone"):
    read(triplets, direction=MOS)


def test_a_table_of_two_kinds_is_refused(pairs):
  table = pairs / "pairs.csv"
  table.write_text("\n".join(
      f"{line},{'score' if place == 0 else 3}"
      for place, line in enumerate(table.read_text().splitlines())))
  with pytest.raises(UserError, match="columns of several kinds"):
    read(pairs)


def test_fewer_than_ten_judgements_are_refused(opinions):
  table = opinions / "scores.csv"
  table.write_text("".join(table.read_text().splitlines(keepends=True)[:10]))
  with pytest.raises(UserError, match="9 opinions to score; at least 10 are needed"):
    read(opinions, direction=MOS)


def test_opinions_that_are_all_the_same_are_refused(opinions):
  table = opinions / "scores.csv"
  head, *lines = table.read_text().splitlines()
  table.write_text("\n".join([head, *(f"{line.rpartition(',')[0]},3" for line in lines)]))
  with pytest.raises(UserError, match=r"scores\.csv: every score is 3: no metric can agree"):
    read(opinions, direction=MOS)


@pytest.mark.parametrize("content, message", [
    (b"", "is empty"),
    (b"reference,distorted,score\n", "has no rows"),
    (b"reference,distorted,score\nphotos/\xe9.png,photos/r0.png,1\n", "is not UTF-8 text"),
])
def test_what_is_no_table_is_refused(photographs, content, message):
  (photographs / "scores.csv").write_bytes(content)
  with pytest.raises(UserError, match=message):
    read(photographs, direction=MOS)


def test_a_source_without_a_table_is_refused(photographs):
  with pytest.raises(UserError, match="holds no CSV file"):
    read(photographs)


def test_answers_are_kept_to_their_last_digit(opinions):
  studies.change(opinions / "scores.csv", 2, ",5", f",{np.pi!r}")
  assert read(opinions, direction=MOS).rows[0].answer == np.pi


@pytest.mark.parametrize("text", ["a,b\r1,2\nx\ry,2\n", "a,b\n1," + "2" * 200_000 + "\n"])
def test_text_that_is_no_csv_is_one_line(text):
  with pytest.raises(UserError, match=r"^x\.csv ") as caught:
    list(source_files.csv_rows(text, "x.csv"))
  assert "\n" not in str(caught.value)
