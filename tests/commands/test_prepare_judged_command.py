"""`perceptual prepare judged`: its flags, what it prints, its mistakes in one line."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from perceptual.commands import cli, command_line
from perceptual.data.judged import prepared


@pytest.fixture(autouse=True)
def runtime_as_it_is(monkeypatch):
  """The command would change this process for other tests."""
  monkeypatch.setattr(command_line, "configure_runtime", lambda: None)


@pytest.fixture
def run(capsys):
  """Runs the command; returns its exit status, its output and its lines on stderr."""
  def call(*arguments):
    with pytest.raises(SystemExit) as caught:
      cli.main(["prepare", "judged", *map(str, arguments)])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err.splitlines()
  return call


@pytest.fixture
def study(tmp_path):
  """Twelve versions of one photograph, ever noisier, and ratings in a spreadsheet's own words."""
  folder = tmp_path / "study"
  folder.mkdir()
  rng = np.random.default_rng(0)
  photograph = np.full([16, 16, 3], 128)
  rows = []
  for level in range(13):
    pixels = photograph + level * rng.integers(-8, 9, photograph.shape)
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / f"{level}.png")
    rows.append(("0.png", f"{level}.png", 5 - level / 3))
  with (folder / "ratings.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("original", "coded", "mos"), *rows[1:]])
  return folder


COLUMNS = "--columns=reference=original,distorted=coded,score=mos"


def test_a_study_is_prepared_and_counted(run, study, tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, "tensorflow", None)  # it takes no part
  status, out, _ = run(f"--source={study}", "--name=mine", COLUMNS, f"--data_dir={tmp_path}",
                       "--direction=higher_is_better")
  assert status == 0
  assert out == (f"judged/mine: 12 opinions; 1 reference; 13 images (16x16); scores 1 to 4.66667, "
                 f"higher is better; in {tmp_path}/judged/mine\n")
  assert prepared.load_judged("mine", tmp_path).size == 12


def test_taps_of_a_metric_without_any_are_refused(run, study, tmp_path, capsys):
  run(f"--source={study}", "--name=mine", COLUMNS, f"--data_dir={tmp_path}",
      "--direction=higher_is_better")
  with pytest.raises(SystemExit):
    cli.main(["evaluate", "--metric=mse", "--dataset=judged/mine", f"--data_dir={tmp_path}",
              f"--output_dir={tmp_path / 'out'}", "--by_tap"])
  assert "error: --by_tap is for networks: mse has no taps." in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_scores_that_look_reversed_are_refused_unless_accepted(run, study, tmp_path):
  arguments = (f"--source={study}", "--name=mine", COLUMNS, f"--data_dir={tmp_path / 'data'}",
               "--direction=lower_is_better")
  status, out, err = run(*arguments)
  assert (status, out) == (1, "") and err[-1].startswith("error: judged/mine looks reversed: ")
  assert not (tmp_path / "data").exists()
  with pytest.warns(UserWarning, match="looks reversed"):
    status, out, _ = run(*arguments, "--accept_reversed")
  assert status == 0 and "lower is better" in out


@pytest.mark.parametrize("arguments, message", [
    (["--name=mine", COLUMNS], "ratings.csv holds opinions: say whether higher is better (MOS, "
     "--direction=higher_is_better) or lower (DMOS, --direction=lower_is_better)."),
    (["--layout=live"], "{study} holds no refnames_all.mat; one is needed."),
    (["--layout=csiq", "--direction=lower_is_better"], "The layout csiq says itself which table "
     "and columns there are, and which direction its scores have."),
])
def test_mistakes_are_one_line_and_write_nothing(run, study, tmp_path, arguments, message):
  status, out, err = run(f"--source={study}", f"--data_dir={tmp_path / 'data'}", *arguments)
  assert (status, out) == (1, "")
  assert err[-1] == f"error: {message.format(study=study)}"
  assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("arguments, message", [
    (["--source=study"], "prepare judged needs --name or --layout."),
    (["--source=study", "--name=mine", "--columns=score"], "--columns has 'score'; each is "
     "written reference=ref."),
    (["--name=mine"], "prepare judged needs --source."),
])
def test_a_wrong_command_line(run, tmp_path, arguments, message):
  status, _, err = run(*arguments, f"--data_dir={tmp_path / 'data'}")
  assert status == 2 and err[-1].startswith(f"error: {message} Try ")
  assert not (tmp_path / "data").exists()


# Bad input: one line each, and nothing is written


def _edit(old, new):
  def spoil(study):
    table = study / "ratings.csv"
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))
  return spoil


def _votes(study):
  rows = ["reference,a,b,p,votes_a,votes_b"]
  rows += [f"0.png,{level}.png,{level + 1}.png,0.25,3,{2 if level == 5 else 1}"
           for level in range(1, 12)]
  (study / "ratings.csv").write_text("\n".join(rows))


def _reversed(study):
  table = study / "ratings.csv"
  rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
  table.write_text("\n".join(["original,coded,mos", *(
      f"{reference},{coded},{5 - float(score)}" for reference, coded, score in rows)]))


def _fewer(study):
  table = study / "ratings.csv"
  table.write_text("\n".join(table.read_text().splitlines()[:10]))


def _resized(study):
  Image.new("RGB", (16, 12)).save(study / "7.png")


@pytest.mark.parametrize("spoil, message", [
    (_reversed, "judged/mine looks reversed: images of larger squared error"),
    (_votes, "ratings.csv line 6: votes do not add up: 2 of 5 is 0.4, p is 0.25."),
    (_edit("0.png,7.png", "gone.png,7.png"), "1 image not in "),
    (_edit("0.png,7.png", "0.png,6.png"),
     "ratings.csv line 7 and ratings.csv line 8 judge the same images (0.png, 6.png) differently"),
    (_fewer, "ratings.csv: 9 opinions to score; at least 10 are needed."),
    (_edit("4.0", "nan"), "ratings.csv line 4: score is 'nan', not a finite number."),
    (_resized, "ratings.csv line 8: the images differ in size: 0.png 16x16, 7.png 16x12."),
], ids=["reversed", "votes that do not add up", "a reference missing", "a contradiction",
        "fewer than ten", "NaN", "sizes that differ"])
def test_bad_input(spoil, message, run, study, tmp_path):
  spoil(study)
  options = () if spoil is _votes else (COLUMNS, "--direction=higher_is_better")
  status, out, err = run(f"--source={study}", "--name=mine", f"--data_dir={tmp_path / 'data'}",
                         *options)
  assert (status, out) == (1, "")
  assert err[-1].startswith(f"error: {message}"), err[-1]
  assert not (tmp_path / "data").exists()
