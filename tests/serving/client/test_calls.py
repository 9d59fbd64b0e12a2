"""What a client does beside sending, with the answers written by hand."""

import json

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

from deepfm_tf.serving import AsyncPredictClient, PredictClient
from deepfm_tf.serving.client.calls import Model
from deepfm_tf.serving.client.channel import PredictError
from deepfm_tf.serving.client.signature import Target
from tests.serving.in_process import InProcessClient, metadata_response
from tests.serving.scripted_service import FLOAT, TEXT, signature_def


def ctr(*inputs, **options):
    return {
        "serving_default": signature_def(
            {n: (FLOAT, [None]) for n in inputs},
            {"ctr": (FLOAT, [None])},
            **options,
        )
    }


class Backend(InProcessClient):
    """Answers with the sum of the inputs."""

    def __init__(self, signatures, max_rows=100):
        super().__init__(self._answer, max_rows)
        self.signatures = signatures
        self.version = 1
        self.versions = []
        self.refuses = lambda request: ""
        self.sent = []

    def _answer(self, method, request):
        self.sent.append((method, request))
        if method == "GetModelMetadata":
            return metadata_response(self.signatures, self.version)
        words = self.refuses(request)
        if words:
            raise PredictError(
                words, grpc.StatusCode.INVALID_ARGUMENT, words, "host:1"
            )
        version = self.versions.pop(0) if self.versions else self.version
        if request.model_spec.HasField("version"):
            version = request.model_spec.version.value
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = version
        total = sum(tf.make_ndarray(v) for v in request.inputs.values())
        response.outputs["ctr"].CopyFrom(
            tf.make_tensor_proto(np.float32(total * version))
        )
        return response

    def count(self, method):
        return sum(sent == method for sent, _ in self.sent)


def test_the_signature_is_read_once():
    backend = Backend(ctr("a", "b"))

    for _ in range(3):
        assert backend.predict({"a": [1], "b": [2]}).tolist() == [3]
    backend.predict({"a": [1], "b": [2]}, Target("serving_default", 1))
    backend.predict({"a": [1], "b": [2]}, Target("serving_default", 1))

    assert backend.count("GetModelMetadata") == 2
    assert backend.count("Predict") == 5


def test_a_missing_column_is_named_before_anything_is_sent():
    backend = Backend(ctr("price", "hour"))

    with pytest.raises(ValueError, match="'price'.*Did you mean 'prize'"):
        backend.predict({"prize": [1], "hour": [2]})
    with pytest.raises(ValueError, match="'hour', 'price'"):
        backend.predict({"x": [1]})

    assert backend.count("Predict") == 0


def test_a_column_of_the_wrong_kind_is_named_before_anything_is_sent():
    backend = Backend(ctr("price"))

    with pytest.raises(ValueError, match="'price' must hold numbers"):
        backend.predict({"price": ["cheap"]})

    assert backend.count("Predict") == 0


def test_a_column_may_be_missing_where_the_server_has_a_default():
    backend = Backend(ctr("a", "added"))

    assert backend.predict({"a": [1, 2]}).tolist() == [1, 2]
    assert backend.count("Predict") == 1


def test_a_server_without_a_default_makes_the_column_missing():
    backend = Backend(ctr("a", "added", "optional"))
    backend.refuses = lambda request: "Missing but required: {added}."

    with pytest.raises(ValueError, match="needs the columns 'added', which"):
        backend.predict({"a": [1, 2]})


def test_defaults_in_the_metadata_are_believed():
    backend = Backend(ctr("a", "b", "added", defaults=["added"]))

    assert backend.predict({"a": [1], "b": [2]}).tolist() == [3]
    with pytest.raises(ValueError, match="needs the columns 'b'"):
        backend.predict({"a": [1]})

    assert backend.count("Predict") == 1


def test_parts_keep_their_order():
    backend = Backend(ctr("a"), max_rows=10)

    result = backend.predict({"a": np.arange(95)})

    assert result.tolist() == list(range(95))
    assert backend.count("Predict") == 10


def test_all_of_an_answer_is_from_one_version():
    backend = Backend(ctr("a"), max_rows=1)
    backend.predict({"a": [1]})
    backend.version = 2
    backend.versions = [1, 2, 1]

    result = backend.predict({"a": [1, 10, 100]})

    assert result.tolist() == [2, 20, 200]
    again = [r for m, r in backend.sent if m == "Predict"][-3:]
    assert [r.model_spec.version.value for r in again] == [2, 2, 2]


def test_another_version_has_its_signature_read():
    backend = Backend(ctr("a"))
    backend.predict({"a": [1], "b": [5]})
    backend.version, backend.signatures = 2, ctr("a", "b")
    backend.refuses = lambda r: "" if "b" in r.inputs else "{b} is required"

    result = backend.predict({"a": [1], "b": [5]})

    assert result.tolist() == [12]
    assert backend.count("GetModelMetadata") == 2


def test_a_column_that_a_new_version_has_dropped_is_not_missed():
    backend = Backend(ctr("a", "old"))
    backend.predict({"a": [1], "old": [1]})
    backend.version, backend.signatures = 2, ctr("a")

    assert backend.predict({"a": [1]}).tolist() == [2]


def test_the_servers_refusal_is_passed_on():
    backend = Backend(ctr("a"))
    backend.refuses = lambda request: "no"

    with pytest.raises(PredictError, match="no"):
        backend.predict({"a": [1]})


def test_a_pinned_version_and_a_label_go_into_the_request():
    backend = Backend(ctr("a"))

    backend.predict({"a": [1]}, Target("serving_default", version=3))
    backend.predict({"a": [1]}, Target("serving_default", label="canary"))

    pinned, labelled = [r for m, r in backend.sent if m == "Predict"]
    assert pinned.model_spec.version.value == 3
    assert labelled.model_spec.version_label == "canary"
    with pytest.raises(ValueError, match="Only one of `version` and `label`"):
        Target("serving_default", 3, "canary")


def test_outputs_are_chosen_by_name():
    backend = Backend(ctr("a"))

    backend.predict({"a": [1]}, outputs=["ctr"])
    backend.predict({"a": [1]}, outputs="ctr")

    requests = [r for m, r in backend.sent if m == "Predict"]
    assert [list(r.output_filter) for r in requests] == [["ctr"], ["ctr"]]
    with pytest.raises(ValueError, match="no output 'ctx'. Did you mean 'ctr"):
        backend.predict({"a": [1]}, outputs=["ctx"])


def test_no_rows_give_no_values():
    backend = Backend(ctr("a"))

    assert backend.predict([]).shape == (0,)
    assert backend.predict({"a": []}).shape == (0,)


def test_context_is_sent_with_every_part():
    rank = signature_def(
        {"user": (FLOAT, [1]), "ad": (FLOAT, [None])},
        {"ctr": (FLOAT, [None])},
    )
    backend = Backend({"rank": rank}, max_rows=2)

    result = backend.rank({"user": 0.5}, {"ad": [1, 2, 3]})

    assert result.tolist() == [1.5, 2.5, 3.5]
    requests = [r for m, r in backend.sent if m == "Predict"]
    assert [r.inputs["user"].tensor_shape.dim[0].size for r in requests] == [
        1,
        1,
    ]


def test_a_signature_that_adds_up_rows_is_not_split():
    total = signature_def({"a": (FLOAT, [None])}, {"ctr": (FLOAT, [])})
    backend = Backend({"serving_default": total}, max_rows=2)

    backend.predict({"a": [1, 2, 3]})

    assert backend.count("Predict") == 1


def test_max_rows_must_be_positive():
    with pytest.raises(ValueError, match="`max_rows` must be a positive"):
        Model("toy", "host:1", 0)


def test_text_is_measured_in_bytes():
    text = signature_def({"a": (TEXT, [None])}, {"ctr": (FLOAT, [None])})
    sizes = []

    def answer(method, request):
        if method == "GetModelMetadata":
            return metadata_response({"serving_default": text}, 1)
        sizes.append(request.ByteSize())
        rows = request.inputs["a"].tensor_shape.dim[0].size
        response = predict_pb2.PredictResponse()
        response.outputs["ctr"].CopyFrom(tf.make_tensor_proto([0.5] * rows))
        return response

    client = InProcessClient(answer, max_rows=10**9)
    assert len(client.predict({"a": ["x" * 1000] * 10_000})) == 10_000

    assert len(sizes) == 3
    assert max(sizes) <= 4 * 2**20


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
@pytest.mark.parametrize("kind", [PredictClient, AsyncPredictClient])
def test_a_timeout_must_be_positive(kind, timeout):
    with pytest.raises(ValueError, match=f"`timeout`.*timeout={timeout}"):
        kind("localhost:1", timeout=timeout)


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


class Server(InProcessClient):
    """Has versions, each of which answers with the sum of its inputs."""

    def __init__(self, versions, max_rows=100):
        super().__init__(self._answer, max_rows)
        self.versions = versions
        self.sent = []

    def predict(self, data, target=None):
        return super().predict(data, target).tolist()

    def _answer(self, method, request):
        spec = request.model_spec
        number = max(self.versions)
        if spec.HasField("version"):
            number = spec.version.value
        kind = spec.signature_name or method
        self.sent.append((kind, spec.version.value))
        if number not in self.versions:
            raise PredictError(
                "gone", grpc.StatusCode.NOT_FOUND, "gone", "host:1"
            )
        signatures, told, default = self.versions[number]
        if method == "GetModelMetadata":
            return metadata_response(signatures, number)
        response = predict_pb2.PredictResponse()
        if spec.signature_name == "fields":
            answer = np.array([json.dumps({"fields": told})])
            response.outputs["fields"].CopyFrom(tf.make_tensor_proto(answer))
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
    assert server.predict(data, Target("serving_default", 1)) == [1]
    assert server.predict(data, Target("serving_default", 2)) == [6]


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
