"""TensorFlow Serving: its own messages go through the exported signatures, over its own service.

The server itself is on no package index. A stand-in of its service does here what it does with a
request: it runs the signature that is named, by the names of the signature's tensors.
"""

import concurrent.futures
import importlib.util
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format

from perceptual.errors import UserError
from perceptual.export import saved_model, warm_up

_REASON = "TensorFlow Serving's messages are not installed: not tried (tools/test.sh --all)"


@pytest.fixture(scope="module")
def served(learned, tmp_path_factory):
  """A session with an export in it, its signatures and its folder: what a server holds."""
  folder = tmp_path_factory.mktemp("served") / "metric" / "1"
  warm_up_sizes = [(24, 31), (17, 90)] if importlib.util.find_spec("tensorflow_serving") else ()
  saved_model.export(learned, folder, warm_up_sizes=warm_up_sizes)
  session = tf.compat.v1.Session(graph=tf.Graph())
  with session.graph.as_default():
    graph = tf.compat.v1.saved_model.load(session, ["serve"], str(folder))
  yield session, graph.signature_def, folder
  session.close()


def _run(served, name, inputs):
  """Runs a signature as a server does; inputs and outputs are arrays by their names."""
  session, signatures, _ = served
  signature = signatures[name]
  fed = {signature.inputs[key].name: value for key, value in inputs.items()}
  assert set(fed) == {info.name for info in signature.inputs.values()}
  return session.run({key: info.name for key, info in signature.outputs.items()}, fed)


@pytest.fixture(scope="module")
def port(served):
  """The port of a service of TensorFlow Serving's definition on this machine."""
  grpc = pytest.importorskip("grpc", reason=_REASON)
  apis = pytest.importorskip("tensorflow_serving.apis", reason=_REASON)
  predict, services = (pytest.importorskip(f"{apis.__name__}.{name}", reason=_REASON)
                       for name in ("predict_pb2", "prediction_service_pb2_grpc"))

  class Service(services.PredictionServiceServicer):
    def Predict(self, request, context):
      inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
      response = predict.PredictResponse(model_spec=request.model_spec)
      try:
        outputs = _run(served, request.model_spec.signature_name, inputs)
      except tf.errors.InvalidArgumentError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
      for name, value in outputs.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
      return response

  server = grpc.server(concurrent.futures.ThreadPoolExecutor(1))
  services.add_PredictionServiceServicer_to_server(Service(), server)
  port = server.add_insecure_port("localhost:0")
  server.start()
  yield port
  server.stop(None)


def _ask(documented, port, reference, candidate, signature="serving_default_uint8"):
  """Returns the names of the documented client's snippets after they have run."""
  names = {"tf": tf, "reference": reference, "candidate": candidate}
  request, call = documented("needs tensorflow-serving-api"), documented("needs a server")
  exec(request.replace("serving_default_uint8", signature), names)
  exec(call.replace("8500", str(port)), names)
  return names


@pytest.mark.parametrize("size", [(24, 31), (17, 90)])
def test_a_request_gives_the_distance(size, documented, port, learned, images):
  pair = images(*size)
  asked = _ask(documented, port, *pair)
  np.testing.assert_allclose(asked["distance"], learned(*pair), rtol=1e-6)
  assert asked["response"].model_spec == asked["request"].model_spec
  floats = (pair / 255).astype(np.float32)
  asked = _ask(documented, port, *floats, "serving_default")
  np.testing.assert_allclose(asked["distance"], learned(*pair), rtol=1e-6)


def test_an_illegal_image_is_an_invalid_argument(documented, port, images):
  grpc = pytest.importorskip("grpc", reason=_REASON)
  with pytest.raises(grpc.RpcError, match="candidate has values outside the declared") as caught:
    pair = images(24, 31).astype(np.float32)
    _ask(documented, port, pair[0] / 255, pair[1], "serving_default")
  assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_every_signature_is_served_by_the_names_of_its_tensors(served, learned, images):
  reference, candidate, other = images(24, 31, count=3)
  found = _run(served, "two_afc_uint8", {
      "reference": reference, "candidate_0": candidate, "candidate_1": other})
  expected = learned.two_afc(reference, candidate, other)
  for i in (0, 1):
    np.testing.assert_allclose(found[f"distance_{i}"], expected[i], rtol=1e-6)
  pair = {"reference": reference, "candidate": candidate}
  np.testing.assert_allclose(_run(served, "spatial_map_uint8", pair)["spatial_map"],
                             learned.spatial_map(reference, candidate), rtol=1e-5, atol=1e-6)
  for name, expected in (("per_tap_uint8", learned.per_tap(reference, candidate)),
                         ("features_uint8", learned.features(reference))):
    found = _run(served, name, {"image": reference} if "features" in name else pair)
    assert set(found) == set(expected)
    for tap, values in expected.items():
      np.testing.assert_allclose(found[tap], values, rtol=1e-5, atol=1e-6)


def test_the_documented_body_of_a_rest_request_fits_its_signature(documented, served, learned):
  _, body = documented("POST /v1/models/metric:predict").split("\n", 1)
  request, answer = map(json.loads, body.split("\n\n"))
  inputs = {name: np.array(image, "float32") for name, image in request["inputs"].items()}
  [found] = _run(served, request["signature_name"], inputs).values()
  np.testing.assert_allclose(found, learned(*inputs.values()), rtol=1e-6)
  assert [*answer] == ["outputs"] and len(answer["outputs"]) == len(found)


def test_a_server_is_warmed_up_for_every_size_and_type(served):
  """As a server does: every record of the file is a request, which the export answers."""
  logs = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2", reason=_REASON)
  found = []
  for record in tf.data.TFRecordDataset(
      str(served[2] / "assets.extra" / "tf_serving_warmup_requests")).as_numpy_iterator():
    request = logs.PredictionLog.FromString(record).predict_log.request
    inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
    [distance] = _run(served, request.model_spec.signature_name, inputs).values()
    np.testing.assert_array_equal(distance, [0.0])
    found.append((inputs["reference"].shape[1:3], inputs["reference"].dtype))
  assert found == [((24, 31), "float32"), ((24, 31), "uint8"), ((17, 90), "float32"),
                   ((17, 90), "uint8")]


def test_sizes_to_warm_up_for_are_height_and_width():
  pytest.importorskip("tensorflow_serving", reason=_REASON)
  assert warm_up.sizes(["64x96", "8x8"]) == [(64, 96), (8, 8)]
  assert warm_up.sizes([]) == []
  with pytest.raises(UserError, match="images '64' is not HEIGHTxWIDTH, such as 64x64"):
    warm_up.sizes(["64"])


def test_the_documented_configuration_of_versions_is_the_servers_own():
  config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2", reason=_REASON)
  page = (pathlib.Path(__file__).parents[2] / "docs" / "scale.md").read_text("utf-8")
  [block] = [block for block in page.split("```") if "\nmodel_config_list {" in block]
  [model] = text_format.Parse(block, config.ModelServerConfig()).model_config_list.config
  assert list(model.model_version_policy.specific.versions) == [1, 2]
  assert model.version_labels == {"stable": 1, "canary": 2}
