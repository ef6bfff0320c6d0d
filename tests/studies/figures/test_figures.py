"""Every figure is drawn from a synthetic table, and its CSV holds what the table says."""

import csv

import numpy as np
import pytest

from perceptual import errors
from perceptual.studies import report
from perceptual.studies.analyses import table as tables
from perceptual.studies.figures import data, drawn, published, registry, style
from tests.studies import synthetic


def _table(lines):
  head, *cells = lines
  return tables.of_rows([dict(zip(head, line)) for line in cells])


def _read(path):
  with path.open(newline="", encoding="utf-8") as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def study(tmp_path_factory):
  """The data of 722 synthetic runs, read from the files that `collect` would write."""
  folder = tmp_path_factory.mktemp("study")
  with (folder / "collected.csv").open("w", newline="", encoding="utf-8") as file:
    csv.writer(file).writerows(synthetic.collected())
  tables.write_csv(folder / "analyses.csv", synthetic.analyses())
  return data.read(folder / "collected.csv")


@pytest.fixture(scope="module")
def few():
  """The data of two networks out of the box, judged by construction."""
  runs = [run for run in synthetic.runs() if not run["bindings"]
          and run["network"] in ("resnet6", "resnet18")]
  return data.StudyData(_table(synthetic.collected(runs, judged_set="graded/cross")))


def test_the_synthetic_study_is_as_large_as_the_paper():
  names = [run["run"] for run in synthetic.runs()]
  assert len(names) == len(set(names)) == 722
  assert len(registry.FIGURES) == 18  # the paper's 16 figures and Table 1, and one of our own


@pytest.mark.parametrize("name", registry.FIGURES)
def test_a_figure_is_drawn(name, study, tmp_path):
  outcome = registry.draw(name, study, tmp_path, formats=("png",), dpi=30)
  assert [path.name for path in outcome.files] == [
      f"{name}.{'tex' if name == 'gains' else 'png'}", f"{name}.csv"]
  assert all(path.stat().st_size for path in outcome.files)
  rows = _read(tmp_path / f"{name}.csv")
  assert len(rows) == len(outcome.rows) > 0
  assert "nan" not in (tmp_path / f"{name}.csv").read_text()


def test_points_out_of_the_box_are_means_over_seeds_beside_published_ones(study, tmp_path):
  registry.draw("out_of_the_box", study, tmp_path, formats=())
  rows = _read(tmp_path / "out_of_the_box.csv")
  final = study.scores.where(network="resnet18", step=112590, tap="sum", distance="local",
                             subset="mean")
  chosen = final.where(varied="")
  row, = (row for row in rows if (row["network"], row["source"]) == ("resnet18", "measured"))
  assert float(row["score"]) == pytest.approx(chosen["score"].mean(), rel=1e-5)
  assert float(row["score_se"]) == pytest.approx(
      chosen["score"].std(ddof=1) / np.sqrt(5), rel=1e-4)
  assert row["seeds"] == "5"
  stated, = (row for row in rows if (row["network"], row["source"]) == ("resnet18", "published"))
  assert (stated["accuracy"], stated["score"]) == ("52", "68.5")


def test_a_sweep_draws_each_value_its_default_and_what_is_published(study, tmp_path):
  registry.draw("width_and_depth", study, tmp_path, formats=())
  rows = [row for row in _read(tmp_path / "width_and_depth.csv")
          if (row["network"], row["parameter"]) == ("resnet6", "width")]
  assert [row["value"] for row in rows] == ["0.0625", "0.125", "0.25", "0.5", "0.75", "1", "0.25"]
  assert (rows[-1]["source"], rows[-1]["score"]) == ("published", "69.5")


def test_spatial_frequencies_are_means_over_runs(study, tmp_path):
  registry.draw("spatial_frequency", study, tmp_path, formats=())
  row = next(row for row in _read(tmp_path / "spatial_frequency.csv")
             if (row["panel"], row["network"], row["side"]) == ("a", "resnet2", "1"))
  low_pass = study.analyses.where(analysis="low_pass", network="resnet2", side=1)
  assert float(row["normalised"]) == pytest.approx(low_pass["normalised"].mean(), rel=1e-4)


def test_table_1_is_written_as_latex(study, tmp_path):
  registry.draw("gains", study, tmp_path)
  text = (tmp_path / "gains.tex").read_text()
  assert text.count(r"\\") == 6 and "[$+1.9$]" in text and "ViT-L/4" in text


def test_published_scores_stand_beside_bapps_alone(few, tmp_path):
  assert not few.comparable and few.score_label == "2AFC on graded/cross, %"
  for name in ("out_of_the_box", "functions", "subsets"):
    registry.draw(name, few, tmp_path, formats=())
    assert {row["source"] for row in _read(tmp_path / f"{name}.csv")} == {"measured"}


def test_figures_without_data_say_what_they_lack_and_others_go_on(few, tmp_path):
  lines = []
  outcomes = {outcome.name: outcome for outcome in registry.draw_all(
      few, tmp_path, formats=(), report=lines.append)}
  assert len(lines) == len(registry.FIGURES)
  assert outcomes["out_of_the_box"].files and outcomes["training"].files
  assert "runs out of the box of ResNet-200" in outcomes["out_of_the_box"].lacks
  (line,) = [line for line in lines if line.startswith("out_of_the_box: ")]
  assert line.count("runs out of the box of") == 3 and line.endswith("; and so on, see lacks.csv")
  assert {(row["figure"], row["lacks"]) for row in _read(tmp_path / "lacks.csv")} == {
      (name, lacks) for name, outcome in outcomes.items() for lacks in outcome.lacks}
  assert not outcomes["train_steps"].files
  assert "sweeps of training epochs" in outcomes["train_steps"].lacks[0]
  assert "perceptual study analyze --analysis=entropy" in outcomes["entropy"].lacks[0]
  assert "of bapps/2afc alone" in outcomes["dynamic_range"].lacks[0]
  with pytest.raises(data.MissingData, match="Figure gains lacks its runs"):
    registry.draw("gains", few, tmp_path)
  with pytest.raises(errors.UserError, match="Unknown figure 'pie'"):
    registry.draw("pie", few, tmp_path)


def test_equal_tables_give_equal_files(few, tmp_path):
  for folder in ("a", "b"):
    registry.draw("out_of_the_box", few, tmp_path / folder, formats=("pdf", "svg"))
  for extension in ("pdf", "svg", "csv"):
    first, second = ((tmp_path / folder / f"out_of_the_box.{extension}").read_bytes()
                     for folder in ("a", "b"))
    assert first == second


def test_a_study_of_one_run_is_drawn(tmp_path):
  one = data.StudyData(_table(synthetic.collected(synthetic.runs()[:1])))
  outcomes = registry.draw_all(one, tmp_path, names=("out_of_the_box", "training", "all_runs",
                                                     "dynamic_range"), formats=("png",), dpi=30)
  assert all(outcome.files for outcome in outcomes)
  assert outcomes[0].rows[0]["score_se"] is None


def test_analyses_of_runs_are_gathered(tmp_path):
  for run in ("first", "second"):
    tables.write_csv(tmp_path / "runs" / run / "analyses" / "entropy.csv", [
        {"analysis": "entropy", "run": "elsewhere", "tap": "mean", "entropy": 0.5, "low": None}])
  assert data.gather(tmp_path) == 2
  rows = _read(tmp_path / "analyses.csv")
  assert [row["run"] for row in rows] == ["first", "second"]
  assert rows[0] == {"analysis": "entropy", "run": "first", "tap": "mean", "entropy": "0.5",
                     "low": ""}


def test_the_report_is_one_page_with_figures_tables_and_what_is_missing(few, tmp_path):
  path = report.write(few, tmp_path, title="A <small> study")
  text = path.read_text("utf-8")
  assert "A &lt;small&gt; study" in text and "No people judged graded/cross: " in text
  assert text.count("<img src=") == sum(1 for p in tmp_path.glob("*.png"))
  assert "http" not in text.replace("http-equiv", "") and "What is missing" in text
  assert (tmp_path / "table_optimum.csv").exists() and "<td>resnet6</td>" in text


@pytest.mark.parametrize(("network", "shown", "family"), [
    ("resnet200", "ResNet-200", "resnet"), ("efficientnet_b5", "EffNet-B5", "efficientnet"),
    ("vit_l4", "ViT-L/4", "vit"), ("vgg16_bn", "vgg16_bn", "vgg")])
def test_networks_have_names_and_families(network, shown, family):
  assert (style.network_name(network), style.family(network)) == (shown, family)


def test_networks_are_sorted_by_family_and_size():
  names = ["vit_b8", "resnet200", "vgg16", "efficientnet_b0", "resnet18", "resnet6"]
  assert sorted(names, key=style.order) == [
      "resnet6", "resnet18", "resnet200", "efficientnet_b0", "vit_b8", "vgg16"]


def test_what_is_published_is_the_papers_table():
  best = {network: max(published.best_score(network, parameter) for parameter in of_network)
          for network, of_network in published.GAINS.items()}
  # ViT-B/8: 67.6 + 1.3 by weight decay.
  assert best == {"resnet6": 69.6, "resnet50": 69.7, "resnet200": 69.5, "vit_b8": 68.9,
                  "vit_l4": 68.4}


def test_featured_networks_are_spread_over_accuracies(study):
  chosen = drawn.featured(study.out_of_the_box(), limit=3)
  assert [c.network for c in chosen] == ["resnet2", "resnet10", "efficientnet_b5"]
