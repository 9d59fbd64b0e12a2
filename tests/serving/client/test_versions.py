"""An answer is of one version, and of one whose columns were known."""

import json

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from deepfm_tf.serving.client.calls import ClientCore
from deepfm_tf.serving.client.errors import PredictError
from deepfm_tf.serving.client.types import Choice
from tests.serving.scripted_service import FLOAT, TEXT, signature_def

DEFAULT = Choice("serving_default")


def version(*inputs, told=None, default=100.0):
    """What a version takes: its inputs; what it tells of its fields.

    A left out input is `default`.
    """
    signatures = {
        "serving_default": signature_def(
            {n: (FLOAT, [None]) for n in inputs}, {"sum": (FLOAT, [None])}
        )
    }
    if told is not None:
        signatures["fields"] = signature_def(
            {"rows": (TEXT, [None])}, {"fields": (TEXT, [None])}
        )
    return signatures, told, default


class Server:
    """Has versions, each of which answers with the sum of its inputs."""

    def __init__(self, versions, max_rows=100):
        self.core = ClientCore("toy", "host:1", max_rows)
        self.versions = versions
        self.sent = []

    def predict(self, data, choice=DEFAULT):
        call = self.core.predict(data, choice, None)
        try:
            step = next(call)
            while True:
                try:
                    answers = [self.answer(step, r) for r in step.requests]
                except PredictError as error:
                    step = call.throw(error)
                else:
                    step = call.send(answers)
        except StopIteration as end:
            return end.value.tolist()

    def answer(self, step, request):
        spec = request.model_spec
        number = max(self.versions)
        if spec.HasField("version"):
            number = spec.version.value
        kind = spec.signature_name or step.method
        self.sent.append((kind, spec.version.value))
        if number not in self.versions:
            raise PredictError(
                "gone", grpc.StatusCode.NOT_FOUND, "gone", "host:1"
            )
        signatures, told, default = self.versions[number]
        if step.method == "GetModelMetadata":
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            found = get_model_metadata_pb2.SignatureDefMap()
            for name, definition in signatures.items():
                found.signature_def[name].CopyFrom(definition)
            response.metadata["signature_def"].Pack(found)
        else:
            response = predict_pb2.PredictResponse()
            if spec.signature_name == "fields":
                answer = np.array([json.dumps({"fields": told})])
                response.outputs["fields"].CopyFrom(
                    tf.make_tensor_proto(answer)
                )
            else:
                inputs = signatures["serving_default"].inputs
                arrays = {
                    name: tf.make_ndarray(proto)
                    for name, proto in request.inputs.items()
                }
                if not arrays.keys() <= inputs.keys():
                    raise PredictError(
                        "extra", grpc.StatusCode.INVALID_ARGUMENT, "", "host:1"
                    )
                total = sum(arrays.get(name, default) for name in inputs)
                response.outputs["sum"].CopyFrom(
                    tf.make_tensor_proto(np.float32(total))
                )
        response.model_spec.version.value = number
        return response

    def asked(self):
        """The kinds of requests since the last time."""
        kinds = [kind for kind, _ in self.sent]
        self.sent.clear()
        return kinds


@pytest.fixture
def server():
    server = Server({1: version("old")})
    assert server.predict({"old": [1], "new": [5]}) == [1]
    server.asked()
    return server


def test_a_new_field_with_a_default_counts_where_there_is_its_column(server):
    server.versions[2] = version("old", "new")

    assert server.predict({"old": [1, 2], "new": [5, 6]}) == [6, 8]
    assert server.asked() == [
        "serving_default",
        "GetModelMetadata",
        "serving_default",
    ]
    assert server.predict({"old": [1], "new": [5]}) == [6]
    assert server.asked() == ["serving_default"]


def test_a_version_that_takes_the_same_is_asked_once(server):
    server.versions[2] = version("old")

    assert server.predict({"old": [1], "new": [5]}) == [1]
    assert server.asked() == ["serving_default", "GetModelMetadata"]
    assert server.predict({"old": [1]}) == [1]
    assert server.asked() == ["serving_default"]


def test_an_input_that_means_another_field_is_noticed():
    told = [{"name": "home-town", "input": "town"}]
    other = [{"name": "work-town", "input": "town"}]
    server = Server({1: version("town", told=told)})
    data = {"home-town": [1], "work-town": [20]}

    assert server.predict(data) == [1]
    assert server.asked() == ["GetModelMetadata", "fields", "serving_default"]
    server.versions[2] = version("town", told=other)

    assert server.predict(data) == [20]


def test_the_fields_are_asked_of_the_version_whose_signatures_are_known():
    told = [{"name": "a", "input": "a"}]
    server = Server({7: version("a", told=told)})

    server.predict({"a": [1]})

    assert server.sent[:2] == [("GetModelMetadata", 0), ("fields", 7)]


def test_fields_of_a_version_that_has_gone_are_read_of_the_next():
    told = [{"name": "a b", "input": "a_b"}]
    server = Server({1: version("x", told=told)})
    answer = server.answer

    def switching(step, request):
        if request.model_spec.signature_name == "fields":
            server.versions.pop(1, None)
        response = answer(step, request)
        server.versions[2] = version("a_b", told=told)
        return response

    server.answer = switching

    assert server.predict({"a b": [3]}) == [3]
    assert server.asked() == [
        "GetModelMetadata",
        "fields",
        "GetModelMetadata",
        "fields",
        "serving_default",
    ]


def test_a_pinned_version_is_not_left(server):
    server.versions[2] = version("old", "new")

    data = {"old": [1], "new": [5]}
    assert server.predict(data, Choice("serving_default", 1)) == [1]
    assert server.predict(data, Choice("serving_default", 2)) == [6]


def test_all_parts_are_of_one_version_though_it_has_other_inputs():
    server = Server({1: version("a")}, max_rows=1)
    answer, data = server.answer, {"a": [1, 2, 3], "b": [10, 20, 30]}

    def switching(step, request):
        if len(server.sent) == 2:  # the second of the three parts
            server.versions[2] = version("a", "b")
        return answer(step, request)

    server.answer = switching

    assert server.predict(data) == [11, 22, 33]


def test_a_server_that_never_rests_is_given_up():
    server = Server({1: version("a")})
    answer = server.answer

    def restless(step, request):
        response = answer(step, request)
        newest = max(server.versions)
        server.versions.clear()
        server.versions[newest + 1] = version("a", f"b{newest}")
        return response

    server.answer = restless

    with pytest.raises(PredictError, match="host:1 must answer a call by one"):
        server.predict({"a": [1], **{f"b{n}": [n] for n in range(20)}})
