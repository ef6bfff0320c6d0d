"""Judged sets of any size, from files to leaderboard, with the scores of `perceptual.scores`."""

import csv
import dataclasses
import json
import re

import numpy as np
import pytest
from PIL import Image

import perceptual
from perceptual import loading, scores
from perceptual.commands import cli
from perceptual.data.images.view import View
from perceptual.data.judged import prepare_judged, prepared
from perceptual.evaluation import answers, distance_files, leaderboard
from tests.evaluation import boards

_METRICS = ("mse", "psnr", "ssim")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """Opinions of three references in two sizes, each in five ever noisier versions; and triplets."""
  source, data = (tmp_path_factory.mktemp(name) for name in ("source", "data"))
  rng = np.random.default_rng(0)
  opinions, triplets = ["reference,distorted,score"], ["reference,a,b,p"]
  for name, shape in (("x", (24, 32, 3)), ("y", (24, 32, 3)), ("z", (32, 24, 3))):
    clean = rng.uniform(60, 200, shape)
    for level in range(6):
      pixels = np.clip(clean + 8 * level * rng.normal(size=shape), 0, 255).astype(np.uint8)
      Image.fromarray(pixels).save(source / f"{name}{level}.png")
      if level:
        opinions.append(f"{name}0.png,{name}{level}.png,{5 - level + rng.normal() / 4:.3f}")
    triplets += [f"{name}0.png,{name}{a}.png,{name}{b}.png,{0.1 if a < b else 0.9}"
                 for a, b in ((1, 3), (4, 2), (2, 5), (5, 1))]
    triplets.append(f"{name}0.png,{name}1.png,{name}4.png,0.8")  # on which no metric agrees
  (source / "opinions.csv").write_text("\n".join(opinions))
  (source / "triplets.csv").write_text("\n".join(triplets))
  for name, options in (("opinions", {"direction": "higher_is_better"}), ("triplets", {})):
    prepare_judged.prepare(source, data, name=name, table=f"{name}.csv", **options)
  return data


def _evaluate(data_dir, output_dir, name, *more):
  with pytest.raises(SystemExit) as stopped:
    cli.main(["evaluate", *(f"--metric={metric}" for metric in _METRICS),
              f"--dataset=judged/{name}", f"--data_dir={data_dir}", f"--output_dir={output_dir}",
              "--noreport", *more])
  return stopped.value.code


def _distances(judged, metric):
  sign = 1 if metric.lower_is_better else -1
  return sign * np.array([[float(np.asarray(metric(
      judged.image(reference)[None], judged.image(candidate)[None]))[0])
      for candidate in candidates] for reference, *candidates in judged.examples])


@pytest.mark.parametrize("name", ["opinions", "triplets"])
def test_from_files_to_leaderboard(name, data_dir, tmp_path, capsys):
  assert not _evaluate(data_dir, tmp_path, name)
  out = capsys.readouterr().out
  assert all(metric in out for metric in _METRICS) and "bootstrap of references" in out
  judged = prepared.load_judged(name, data_dir)
  written = json.loads((tmp_path / "scores.json").read_text("utf-8"))
  with (tmp_path / "distances.csv").open(newline="") as stream:
    rows = list(csv.DictReader(stream))
  for label in _METRICS:
    expected = _distances(judged, perceptual.load_metric(label))
    found = np.array([float(row[label]) for row in rows]).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if name == "triplets":
      score, value = "two_afc", scores.two_afc_score(*found.T, judged.answers)
    else:
      score, value = "srcc", scores.srcc(found[:, 0], judged.answers, higher_is_better=True)
    shown = written["scores"][score][label]
    assert shown["value"] == pytest.approx(value)
    assert shown["low"] <= shown["value"] <= shown["high"] and shown["references"] == 3
  assert len(written["differences"]) == 3
  assert {row["answer"] for row in rows} == {str(answer) for answer in judged.answers}


def test_the_best_metric_stands_first_and_beats_by_more_than_chance(data_dir):
  judged = answers.of(prepared.load_judged("opinions", data_dir))
  rng = np.random.default_rng(1)
  right = -judged.values[:, None]
  board = leaderboard.score(judged, {"noise": rng.normal(size=right.shape), "right": right})
  assert board.ranking == ("right", "noise") and board.beaten("right") == ["noise"]
  assert board.scores["srcc"]["right"].value == pytest.approx(1)
  lines = leaderboard.text(board).splitlines()
  assert next(line for line in lines if "right" in line).endswith(" 2")
  constant = leaderboard.score(judged, {"constant": np.ones_like(right), "right": right})
  assert constant.ranking == ("right", "constant")
  assert "constant: SRCC, KRCC, PLCC, RMSE, SRCC within" in leaderboard.text(constant)
  assert "undefined: every distance is the same" in leaderboard.text(constant)


@pytest.mark.parametrize(("name", "more", "message"), [
    ("nothing", (), "No judged set 'nothing' in "),
    ("opinions", ("--gin_param=evaluate.resamples = 2",), "Gin settings have no effect"),
    ("triplets", ("--metric=mse",), "The metric mse is given twice."),
    ("triplets", ("--dataset=judged/triplets",), "A --dataset is given twice."),
    ("triplets", ("--dataset=graded",), "Several --dataset are for judged/NAME alone"),
    ("triplets:size=9", (), "Unknown option of judged/triplets:size=9 'size'"),
    ("triplets", ("--crop=25",), "32x24 pixels, too small for a crop of 25."),
    ("triplets", ("--distances=l3",), "Unknown distance 'l3'. Available: local"),
    ("triplets", ("--from_distances=x",), "--metric and --from_distances exclude each other."),
])
def test_mistakes_are_one_line_and_nothing_is_written(
    name, more, message, data_dir, tmp_path, capsys):
  assert _evaluate(data_dir, tmp_path / "out", name, *more) in (1, 2)
  error, = capsys.readouterr().err.splitlines()
  assert message in error and not (tmp_path / "out").exists()


def test_a_size_of_its_own_for_each_set_and_one_leaderboard(data_dir, tmp_path, capsys):
  """The second set is scored by its own crop, the first by the flag: as views of the files say."""
  assert not _evaluate(data_dir, tmp_path, "triplets", "--dataset=judged/opinions:crop=16",
                       "--image_size=20")
  out = capsys.readouterr().out
  assert "triplets at 20 pixels, 2AFC %  opinions at 20 pixels, cropped to 16, 2AFC %" in out
  judged = prepared.load_judged("opinions", data_dir)
  view = View(image_size=20, crop=16)
  reference, candidate = (view(judged.image(index))[None] for index in judged.examples[0])
  expected = float(np.asarray(perceptual.load_metric("mse")(reference, candidate))[0])
  with (tmp_path / "opinions-image_size20-crop16" / "distances.csv").open(newline="") as stream:
    assert float(next(csv.DictReader(stream))["mse"]) == pytest.approx(expected, rel=1e-5)
  assert json.loads((tmp_path / "leaderboard.json").read_text())["ranking"]


def test_every_distance_and_tap_of_a_network_in_one_pass(data_dir, tmp_path):
  with pytest.raises(SystemExit) as stopped:
    cli.main(["evaluate", "--metric=gaussian-resnet3:distance=local,seed=1",
              "--dataset=judged/triplets", "--by_tap",
              "--distances=local,style", f"--data_dir={data_dir}", f"--output_dir={tmp_path}",
              "--noreport"])
  assert not stopped.value.code
  _, distances, ranked, _ = distance_files.read(tmp_path)
  assert ranked == [
      f"gaussian-resnet3:distance={distance},seed=1" for distance in ("local", "style")]
  assert set(distances) - set(ranked) == {f"{label}/reduction_1" for label in ranked}
  for label in ranked:  # a label is what loads the metric
    expected = _distances(prepared.load_judged("triplets", data_dir), perceptual.load_metric(label))
    np.testing.assert_allclose(distances[label], expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(distances[f"{label}/reduction_1"], expected, rtol=1e-4, atol=1e-7)


def test_a_page_with_its_pictures_and_again_from_distances(data_dir, tmp_path, capsys):
  with pytest.raises(SystemExit):
    cli.main(["evaluate", "--metric=mse", "--metric=psnr", "--dataset=judged/triplets",
              f"--data_dir={data_dir}", f"--output_dir={tmp_path / 'first'}"])
  page = (tmp_path / "first" / "leaderboard.html").read_text("utf-8")
  assert "judged/triplets" in page and "--dataset=judged/triplets" in page
  assert "Each dot is one triplet; of large sets only some are drawn." in page
  assert "found closer by: mse, psnr<" in page and "found closer by: none<" in page
  assert "numbers are in scores.json and distances.csv. The command:</p><pre" in page
  assert page.count("data:image/png;base64,") == 2
  assert page.count("data:image/jpeg;base64,") == 2 * 3 * 3  # by all and by the best: 3 triplets
  assert not re.findall(r"""(?:src|href)=["'](?!data:)""", page)
  for name in ("leaderboard", "agreement"):
    assert Image.open(tmp_path / "first" / f"{name}.png").width == 1400
    assert (tmp_path / "first" / f"{name}.svg").read_text("utf-8").startswith("<?xml")
  with pytest.raises(SystemExit):
    cli.main(["evaluate", f"--from_distances={tmp_path / 'first'}", "--noreport",
              f"--output_dir={tmp_path / 'again'}"])
  for name in ("distances.csv", "scores.csv", "scores.json", "leaderboard.txt"):
    assert (tmp_path / "again" / name).read_text() == (tmp_path / "first" / name).read_text()


def test_a_metric_that_gives_nan_is_named_and_nothing_is_written(data_dir, tmp_path, capsys,
                                                                 monkeypatch):
  broken = loading.load_metric("mse")
  monkeypatch.setattr(
      type(broken), "_values", lambda self, *images: np.full(len(images[0]), np.nan))
  assert _evaluate(data_dir, tmp_path / "out", "triplets") == 1
  assert "error: mse is NaN." in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_earlier_evaluations_make_one_leaderboard(tmp_path, capsys):
  folders = [tmp_path / kind for kind in ("2afc", "jnd")]
  for folder in folders:
    leaderboard.write(boards.board(folder.name, name=folder.name), folder, fingerprints={},
                      settings={})
  asked = [f"--from_distances={folder}" for folder in folders]
  for arguments, status, said in (
      (asked, 0, "2afc, 2AFC %  jnd, JND mAP %"),
      (asked[:1] * 2, 1, "2afc is a second evaluation on judged/2afc: give one of each.")):
    with pytest.raises(SystemExit) as stopped:
      cli.main(["evaluate", *arguments, f"--output_dir={tmp_path / 'all'}", "--noreport"])
    assert (stopped.value.code or 0) == status
    out, err = capsys.readouterr()
    assert said in (err if status else out)
  assert (tmp_path / "all" / "leaderboard.csv").is_file()
  assert (tmp_path / "all" / "jnd" / "distances.csv").is_file()


def _content(folder):
  return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _refused(capsys, folder, code, message):
  error, = capsys.readouterr().err.splitlines()
  assert code == 1 and error.endswith(": choose another --output_dir.")
  assert f"{folder} holds {message}" in error


def test_an_evaluation_never_writes_over_another(data_dir, tmp_path, capsys):
  one, several = tmp_path / "one", tmp_path / "several"
  two_sets = ("triplets", "--dataset=judged/opinions")
  assert not _evaluate(data_dir, one, "triplets")
  assert not _evaluate(data_dir, several, *two_sets)
  before = _content(tmp_path)
  assert not _evaluate(data_dir, one, "triplets")  # the same again
  assert not _evaluate(data_dir, several, *two_sets)
  assert _content(tmp_path) == before
  capsys.readouterr()
  both = "the scores of judged/triplets, judged/opinions by"
  for folder, asked, message in (
      (one, ("opinions",), "the scores of judged/triplets by mse, psnr, ssim"),
      (one, ("triplets", "--crop=16"), "the scores of judged/triplets by mse"),
      (one, ("triplets", "--metric=fsimc"), "the scores of judged/triplets by mse"),
      (one, two_sets, "the scores of judged/triplets alone"),
      (several, ("triplets",), both),
      (several, ("triplets", "--dataset=judged/opinions:crop=16"), both),
      (several, (*two_sets, "--metric=fsimc"), both)):
    for more in ((), ("--dry_run",)) if "--metric=fsimc" not in asked else ((),):
      code = _evaluate(data_dir, folder, *asked, *more)
      _refused(capsys, folder, code, message)
  assert _content(tmp_path) == before


def test_a_killed_evaluation_is_gone_on_with_by_the_same_alone(data_dir, tmp_path, capsys):
  assert not _evaluate(data_dir, tmp_path, "triplets", "--crop=16")
  whole = _content(tmp_path)
  for path in whole:
    if path.name != "journal.jsonl":
      path.unlink()
  capsys.readouterr()
  for asked in (("triplets",), ("opinions", "--crop=16"), ("triplets", "--crop=17")):
    _refused(capsys, tmp_path, _evaluate(data_dir, tmp_path, *asked), "the journal.jsonl of other")
  assert not _evaluate(data_dir, tmp_path, "triplets", "--crop=16")
  assert _content(tmp_path) == whole


def _rescore(capsys, output_dir, *folders):
  with pytest.raises(SystemExit) as stopped:
    cli.main(["evaluate", *(f"--from_distances={folder}" for folder in folders),
              f"--output_dir={output_dir}", "--noreport"])
  return stopped.value.code or 0


def test_scores_computed_again_never_stand_over_others(data_dir, tmp_path, capsys):
  """Of several sets the sub-folders are taken, and called as `evaluate` calls them."""
  one, several = tmp_path / "one", tmp_path / "several"
  assert not _evaluate(data_dir, one, "triplets", "--image_size=20")
  assert not _evaluate(data_dir, several, "triplets", "--dataset=judged/opinions:crop=16")
  again = tmp_path / "again"
  assert _rescore(capsys, again, several) == 0
  assert {path.relative_to(again): data for path, data in _content(again).items()} == {
      path.relative_to(several): data for path, data in _content(several).items()
      if path.name != "journal.jsonl"}
  other = tmp_path / "other"
  leaderboard.write(boards.board("2afc", name="x"), other, fingerprints={}, settings={})
  edited = tmp_path / "edited"
  leaderboard.write(boards.board("2afc", name="x", size=61), edited, fingerprints={}, settings={})
  before = _content(tmp_path)
  for folder in (one, several, again, other):
    assert _rescore(capsys, folder, folder) == 0  # the same again
  assert _content(tmp_path) == before
  capsys.readouterr()
  for folder, sources, message in (
      (one, (other,), "the scores of judged/triplets at 20 pixels by mse, psnr, ssim"),
      (other, (edited,), "the scores of judged/x by random, right, noisy, noisy/tap, of another"),
      (several, (one,), "the scores of judged/triplets, judged/opinions cropped to 16 by"),
      (one, (several,), "the scores of judged/triplets at 20 pixels alone"),
      (other, (several,), "the scores of judged/x alone")):
    _refused(capsys, folder, _rescore(capsys, folder, *sources), message)
  assert _content(tmp_path) == before


def test_all_sources_are_read_and_compared_before_anything_is_written(tmp_path, capsys):
  folders = [tmp_path / kind for kind in ("2afc", "jnd")]
  leaderboard.write(boards.board("2afc", name="a"), folders[0], fingerprints={}, settings={})
  judged = boards.made("jnd", name="b")
  leaderboard.write(leaderboard.score(judged, {"right": boards.right(judged)}), folders[1],
                    fingerprints={}, settings={})
  for message in ("one leaderboard needs the same metrics", "jnd/distances.csv has changed"):
    assert _rescore(capsys, tmp_path / "out", *folders) == 1
    error, = capsys.readouterr().err.splitlines()
    assert message in error and not (tmp_path / "out").exists()
    (folders[1] / "distances.csv").write_text("")


def test_shares_that_are_no_votes_leave_the_agreement_of_raters_out():
  """A share of 0.67 of 30 votes is 20.1 votes: rounded in the table, and no reason to stop."""
  judged = boards.made("2afc", votes=30)
  assert leaderboard.agreement_of_raters(judged) is None
  line, = leaderboard.ceilings(judged)
  assert "people agree with each other in" in line and "two different raters" not in line
  whole = dataclasses.replace(judged, values=np.round(judged.values * 30) / 30)
  assert "two different raters in" in leaderboard.ceilings(whole)[0]
