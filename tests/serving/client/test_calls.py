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
from deepfm_tf.serving.signature import Target
from tests.serving.in_process import InProcessClient, metadata_response
from tests.serving.scripted_service import FLOAT, TEXT, signature_def

SUM = {"sum": (FLOAT, [None])}


def version(*inputs, told=None, default=100.0, times=1, defaults=()):
    """What a version takes, tells of its fields, and answers.

    The answer is so many times the sum of its inputs; a left out one is
    `default`.
    """
    of_rows = {name: (FLOAT, [None]) for name in inputs}
    signatures = {"serving_default": signature_def(of_rows, SUM, defaults)}
    if told is not None:
        signatures["fields"] = signature_def(
            {"rows": (TEXT, [None])}, {"fields": (TEXT, [None])}
        )
    return signatures, told, default, times


def refused(words):
    return PredictError(
        words, grpc.StatusCode.INVALID_ARGUMENT, words, "host:1"
    )


class Server(InProcessClient):
    """Has versions; answers by the newest, or first by those of `turns`."""

    def __init__(self, versions, max_rows=100):
        super().__init__(self._answer, max_rows)
        self.versions = versions
        self.turns = []
        self.refusal = None
        self.sent = []

    def predict(self, data, target=None, outputs=None):
        return super().predict(data, target, outputs).tolist()

    def _answer(self, method, request):
        spec = request.model_spec
        kind = spec.signature_name or method
        self.sent.append((kind, request))
        number = max(self.versions)
        if kind == "serving_default" and self.turns:
            number = self.turns.pop(0)
        if spec.HasField("version"):
            number = spec.version.value
        if number not in self.versions:
            raise PredictError(
                "gone", grpc.StatusCode.NOT_FOUND, "gone", "host:1"
            )
        signatures, told, default, times = self.versions[number]
        if method == "GetModelMetadata":
            return metadata_response(signatures, number)
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = number
        if kind == "fields":
            answer = np.array([json.dumps({"fields": told})])
            response.outputs["fields"].CopyFrom(tf.make_tensor_proto(answer))
            return response
        if self.refusal:
            raise refused(self.refusal)
        inputs = signatures[kind].inputs
        arrays = {n: tf.make_ndarray(p) for n, p in request.inputs.items()}
        if not arrays.keys() <= inputs.keys():
            raise refused("extra")
        total = times * sum(arrays.get(name, default) for name in inputs)
        proto = tf.make_tensor_proto(np.float32(total))
        response.outputs["sum"].CopyFrom(proto)
        return response

    def asked(self):
        """The kinds of requests since the last time."""
        kinds = [kind for kind, _ in self.sent]
        self.sent.clear()
        return kinds

    def predictions(self):
        """The requests for answers."""
        return [r for kind, r in self.sent if kind == "serving_default"]


def test_the_signature_is_read_once():
    server = Server({1: version("a", "b")})

    for target in (None, None, *[Target("serving_default", 1)] * 2):
        assert server.predict({"a": [1], "b": [2]}, target) == [3]

    kinds = server.asked()
    assert kinds.count("GetModelMetadata") == 2
    assert kinds.count("serving_default") == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"prize": [1], "hour": [2]}, "'price'.*Did you mean 'prize'"),
        ({"x": [1]}, "'hour', 'price'"),
        ({"hour": [1], "price": ["cheap"]}, "'price' must hold numbers"),
    ],
)
def test_what_does_not_fit_is_named_before_anything_is_sent(data, message):
    server = Server({1: version("price", "hour")})

    with pytest.raises(ValueError, match=message):
        server.predict(data)

    assert set(server.asked()) == {"GetModelMetadata"}


def test_a_column_may_be_missing_where_the_server_has_a_default():
    server = Server({1: version("a", "added")})

    assert server.predict({"a": [1, 2]}) == [101, 102]
    assert server.asked() == ["GetModelMetadata", "serving_default"]


def test_a_server_without_a_default_makes_the_column_missing():
    server = Server({1: version("a", "added", "optional")})
    server.refusal = "Missing but required: {added}."

    with pytest.raises(ValueError, match="needs the columns 'added', which"):
        server.predict({"a": [1, 2]})


def test_defaults_in_the_metadata_are_believed():
    server = Server({1: version("a", "b", "added", defaults=["added"])})

    assert server.predict({"a": [1], "b": [2]}) == [103]
    with pytest.raises(ValueError, match="needs the columns 'b'"):
        server.predict({"a": [1]})


def test_parts_keep_their_order():
    server = Server({1: version("a")}, max_rows=10)

    assert server.predict({"a": np.arange(95)}) == list(range(95))
    assert len(server.predictions()) == 10


def test_all_of_an_answer_is_from_one_version():
    server = Server({1: version("a")}, max_rows=1)
    server.predict({"a": [1]})
    server.versions[2] = version("a", times=2)
    server.turns = [1, 2, 1]

    assert server.predict({"a": [1, 10, 100]}) == [2, 20, 200]
    pinned = [r.model_spec.version.value for r in server.predictions()[-3:]]
    assert pinned == [2, 2, 2]


def test_a_column_that_a_new_version_has_dropped_is_not_missed():
    server = Server({1: version("a", "old")})
    server.predict({"a": [1], "old": [1]})
    server.versions[2] = version("a")

    assert server.predict({"a": [1]}) == [1]


def test_the_servers_refusal_is_passed_on():
    server = Server({1: version("a")})
    server.refusal = "no"

    with pytest.raises(PredictError, match="no"):
        server.predict({"a": [1]})


def test_a_pinned_version_and_a_label_go_into_the_request():
    server = Server({3: version("a")})

    server.predict({"a": [1]}, Target("serving_default", version=3))
    server.predict({"a": [1]}, Target("serving_default", label="canary"))

    pinned, labelled = server.predictions()
    assert pinned.model_spec.version.value == 3
    assert labelled.model_spec.version_label == "canary"
    with pytest.raises(ValueError, match="Only one of `version` and `label`"):
        Target("serving_default", 3, "canary")


def test_outputs_are_chosen_by_name():
    server = Server({1: version("a")})

    server.predict({"a": [1]}, outputs=["sum"])
    server.predict({"a": [1]}, outputs="sum")

    filters = [list(r.output_filter) for r in server.predictions()]
    assert filters == [["sum"], ["sum"]]
    with pytest.raises(ValueError, match="no output 'sun'. Did you mean 'sum"):
        server.predict({"a": [1]}, outputs=["sun"])


@pytest.mark.parametrize("data", [[], {"a": []}])
def test_no_rows_give_no_values(data):
    assert Server({1: version("a")}).predict(data) == []


def test_context_is_sent_with_every_part():
    inputs = {"user": (FLOAT, [1]), "ad": (FLOAT, [None])}
    signatures = {"rank": signature_def(inputs, SUM)}
    server = Server({1: (signatures, None, 0, 1)}, max_rows=2)

    result = server.rank({"user": 0.5}, {"ad": [1, 2, 3]})

    assert result.tolist() == [1.5, 2.5, 3.5]
    assert server.asked() == ["GetModelMetadata", "rank", "rank"]


def test_a_signature_that_adds_up_rows_is_not_split():
    total = signature_def({"a": (FLOAT, [None])}, {"sum": (FLOAT, [])})
    versions = {1: ({"serving_default": total}, None, 0, 1)}
    server = Server(versions, max_rows=2)

    server.predict({"a": [1, 2, 3]})

    assert len(server.predictions()) == 1


def test_max_rows_must_be_positive():
    with pytest.raises(ValueError, match="`max_rows` must be a positive"):
        Model("toy", "host:1", 0)


def test_text_is_measured_in_bytes():
    text = signature_def({"a": (TEXT, [None])}, {"sum": (FLOAT, [None])})
    sizes = []

    def answer(method, request):
        if method == "GetModelMetadata":
            return metadata_response({"serving_default": text}, 1)
        sizes.append(request.ByteSize())
        rows = request.inputs["a"].tensor_shape.dim[0].size
        response = predict_pb2.PredictResponse()
        response.outputs["sum"].CopyFrom(tf.make_tensor_proto([0.5] * rows))
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

    (_, first), (kind, second) = server.sent[:2]
    assert kind == "fields"
    assert not first.model_spec.HasField("version")
    assert second.model_spec.version.value == 7


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
