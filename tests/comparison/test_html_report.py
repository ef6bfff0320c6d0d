"""The page: everything in it is in it, nothing runs that a file's name says, and it sorts."""

import base64
import html.parser
import io
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import scipy.stats
from PIL import Image

from perceptual.common.html import node, page
from perceptual.comparison import heatmaps, pairing, plots, report

_EVIL = "<img src=x onerror=alert(1)>\"'&amp;.png"
_VOID = {"meta", "img", "br", "hr", "input", "link"}
# Quiet and offline; --no-sandbox because tests may run as root.
_CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--dump-dom")


class _Page(html.parser.HTMLParser):
  """Reads a page: its elements with their texts, which must nest properly."""

  def __init__(self, text):
    super().__init__()
    self._open, self.elements = [], []
    self.feed(text)
    assert not self._open

  def handle_starttag(self, tag, attrs):
    element = {"tag": tag, "text": "", **dict(attrs)}
    self.elements.append(element)
    if tag not in _VOID:
      self._open.append(element)

  def handle_endtag(self, tag):
    assert self._open.pop()["tag"] == tag

  def handle_data(self, data):
    for element in self._open:
      element["text"] += data

  def all(self, tag):
    return [element for element in self.elements if element["tag"] == tag]


def _tables(text):
  return re.findall(r"<table.*?</table>", text, re.DOTALL)


@pytest.fixture
def write(tmp_path, compare):
  """Writes a report and returns its text."""

  def write_report(found, *metrics):
    result = compare(found, *metrics)
    maps = heatmaps.Maps(result, {metric.name: metric for metric in metrics})
    report.write(result, maps, tmp_path / "out", settings={"note": "</pre><script>alert(2)"},
                 command="perceptual compare 'r <' c")
    return (tmp_path / "out" / report.FILE).read_text("utf-8")

  return write_report


@pytest.fixture
def folders(tmp_path, write_grey):
  """Differences of 0.2, 0.4 and 0, one of a file with a hostile name; and one file alone."""
  write_grey(tmp_path / "r", {"a.png": 0, _EVIL: 0, "c.png": 102, "<b>alone.png": 0})
  write_grey(tmp_path / "c", {"a.png": 51, _EVIL: 102, "c.png": 102})
  return pairing.folders(tmp_path / "r", tmp_path / "c")


def test_everything_is_on_the_page(folders, write, difference, likeness):
  text = write(folders, difference("<d>"), likeness("l"))
  read = _Page(text)
  assert [element["text"] for element in read.all("h2")] == [
      "Summary", "Distribution", "Pairs", "Skipped", "How these numbers were made"]
  assert "3 pairs compared, 1 entries skipped." in read.all("main")[0]["text"]
  summary, ranks, pairs, skipped = ([cell["text"] for cell in _Page(table).all("td")]
                             for table in _tables(text))
  assert summary[:3] == ["<d>", "0.2000", "0.1155"] and summary[8] == "lower is better"
  assert pairs[0] == "1" and pairs[1].startswith(str(folders.files[1].parent))
  assert pairs[5:7] == ["0.4000", "2.5000"] and pairs[-2:] == ["0.0000", "inf"]
  assert "a distance and a similarity that agree have -1" in read.all("main")[0]["text"]
  made = read.all("main")[0]["text"].partition("How these numbers were made")[2]
  assert made.startswith("By perceptual ") and ". The command:perceptual compare" in made
  assert ranks == ["<d>", "1.00", "-1.00", "l", "-1.00", "1.00"]
  assert skipped[2] == "no candidate of this name"
  assert read.all("pre")[0]["text"] == "perceptual compare 'r <' c"
  about = json.loads(read.all("pre")[1]["text"])
  assert about["fingerprints"]["<d>"]["name"] == "<d>"
  assert about["settings"] == {"note": "</pre><script>alert(2)"}
  assert len(read.all("svg")) == 3


def test_names_of_files_do_nothing(folders, write, difference):
  text = write(folders, difference("<d>"))
  read = _Page(text)
  assert len(read.all("script")) == 1 and len(read.all("b")) == 0
  assert not any(name.startswith("on") for element in read.elements for name in element)
  assert any(_EVIL in image["alt"] for image in read.all("img"))
  assert any(_EVIL in cell["text"] for cell in read.all("td"))


def test_the_page_needs_nothing_else(folders, write, difference):
  text = write(folders, difference())
  read = _Page(text)
  assert not {"link", "iframe", "object", "base"} & {element["tag"] for element in read.elements}
  for element in read.elements:
    assert not set(element) & {"href", "srcset", "data", "action"}
    assert element.get("src", "data:").startswith("data:")
  assert "url(" not in text and "@import" not in text
  policy, = (meta["content"] for meta in read.all("meta") if "http-equiv" in meta)
  assert policy.startswith("default-src 'none'; img-src data:;")


def test_a_screen_reader_finds_its_way(folders, write, difference):
  read = _Page(write(folders, difference()))
  assert read.all("html")[0]["lang"] == "en" and read.all("title")[0]["text"]
  assert all(image["alt"] for image in read.all("img") if "src" in image)
  assert all(svg["role"] == "img" and svg["aria-label"] for svg in read.all("svg"))
  assert all(heading["scope"] == "col" for heading in read.all("th"))


def test_thumbnails_are_small_and_of_the_right_images(tmp_path, write_grey, write, difference):
  write_grey(tmp_path / "r", {"a.png": 10}, size=(300, 600))
  write_grey(tmp_path / "c", {"a.png": 200}, size=(300, 600))
  read = _Page(write(pairing.folders(tmp_path / "r", tmp_path / "c"), difference()))
  images = [Image.open(io.BytesIO(base64.b64decode(image["src"].partition(",")[2])))
            for image in read.all("img") if "src" in image]
  assert [image.size for image in images] == [(512, 256)] * 2 + [(256, 128)]
  assert [image.getpixel((9, 9)) for image in images[:2]] == [(10, 10, 10), (200, 200, 200)]


def test_the_page_is_bounded(tmp_path, write_grey, write, difference, monkeypatch):
  monkeypatch.setattr(report, "SHOWN", 2)
  monkeypatch.setattr(report, "_SKIPPED_SHOWN", 3)
  write_grey(tmp_path / "r", {f"{i}.png": 0 for i in range(9)} | {f"x{i}.png": 0 for i in range(5)})
  write_grey(tmp_path / "c", {f"{i}.png": 20 * i for i in range(9)})
  text = write(pairing.folders(tmp_path / "r", tmp_path / "c"), difference())
  assert "The 2 pairs farthest apart and the 2 closest, of 9, by difference" in text
  assert "The first 3 of 5 entries; skipped.csv has them all." in text
  names = [image["alt"][-5:] for image in _Page(text).all("img")][1::3]
  assert names == ["8.png", "7.png", "1.png", "0.png"]


def test_a_metric_without_a_map_has_no_heat_maps(folders, write, likeness):
  read = _Page(write(folders, likeness()))
  assert not any("heat map" in heading["text"] for heading in read.all("th"))
  assert len([image for image in read.all("img") if "src" in image]) == 6


def test_clips_are_on_the_page(tmp_path, write_grey, write, difference):
  write_grey(tmp_path / "r", {"x/1.png": 0, "y/1.png": 0})
  write_grey(tmp_path / "c", {"x/1.png": 51, "y/1.png": 102})
  text = write(pairing.frames(tmp_path / "r", tmp_path / "c"), difference())
  clips = _Page(_tables(text)[1])
  assert [cell["text"] for cell in clips.all("td")] == ["x", "0.2000", "y", "0.4000"]


def test_a_histogram_counts_every_value():
  values = np.random.default_rng(0).normal(size=1000)
  drawn = plots.histogram("d", values)
  bars = list(drawn.iter("rect"))
  counts = [int(re.search(r": ([\d,]+) pairs?$", bar[0].text)[1].replace(",", "")) for bar in bars]
  heights = np.array([float(bar.get("height")) for bar in bars])
  assert sum(counts) == 1000
  np.testing.assert_allclose(heights / heights.max(), np.array(counts) / max(counts), atol=0.01)
  assert [tick.text for tick in drawn.iter("text")][:3] == ["-2", "0", "2"]
  same = plots.histogram("d", np.full(7, 0.25))
  assert [bar[0].text for bar in same.iter("rect")] == ["0.2500 to 0.2833: 7 pairs"]
  one = plots.histogram("d", np.array([0.25]))
  assert [bar[0].text for bar in one.iter("rect")] == ["0.2500 to 0.2833: 1 pair"]
  assert "over 1 pair:" in one.get("aria-label")


def test_rank_correlation_is_spearmans():
  rng = np.random.default_rng(0)
  one, other = rng.integers(0, 9, (2, 50))  # with ties
  expected = scipy.stats.spearmanr(one, other).statistic
  assert plots.rank_correlation(one, other) == f"{expected:.2f}"
  assert plots.rank_correlation(one, -(one**3)) == "-1.00"
  assert plots.rank_correlation(one, np.ones(50)) == "undefined"


def test_a_scatter_plot_has_a_dot_a_pair_up_to_a_bound():
  values = np.arange(5.0)
  dots = list(plots.scatter("a", values, "b", values ** 2).iter("circle"))
  across, up = np.array([[float(dot.get(side)) for dot in dots] for side in ("cx", "cy")])
  np.testing.assert_allclose(np.diff(across), np.diff(across)[0], atol=0.11)
  np.testing.assert_allclose(np.diff(up) / np.diff(up)[0], [1, 3, 5, 7], atol=0.1)
  many = plots.scatter("a", np.arange(9999.0), "b", np.arange(9999.0))
  assert len(list(many.iter("circle"))) == 2000
  assert "2,000 of them shown" in many.get("aria-label")


def test_text_and_attributes_are_escaped():
  text = page([], [node("p", "a < b", node("i", "&"), "\"c\"", title="<\">&", class_="x", no=None)])
  assert '<p title="<&quot;&gt;&amp;" class="x">a &lt; b<i>&amp;</i>"c"</p>' in text


@pytest.fixture
def chromium(tmp_path):
  """Loads a page in a real browser and returns its elements once its scripts have run."""
  program = shutil.which("chromium") or shutil.which("chromium-browser")
  if not program:
    pytest.skip("chromium is not on PATH (Debian: apt-get install chromium)")

  def load(path):
    process = subprocess.run([program, *_CHROMIUM, f"--user-data-dir={tmp_path / 'profile'}", path],
                             capture_output=True, text=True, check=True)
    return process.stdout

  return load


def test_a_browser_sorts_the_pairs_flips_pictures_and_runs_nothing_else(
    folders, write, difference, likeness, chromium, tmp_path):
  """A script added to a copy of the page clicks its headings and writes down what it sees."""
  text = write(folders, difference("d"), likeness("l"))
  probe = """<script>
    const found = [], headings = document.querySelectorAll("#pairs th");
    const column = i => [...document.querySelectorAll("#pairs tbody tr")]
        .map(row => row.cells[i].textContent);
    for (const heading of [6, 6, 5, 0, 1]) {
      headings[heading].querySelector("button").click();
      found.push([headings[heading].ariaSort, column(heading)]);
    }
    const broken = [...document.querySelectorAll("td img")]
        .filter(image => image.complete && !image.naturalWidth);
    const dialog = document.querySelector("dialog"), seen = [];
    document.querySelectorAll("#pairs tbody tr")[0].querySelectorAll("img")[1].click();
    for (const step of [0, 1, 2]) {
      seen.push([dialog.open, dialog.querySelector("p").textContent.split(" ")[0]]);
      dialog.querySelector("img").click();
    }
    document.body.dataset.found = JSON.stringify([found, broken.length, seen]);
  </script></body>"""
  path = tmp_path / "probe.html"
  path.write_text(text.replace("</body>", probe), "utf-8")
  found, broken, seen = json.loads(_Page(chromium(path.as_uri())).all("body")[0]["data-found"])
  assert broken == 0
  assert seen == [[True, "candidate"], [True, "reference"], [True, "candidate"]]
  assert found[0] == ["ascending", ["2.5000", "5.0000", "inf"]]
  assert found[1] == ["descending", ["inf", "5.0000", "2.5000"]]
  assert found[2] == ["ascending", ["0.0000", "0.2000", "0.4000"]]
  assert found[3] == ["ascending", ["1", "2", "3"]]
  assert found[4][1] == sorted(found[4][1], key=str.lower)
