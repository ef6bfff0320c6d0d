"""Shared fixtures. The environment is set before TensorFlow is imported anywhere."""

import gc
import importlib.util
import os
import pathlib
import re
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# Its client of gs:// would remember sizes for seconds, and so those in the bucket of another test.
os.environ.setdefault("GCS_STAT_CACHE_MAX_AGE", "0")
os.environ.setdefault("GCS_RETRY_CONFIG_MAX_RETRIES", "1")
os.environ["PERCEPTUAL_LOG"] = "plain"  # messages without their times

import pytest

from tests import backend_process

# Its tests, long and many, are handed out to the workers one by one; other files as a whole.
_HANDED_OUT_SINGLY = "test_gin_runs.py"
# What ends the names of tests of `on_another_backend`.
_OTHER_BACKEND = re.compile(r"\[(?:.*-)?(jax|torch)(?:-.*)?\]$")

# What `tools/test.sh` leaves to `--all`: long tests, most with shorter ones beside them, by how
# their names begin or by a parameter. Tests on another backend are slow wherever they are.
_SLOW = (
    "commands/test_addresses.py::test_from_the_data",
    "commands/test_any_classifier.py",
    "commands/test_command_line.py::test_tensorflow_and_its_company",
    "commands/test_evaluation_commands.py::test_a_metric_is_exported_by_its_name",
    "commands/test_evaluation_commands.py::test_an_export_is_replaced_only",
    "commands/test_evaluation_commands.py::test_an_export_is_scored",
    "commands/test_evaluation_commands.py::test_compare_as_a_user",
    "commands/test_learn_command.py",
    "commands/test_models_command.py",
    "commands/test_task_command.py::test_a_network",
    "commands/test_train_command.py::test_a_killed_run",
    "commands/test_train_command.py::test_the_configuration_is_kept",
    "commands/test_train_command.py::test_three_workers",
    "commands/test_train_command.py::test_two_workers",
    "comparison/test_comparing_docs.py",
    "data/judged/test_graded.py::test_l2_on_real_photographs",
    "data/labelled/test_auto_augment.py::test_the_seed_alone",
    "data/labelled/test_imagenet64.py::test_killed_and_run_again",
    "evaluation/test_judged_pass.py::test_embeddings_too_large",
    "evaluation/test_judged_pass.py::test_one_device_strategy_and_xla",
    "evaluation/test_judged_pass.py::test_two_replicas_give_what_one_gives[2afc",
    "evaluation/test_scoring.py::test_an_export_scores",
    "experiments/test_gin_runs.py",
    "export/test_conversions.py",
    "export/test_exported_classical.py::test_value_and_gradient_are_the_eager_ones[ssim",
    "export/test_saved_model.py::test_it_loads_without",
    "export/test_saved_model.py::test_only_the_weights",
    "export/test_saved_model.py::test_other_distances",
    "export/test_saved_model.py::test_the_declared_range",
    "export/test_serving.py",
    "faults/test_crashes.py",
    "metrics/test_contract.py::test_a_pickle_is_read",
    "metrics/test_contract.py::test_copies_and_pickles_are_the_same_metric[export",
    "metrics/test_lpips.py::test_a_graph_of_any_size",
    "metrics/test_lpips.py::test_an_export_holds",
    "models/test_alexnet_vgg_squeezenet.py::test_every_tap",
    "models/test_costs.py::test_tensorflow_counts",
    "models/test_efficientnet_parity.py",
    "models/test_loss_networks_parity.py",
    "models/test_resnet.py::test_parameter_counts[101",
    "models/test_resnet.py::test_parameter_counts[152",
    "models/test_resnet.py::test_parameter_counts[200",
    "models/test_resnet_parity.py",
    "models/test_vit_parity.py",
    "studies/figures/test_figures.py::test_the_report",
    "studies/losses/test_loss_study.py",
    "studies/test_execution.py::test_a_study_killed_again",
    "tasks/test_autoencoding.py::test_probes",
    "tasks/test_run.py",
    "test_docs.py",
    "test_loading.py::test_an_export_is_found",
    "test_loading.py::test_an_export_keeps",
    "test_losses.py::test_a_compiled_model",
    "test_losses.py::test_an_export_is_a_loss",
    "test_packaging.py",
    "test_serialization.py::test_the_import",
    "training/test_averaging.py::test_a_run_evaluates",
    "training/test_averaging.py::test_averaging_may_end",
    "training/test_learning.py::test_a_resumed_run_ends_as_the_uninterrupted_one[scratch",
    "training/test_learning.py::test_two_replicas",
    "training/test_loop.py::test_a_run_on_two_replicas",
    "training/test_loop.py::test_steps_per_loop",
    "training/test_loop.py::test_two_replicas",
    "training/test_resuming.py::test_a_resumed_run_ends_as_the_uninterrupted_one[11",
    "training/test_resuming.py::test_a_resumed_run_ends_as_the_uninterrupted_one[6",
    "training/test_resuming.py::test_a_run_that_is_asked_to_stop_saves_and_ends_as_the_uninterrupted_one[11",
    "training/test_resuming.py::test_lines_of_metrics_that_are_lost_or_changed_are_put_right[4",
    "weights/test_torchvision_modules.py",
)
_SLOW_PARAMETERS = (
    "densenet121", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "googlenet", "inception_v3", "resnet101", "resnet152", "resnet200",
    "torchvision_efficientnet_b0", "torchvision_efficientnet_b7", "vit_l4", "vit_l8")
_TESTS = pathlib.Path(__file__).parent

gc.set_threshold(50_000, 20, 50)  # graphs are many small objects, searched over and over before


def _is_slow(item):
  parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
  parameters = [value for value in parameters if isinstance(value, str)]  # arrays have no ==
  name = f"{item.path.relative_to(_TESTS).as_posix()}::{item.name}"
  return bool(name.startswith(_SLOW) or _backend(item)
          or any(slow in parameters for slow in _SLOW_PARAMETERS))


def pytest_collection_modifyitems(items):
  """Marks slow tests, and puts last what is handed out singly, so that the workers end together."""
  for item in items:
    if _is_slow(item):
      item.add_marker(pytest.mark.slow)
  items.sort(key=lambda item: item.path.name == _HANDED_OUT_SINGLY)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """Gives a file's tests to one worker, and to one those of another backend, which share a process.

  xdist 3.8 writes the groups of `xdist_group` where pytest 9.2 no longer looks: they do nothing.
  """
  from xdist.scheduler import LoadScopeScheduling

  class Scheduler(LoadScopeScheduling):

    def _split_scope(self, nodeid):
      file, _, test = nodeid.partition("::")
      backend = _OTHER_BACKEND.search(test)
      if backend:
        return backend[1]
      return nodeid if file.endswith(_HANDED_OUT_SINGLY) else file

  return Scheduler(config, log)


def _backend(item):
  """Returns the backend that a test is tried on in another process; None for other tests."""
  return item.callspec.params.get("on_another_backend") if hasattr(item, "callspec") else None


@pytest.fixture(autouse=True, scope="module")
def _garbage_goes_with_its_file():
  """Frees the graphs of a file's tests, and exempts what stays from being searched ever again.

  What TensorFlow and Keras keep are millions of objects: Python would search them all, many times.
  """
  yield
  gc.collect()
  gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def _determinism_ends_with_its_file():
  """Commands ask TensorFlow for deterministic kernels, with which XLA compiles no max-pool."""
  yield
  framework = sys.modules.get("tensorflow.python.framework.config")
  if framework:
    framework.disable_op_determinism()  # nothing public takes it back


@pytest.fixture(scope="session")
def testdata():
  """The folder of published reference data and photographs; skips, saying so, without it."""
  folder = os.environ.get("PERCEPTUAL_TESTDATA")
  if not folder:
    pytest.skip("PERCEPTUAL_TESTDATA is not set: reference data are not in the repository")
  return pathlib.Path(folder)


@pytest.fixture
def bucket(tmp_path, monkeypatch):
  """TensorFlow's gs://bucket, kept on this machine: its `local_bucket.Objects`."""
  from tools import local_bucket

  with local_bucket.serving(tmp_path / "objects") as (objects, environment):
    for name, value in environment.items():
      monkeypatch.setenv(name, value)
    yield objects


@pytest.fixture(scope="session", params=["jax", "torch"])
def on_another_backend(request):
  """(code, *arguments) -> what the code prints that a process of another backend runs.

  A test that asks for this runs once for each backend; it skips, saying so, where that is missing.
  """
  if importlib.util.find_spec(request.param) is None:
    pytest.skip(f"{request.param} is not installed: its backend of Keras is not tried")
  process = backend_process.BackendProcess(request.param)
  yield process.run
  process.close()


@pytest.fixture(scope="session", autouse=True)
def four_cpus():
  """Four logical CPU devices, for tests of several replicas without a GPU.

  TensorFlow takes their number before its first operation alone, so every session has four.
  """
  import tensorflow as tf

  physical = tf.config.list_physical_devices("CPU")[0]
  tf.config.set_logical_device_configuration(physical, [tf.config.LogicalDeviceConfiguration()] * 4)
  return [f"/cpu:{i}" for i in range(4)]


@pytest.fixture(scope="session")
def two_cpus(four_cpus):
  """Two of them."""
  return four_cpus[:2]
