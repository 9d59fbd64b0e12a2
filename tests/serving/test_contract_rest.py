"""REST as the contract has it, through HTTP, of any server that claims it."""

import contextlib
import http.client
import json
import socket
import time

import pytest

from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from tests.serving.any_server import SERVERS, running_server
from tests.serving.rest_client import call
from tests.serving.toy_model import COLUMNS, expected_ctr

TOY = "/v1/models/toy"
PREDICT = f"{TOY}:predict"
ROWS = [
    {name: values[row] for name, values in COLUMNS.items()} for row in range(3)
]
CTR = pytest.approx(expected_ctr(COLUMNS).tolist(), abs=1e-6)


@pytest.fixture(scope="module")
def config_file(toy_path, tmp_path_factory):
    """The toy with its version 1 labelled `stable`."""
    path = tmp_path_factory.mktemp("rest") / "models.config"
    path.write_text(
        f"""model_config_list {{ config {{
            name: "toy" base_path: "{toy_path.parent}"
            model_platform: "tensorflow"
            version_labels {{ key: "stable" value: 1 }}
        }} }}""",
        encoding="utf-8",
    )
    return str(path)


@pytest.fixture(scope="module", params=SERVERS)
def port(request, config_file):
    """The REST port of a server of the toy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    flags = [
        f"--rest_api_port={port}",
        f"--model_config_file={config_file}",
        "--allow_version_labels_for_unavailable_models=true",
    ]
    with running_server(request.param, flags):
        # The real server opens this port a moment after that of gRPC.
        end = time.monotonic() + 10
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                call(port, TOY)
                break
            assert time.monotonic() < end
            time.sleep(0.05)
        yield port


def error_of(port, *arguments, **keywords):
    """Status and message of a request that must fail."""
    status, answer = call(port, *arguments, **keywords)
    assert list(answer) == ["error"]
    return status, answer["error"]


def without(name):
    """`ROWS` without one of the inputs."""
    return [
        {key: value for key, value in row.items() if key != name}
        for row in ROWS
    ]


@pytest.mark.parametrize(
    "path",
    [
        PREDICT,
        f"{TOY}/versions/1:predict",
        f"{TOY}/labels/stable:predict",
        "/V1/MODELS/toy:predict",
    ],
)
def test_rows_are_answered_with_predictions(port, path):
    assert call(port, path, {"instances": ROWS}) == (200, {"predictions": CTR})


def test_columns_are_answered_with_outputs(port):
    status, answer = call(port, PREDICT, {"inputs": {**COLUMNS, "extra": 1}})

    assert (status, answer) == (200, {"outputs": CTR})


def test_whole_numbers_and_named_floats_are_floats(port):
    row = {**ROWS[0], "n0": 1, "n1": float("inf")}

    status, answer = call(port, PREDICT, {"instances": [row]})

    assert (status, answer) == (200, {"predictions": [0.0]})


def test_nan_comes_back_as_nan(port):
    row = {**ROWS[0], "n0": float("nan")}

    _, answer = call(port, PREDICT, {"instances": [row]})

    assert answer["predictions"][0] != answer["predictions"][0]


def test_strings_may_be_base64(port):
    row = {**ROWS[0], "c0": {"b64": "YQ=="}}  # a

    status, answer = call(port, PREDICT, {"instances": [row]})

    assert (status, answer["predictions"]) == (
        200, pytest.approx(expected_ctr(COLUMNS).tolist()[:1], abs=1e-6),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        ({"instances": [1]},
         "instances is a plain list, but expecting list of objects as "
         "multiple input tensors required as per tensorinfo_map"),
        ({"inputs": [1]},
         "inputs is a plain value/list, but expecting an object as multiple "
         "input tensors required as per tensorinfo_map"),
        ({"inputs": {k: v for k, v in COLUMNS.items() if k != "n1"}},
         "Missing named input: n1 in 'inputs' object."),
        ({"instances": [{**ROWS[0], "n1": "1"}]},
         "Failed to process element: 0 key: n1 of 'instances' list. Error: "
         'INVALID_ARGUMENT: JSON Value: "1" Type: String is not of expected '
         "type: float"),
        ({"signature_name": "zz", "instances": ROWS},
         'Serving signature name: "zz" not found in signature def'),
    ],
)  # fmt: skip
def test_predict_says_what_is_wrong_with_a_body(port, body, message):
    assert error_of(port, PREDICT, body) == (400, message)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"instances", "JSON Parse error: "),
        (b'{"instances": [1}', "JSON Parse error: "),
        (b"[1]", "JSON Value: ["),
        (b"1", "JSON Value: 1 Is not object"),
    ],
)
def test_what_is_no_json_object_is_refused_in_the_same_first_words(
    port, body, words
):
    status, error = error_of(port, PREDICT, body)

    assert status == 400
    assert error.startswith(words)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"instances": []}, "No values in 'instances' array"),
        ({"instances": {}}, "Expecting 'instances' to be an list/array"),
        ({"instances": ROWS[:1], "inputs": COLUMNS},
         "expecting only one of 'inputs' or 'instances' keys to exist "),
        ({"instances": without("n1")[:1]},
         "keys must be equal to: c0,c1,c2,n0,n1"),
        ({"instances": [{**ROWS[0], "x": 1}]},
         "JSON object: does not have named input: x"),
        ({"signature_name": 1, "instances": ROWS[:1]},
         "'signature_name' key must be a string value."),
        ({"inputs": {**COLUMNS, "n0": 1}}, "slice index 0 of dimension 0"),
        ({"inputs": {**COLUMNS, "n0": [1]}}, "ConcatOp"),
    ],
)  # fmt: skip
def test_predict_errors_contain(port, body, message):
    status, error = error_of(port, PREDICT, body)

    assert status == 400
    assert message in error


@pytest.mark.parametrize(
    ("numbers", "rest", "expected"),
    [
        # .5 * 2**25 - .25 * 2**26 = 0, whose sigmoid is .5.
        (b'"n0": 33554432, "n1": 67108864', b"", 0.5),
        (b'"n0": 1700000000, "n1": 3400000000', b"", 0.5),
        (b'"n0": 1, "n1": -18446744073709551617', b"", 1.0),
        (b'"n0": 1e39, "n1": 0', b"", 1.0),
        (b'"n0": -1e39, "n1": 0', b"", 0.0),
        (b'"n0": Inf, "n1": 0', b"", 1.0),
        (b'"n0": -Inf, "n1": 0', b"", 0.0),
        # sigmoid(.5 * 2) = 0.73105858; sigmoid(.5 * 4) = .88.
        (b'"n0": 2, "n1": 0, "n0": 4', b"", 0.7310585786),
        (b'"n0": 2, "n1": 0', b', "instances": []', 0.7310585786),
        (b'"n0": 2, "n1": 0', b'} and "so" on: {', 0.7310585786),
    ],
)
def test_bodies_that_rapidjson_lets_pass(port, numbers, rest, expected):
    row = b'{"c0": "K\xf6ln", "c1": "", "c2": "\xff", ' + numbers + b"}"
    body = b'{"instances": [' + row + b"]" + rest + b"}"

    status, answer = call(port, PREDICT, body)

    assert status == 200
    assert answer["predictions"] == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (b'{"n0": 1e39, "city": "K\xf6ln"}', 1.0),
        (b'{"n0": -1e39, "c0": "K\xf6ln"}', 0.0),
        (b'{"n0": 2.0, "K\xf6ln": 1, "n0": 4.0}', 0.7310585786),
    ],
)
def test_examples_that_rapidjson_lets_pass(port, features, expected):
    body = b'{"signature_name": "regress", "examples": [' + features + b"]} x"

    status, answer = call(port, f"{TOY}:regress", body)

    assert status == 200
    assert answer["results"] == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize("number", [b"1e309", b"1" + b"0" * 309])
def test_numbers_beyond_a_double_are_refused(port, number):
    row = b'{"c0": "", "c1": "", "c2": "", "n0": ' + number + b', "n1": 0}'

    status, error = error_of(port, PREDICT, b'{"instances": [' + row + b"]}")

    assert status == 400
    assert "JSON Parse error: Number too big to be stored" in error


def test_a_signature_name_of_other_bytes_is_not_found(port):
    body = b'{"signature_name": "\xff", "instances": [1]}'

    status, error = error_of(port, PREDICT, body)

    assert status == 400
    assert error.startswith('Serving signature name: "')


def test_classify_answers_pairs_of_label_and_score(port):
    body = {"signature_name": "classify", "examples": ROWS}

    status, answer = call(port, f"{TOY}:classify", body)

    assert status == 200
    assert [[c[0] for c in row] for row in answer["results"]] == [
        ["0", "1"]
    ] * 3
    assert [row[1][1] for row in answer["results"]] == CTR


def test_regress_answers_numbers(port):
    body = {"signature_name": "regress", "examples": ROWS}

    assert call(port, f"{TOY}:regress", body) == (200, {"results": CTR})


def test_a_context_counts_for_every_example(port):
    body = {
        "signature_name": "regress",
        "context": {"c0": "b", "n1": 0.0},
        "examples": [{"c0": "a"}, {"n0": 1.0}],
    }
    columns = {
        "c0": ["a", "b"], "c1": ["", ""], "c2": ["", ""],
        "n0": [0, 1], "n1": [0, 0],
    }  # fmt: skip

    status, answer = call(port, f"{TOY}:regress", body)

    assert status == 200
    assert answer["results"] == pytest.approx(
        expected_ctr(columns).tolist(), abs=1e-6
    )


@pytest.mark.parametrize(
    ("method", "body", "message"),
    [
        ("regress", {"signature_name": "regress", "examples": [{"n0": 1}]},
         "Data types don't match"),
        ("classify", {"examples": ROWS}, "Expected one input Tensor."),
        ("classify", {"signature_name": "zzz", "examples": ROWS},
         "No signature was found with the name: zzz"),
        ("regress", {"signature_name": "classify", "examples": ROWS},
         "Expected one output Tensor."),
        ("regress", {"examples": []}, "'examples' value is an empty array"),
        ("regress", {}, "key 'examples' is expected and was not found"),
    ],
)  # fmt: skip
def test_classify_and_regress_errors_contain(port, method, body, message):
    status, error = error_of(port, f"{TOY}:{method}", body)

    assert status == 400
    assert message in error


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models/nope:predict", 404,
         "Servable not found for request: Latest(nope)"),
        ("/v1/models/..%2ftoy:predict", 404,
         "Servable not found for request: Latest(../toy)"),
        (f"{TOY}/versions/99:predict", 404,
         "Servable not found for request: Specific(toy, 99)"),
        (f"{TOY}/labels/canary:predict", 400,
         "Unrecognized servable version label: canary"),
        (f"{TOY}:frobnicate", 400,
         "Malformed request: POST /v1/models/toy:frobnicate"),
        (f"{TOY}:PREDICT", 400,
         "Malformed request: POST /v1/models/toy:PREDICT"),
    ],
)  # fmt: skip
def test_predict_paths_that_fail(port, path, status, message):
    found = error_of(port, path, {"instances": ROWS})

    assert found == (status, message)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/nope", 404, "Could not find any versions of model nope"),
        (f"{TOY}/versions/7", 404, "Could not find version 7 of model toy"),
        ("/v1/models/nope/metadata", 404,
         "Servable not found for request: Latest(nope)"),
    ],
)  # fmt: skip
def test_look_ups_that_fail(port, path, status, message):
    assert error_of(port, path) == (status, message)


@pytest.mark.parametrize(
    "path", [TOY, f"{TOY}/versions/1", f"{TOY}/labels/stable"]
)
def test_status_lists_versions(port, path):
    assert call(port, path) == (
        200,
        {
            "model_version_status": [
                {
                    "version": "1",
                    "state": "AVAILABLE",
                    "status": {"error_code": "OK", "error_message": ""},
                }
            ]
        },
    )


@pytest.mark.parametrize("part", ["", "/versions/1", "/labels/stable"])
def test_metadata_has_every_signature(port, part):
    status, answer = call(port, f"{TOY}{part}/metadata")

    assert status == 200
    assert answer["model_spec"] == {
        "name": "toy", "signature_name": "", "version": "1",
    }  # fmt: skip
    signatures = answer["metadata"]["signature_def"]["signature_def"]
    assert sorted(signatures) == [
        "__saved_model_init_op", "classify", "regress", "serving_default",
    ]  # fmt: skip
    number = signatures["serving_default"]["inputs"]["n0"]
    assert number["dtype"] == "DT_FLOAT"
    assert number["tensor_shape"] == {
        "dim": [{"size": "-1", "name": ""}],
        "unknown_rank": False,
    }


def test_errors_keep_the_connection_and_the_type(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(2):
        connection.request("POST", PREDICT, b"{}")
        response = connection.getresponse()
        assert response.headers["content-type"] == "application/json"
        assert "error" in json.loads(response.read())
    connection.close()


def test_metrics_count_the_answers_of_rest(config_file, tmp_path):
    monitoring = tmp_path / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }")
    options = Options(
        port=0,
        rest_api_port=-1,
        model_config_file=config_file,
        allow_version_labels_for_unavailable_models=True,
        monitoring_config_file=str(monitoring),
    )
    with Server(options) as server:
        call(server.rest_port, PREDICT, {"instances": ROWS})
        call(server.rest_port, PREDICT, {})

        path = "/monitoring/prometheus/metrics"
        status, text = call(server.rest_port, path)
        head = call(server.rest_port, path, verb="HEAD")

    assert status == 200
    assert head == (200, b"")
    count = b':tensorflow:serving:request_count{model_name="toy",status="%b"} 1'
    assert count % b"OK" in text
    assert count % b"INVALID_ARGUMENT" in text
    assert b'API="predict",entrypoint="REST"' in text
