"""The table of metrics: every row is true, and every option is what its builder takes."""

import inspect

import pytest

import perceptual
from perceptual.common import folders
from perceptual.errors import UserError
from perceptual.metrics import bundled, classical, fixed_features, networks, options, registry
from perceptual.metrics.bundled import package
from perceptual.metrics.lpips import lpips
from perceptual.models import costs
from perceptual.models import taps as feature_taps
from perceptual.weights import catalogue, store

_ROWS = {row.name: row for row in perceptual.list_metrics()}
_BUILDERS = {
    "perceptual": bundled.metric, "kmeans-alexnet": fixed_features.kmeans,
    "gaussian-NETWORK": fixed_features.gaussian, **classical.METRICS,
    **{name: lpips for name in _ROWS if name.startswith("lpips-")}}


def test_every_metric_has_one_row():
  assert list(_ROWS) == list(dict.fromkeys(row.name for row in perceptual.list_metrics()))
  assert {"perceptual", "lpips-alex", "lpips-vgg", "lpips-squeeze", *classical.METRICS,
          "kmeans-alexnet", "gaussian-NETWORK"} <= _ROWS.keys()
  of_weights = {entry.network for entry in map(catalogue.get, catalogue.names())
                if entry.role == "trunk"}
  assert {name for name, row in _ROWS.items() if row.kind == "network"} == of_weights
  assert all("\n" not in row.summary and row.summary and row.values for row in _ROWS.values())


@pytest.mark.parametrize("name", _BUILDERS)
def test_the_options_are_those_of_the_builder(name):
  elsewhere = {"float_range", "folder", "network", "net"}
  taken = set(inspect.signature(_BUILDERS[name]).parameters) - elsewhere
  assert set(_ROWS[name].options) == taken


@pytest.mark.parametrize("name", _BUILDERS)
def test_the_defaults_are_those_of_the_builder(name):
  parameters = inspect.signature(_BUILDERS[name]).parameters
  for option, kind in _ROWS[name].options.items():
    default = parameters[option].default
    if default is None:
      assert kind.default not in ("", "none")
    else:
      assert kind.read(kind.default) == default


@pytest.mark.parametrize("name", [
    "perceptual", *classical.METRICS])
def test_a_row_says_what_the_metric_is(name):
  row, metric = _ROWS[name], perceptual.load_metric(name)
  assert row.lower_is_better == metric.lower_is_better
  assert row.smallest_side == metric.smallest_side
  assert not row.needs_weights and row.weights_available


def test_the_bundled_metric_asks_for_as_many_pixels_as_its_row_says():
  assert _ROWS["perceptual"].smallest_side == package.SMALLEST_SIDE


@pytest.mark.parametrize("name", [
    name for name, row in _ROWS.items() if row.needs_weights])
def test_the_least_sides_are_those_of_the_networks(name):
  row = _ROWS[name]
  trunk = catalogue.LPIPS_TRUNKS.get(name.removeprefix("lpips-"))
  with costs.unallocated():
    model = catalogue.get(row.weights[0]).build()
    selected = feature_taps.select_taps(model, trunk and trunk.channels)
    assert networks.smallest_side(selected) == row.smallest_side


def test_weights_are_looked_for_where_they_are_kept(tmp_path, monkeypatch):
  monkeypatch.setenv(folders.WEIGHTS_VARIABLE, str(tmp_path))
  row = registry.find("lpips-squeeze")
  assert row.needs_weights and not row.weights_available
  for name in row.weights:
    assert name in catalogue.names()
    for path in store.paths(name):
      path.touch()
  assert row.weights_available


def test_an_alias_is_the_same_metric():
  metric = perceptual.load_metric("l2")
  assert metric.name == metric.fingerprint["name"] == "mse"
  assert registry.find("l2") is registry.find("mse")


# Options as text.


@pytest.mark.parametrize(("source", "expected"), [
    ("psnr", ("psnr", {})), ("psnr:", ("psnr", {})),
    ("psnr:channels=luma,crop=4", ("psnr", {"channels": "luma", "crop": "4"})),
    ("vgg16:taps=a,b,distance=x+y", ("vgg16", {"taps": "a,b", "distance": "x+y"})),
    ("ssim:float_range=-1,1", ("ssim", {"float_range": "-1,1"})),
    ("https://x/y:z", ("https://x/y:z", {}))])
def test_options_follow_a_colon(source, expected):
  assert options.split(source) == expected
  assert options.split(options.joined(*expected)) == expected


@pytest.mark.parametrize("source", ["psnr:luma", "psnr:=4", "psnr:crop=", "psnr:crop=1,crop=1"])
def test_what_is_no_option_is_refused(source):
  with pytest.raises(UserError, match=source):
    options.split(source)


def test_text_becomes_values_of_the_kind():
  kinds = {"a": options.INTEGER, "b": options.BOOL, "c": options.NAMES, "d": options.TEXT,
           "e": options.ARRAY}
  assert options.read("x", {"a": "4", "b": "True", "c": "u, v", "d": "1"}, kinds) == {
      "a": 4, "b": True, "c": ["u", "v"], "d": "1"}
  for texts, message in (({"a": "4.5"}, "a must be a whole number, not '4.5'"),
                         ({"b": "1"}, "b must be true or false, not '1'"),
                         ({"e": "x"}, "e of x is an array, which text cannot say"),
                         ({"f": "x"}, "Unknown option of x 'f'. Available: a, b, c, d, e")):
    with pytest.raises(UserError, match=message):
      options.read("x", texts, kinds)


def test_options_as_text_make_what_values_make():
  text = perceptual.load_metric("perceptual:taps=reduction_1,reduction_3,distance=style")
  values = perceptual.load_metric(taps=["reduction_1", "reduction_3"], distance="style")
  assert text.fingerprint == values.fingerprint and text.source == values.source
  assert text.taps == ("reduction_1", "reduction_3")
