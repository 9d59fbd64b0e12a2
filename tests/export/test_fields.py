"""Fields of any name are served, by the client and by REST."""

import contextlib
import json
import time
import types

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow_serving.apis.model_pb2 import ModelSpec

import deepfm_tf
from deepfm_tf.export.fields import check_fields
from deepfm_tf.serving.client import predict_command
from deepfm_tf.serving.engine.servable import Servable
from deepfm_tf.serving.rest.calls import RestCalls
from deepfm_tf.serving.signature import Target
from tests.export.conftest import definitions
from tests.export.operations import new_among, operations
from tests.serving.in_process import InProcessClient, handled_by
from tests.serving.toy_model import ToyModels
from tests.test_conformance import randomize

CONTEXT = ("class", "性別")
INPUTS = {
    "class": "field_class",
    "性別": "u6027u5225",
    "a b": "a_b_c8687a08",
    "a-b": "a_b_d44362d6",
    "marital-status": "marital_status",
    "probability": "probability",
    "1st price": "field_1st_price",
    "C1": "C1",
    "c1": "c1_2",
    "self": "field_self",
    "texts": "texts",
    "from": "field_from",
}


@pytest.fixture(scope="module")
def frame():
    """24 rows in which no two columns agree."""
    row = np.arange(24)
    frame = pd.DataFrame(
        {
            name: [f"v{(n + place) % (place + 2)}" for n in row]
            for place, name in enumerate(
                ["class", "性別", "a b", "a-b", "C1", "c1", "self"]
            )
        }
    )
    frame["marital-status"] = np.array(["x;y", "y", "", "x;;z"])[row % 4]
    frame["probability"] = np.where(row % 5 == 2, np.nan, row / 3)
    frame["1st price"] = [["1.5", "?", "3", " ? "][n % 4] for n in row]
    frame["texts"] = np.array(["p", "q", "r"])[row // 8]
    frame["from"] = row % 7
    frame["click"] = row % 2
    return frame


@pytest.fixture(scope="module")
def served(frame, tmp_path_factory):
    """The model, its vocabulary, and a version of it that is loaded."""
    fields = [
        deepfm_tf.CategoricalField(name, min_count=1)
        for name in ("class", "性別", "a b", "a-b", "C1", "c1", "self", "texts")
    ]
    fields[4:4] = [
        deepfm_tf.MultiValuedField("marital-status", separator=";"),
        deepfm_tf.NumericField("probability"),
        deepfm_tf.NumericField("1st price", scaling="none"),
    ]
    fields.append(deepfm_tf.BucketizedField("from", num_buckets=3))
    schema = deepfm_tf.Schema(tuple(fields), "click", missing_values=("?",))
    vocabulary = deepfm_tf.fit_vocabulary(frame, schema)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    randomize(model)
    path = deepfm_tf.export_saved_model(
        model,
        vocabulary,
        tmp_path_factory.mktemp("names"),
        context_fields=CONTEXT,
        defaults={"probability": 40, "a b": "v1"},
    )
    servable = Servable(path)
    yield model, vocabulary, ToyModels(servable)
    servable.close()


@pytest.fixture(scope="module")
def loaded(served):
    return tf.saved_model.load(served[2].servable.path)


@pytest.fixture(scope="module")
def client(served):
    return InProcessClient(handled_by(served[2]), max_rows=10)


@pytest.fixture
def expected(served, frame):
    """The model's probabilities of rows, as training reads them."""
    model, vocabulary, _ = served

    def probabilities(rows=frame):
        inputs = deepfm_tf.encode(rows, vocabulary)
        return model.predict(inputs, verbose=0)["probability"][:, 0]

    return probabilities


def test_the_signature_tells_the_input_of_each_field(served, loaded):
    *_, models = served
    signature = definitions(models.servable.path)["fields"]

    answer = loaded.signatures["fields"](rows=tf.constant(["", "x"]))["fields"]

    assert signature.method_name == "tensorflow/serving/predict"
    one, other = answer.numpy().tolist()
    assert one == other  # a row for each, so that requests can be batched
    told = json.loads(one)
    assert told["format"] == 1
    assert {f["name"]: f["input"] for f in told["fields"]} == INPUTS
    assert told["fields"][4:7] == [
        {
            "name": "marital-status",
            "input": "marital_status",
            "type": "multi_valued",
            "separator": ";",
            "weight_separator": None,
            "training": {"missing": 6, "rows": 24, "unseen": 0, "values": 30},
        },
        {
            "name": "probability",
            "input": "probability",
            "type": "numeric",
            "missing_values": ["?"],
            "default": 40,
            # Either end of the range is as likely a fresh number's.
            "training": {
                **{"missing": 5, "rows": 24, "unseen": 2, "values": 19},
                **{"minimum": 0, "maximum": pytest.approx(23 / 3)},
            },
        },
        {
            "name": "1st price",
            "input": "field_1st_price",
            "type": "numeric",
            "missing_values": ["?"],
            "training": {
                **{"missing": 12, "rows": 24, "unseen": 2, "values": 12},
                **{"minimum": 1.5, "maximum": 3.0},
            },
        },
    ]


def test_an_older_release_knows_the_operations(served):
    assert new_among(operations(served[2].servable.path)) == {}


def test_the_model_card_tells_the_same(served):
    path = served[2].servable.path

    card = json.loads((path / "assets.extra" / "model_card.json").read_text())

    assert {f["name"]: f["input"] for f in card["fields"]} == INPUTS
    assert set(card["signatures"]["serving_default"]["inputs"]) == {
        *INPUTS.values()
    }


def test_the_client_scores_the_users_own_frame(client, frame, expected):
    rows = frame[frame.columns[::-1]]

    predicted = client.predict(rows)
    by_input = client.predict(rows.rename(columns=INPUTS))
    regressed = client.regress(rows)
    classes = client.classify(rows)

    for came in (predicted, by_input, regressed, classes.scores[:, 1]):
        np.testing.assert_allclose(came, expected(), atol=1e-6)


def test_an_example_may_have_the_names_of_the_inputs(loaded, frame, expected):
    rows = frame.drop(columns=["click", "1st price", "from"])
    examples = []
    for number, row in enumerate(rows.to_dict("records")):
        example = tf.train.Example()
        for field, value in row.items():
            # By turns, as two clients do.
            name = INPUTS[field] if number % 2 else field
            feature = example.features.feature[name]
            if field == "probability":
                feature.float_list.value.append(value)
            else:
                feature.bytes_list.value.append(value.encode())
        examples.append(example.SerializeToString())

    served_examples = loaded.signatures["regress"](inputs=tf.constant(examples))

    rows = frame.assign(**{"1st price": "?", "from": np.nan})
    np.testing.assert_allclose(
        served_examples["outputs"], expected(rows), atol=1e-6
    )
    example = tf.train.Example()
    example.features.feature["marital_status"].bytes_list.value.extend(
        [b""] * 2
    )
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="marital_status must have one"
    ):
        loaded.signatures["regress"](
            inputs=tf.constant([example.SerializeToString()])
        )


def test_lists_are_read_as_texts_are(client, frame, expected):
    lists = frame["marital-status"].str.split(";")

    rows = frame.assign(**{"marital-status": lists})
    predicted = client.predict(rows)
    regressed = client.regress(rows)

    np.testing.assert_allclose(predicted, expected(), atol=1e-6)
    np.testing.assert_allclose(regressed, expected(), atol=1e-6)


def test_the_command_compares_the_rows_with_training(
    client, frame, tmp_path, monkeypatch, capsys
):
    class Connected(contextlib.nullcontext):
        """As `PredictClient` is called."""

        def __init__(self, *_, **__):
            super().__init__(self)

        def metadata(self, **_):
            return client.metadata()

        def predict(self, rows, signature, outputs=None, **_):
            return client.predict(rows, Target(signature), outputs)

    monkeypatch.setattr(
        "deepfm_tf.serving.client.client.PredictClient", Connected
    )
    rows = pd.concat([frame] * 5)
    rows.assign(texts=" " + rows["texts"]).to_csv(tmp_path / "r.csv")

    words = [f"--input={tmp_path}/r.csv", f"--output={tmp_path}/out.csv"]
    assert predict_command.main(words) == 0

    told = capsys.readouterr().err
    assert "r.csv differ from those of the training data" in told
    assert told.count("Field '") == 1
    assert "Field 'texts': 100 % of the values are unseen" in told
    assert "such as ' p', ' q', ' r'" in told
    assert len(pd.read_csv(tmp_path / "out.csv")) == 120


def test_candidates_are_ranked(client, frame, expected):
    context = {"class": "v1", "性別": "v2"}
    candidates = frame.drop(columns=list(CONTEXT))

    ranked = client.rank(context, candidates)

    right = expected(frame.assign(**context))
    np.testing.assert_allclose(ranked, right, atol=1e-6)
    with pytest.raises(ValueError, match="'a b' differs between candidates"):
        client.rank({**context, "a b": "v0"}, candidates.drop(columns="a b"))


@pytest.mark.parametrize("method", ["predict", "regress"])
def test_only_what_has_a_default_may_be_left_out(
    method, client, frame, expected
):
    ask = getattr(client, method)

    came = ask(frame.drop(columns=["a b", "probability"]))

    right = expected(frame.assign(**{"a b": "v1", "probability": 40}))
    np.testing.assert_allclose(came, right, atol=1e-6)
    with pytest.raises(ValueError, match="needs the columns 'from', which"):
        ask(frame.drop(columns=["from"]))
    with pytest.raises(ValueError, match="Did you mean 'a  b'"):
        ask(frame.rename(columns={"a b": "a  b"}))


def test_rest_takes_the_names_of_the_inputs(served, frame, expected):
    calls = RestCalls(served[2])
    rows = frame.drop(columns="click").rename(columns=INPUTS)
    # JSON has no text for a missing number; NaN is TensorFlow Serving's.
    rows["field_1st_price"] = pd.to_numeric(
        rows["field_1st_price"], errors="coerce"
    )
    body = json.dumps({"instances": rows.to_dict("records")}).encode()

    deadline = time.monotonic() + 10
    answer = calls.answer("predict", ModelSpec(name="toy"), body, deadline)

    right = expected()
    np.testing.assert_allclose(
        json.loads(answer)["predictions"], right, atol=1e-6
    )


@pytest.mark.parametrize("is_told", [True, False])
def test_a_signature_that_tells_other_inputs_is_not_published(is_told):
    inputs = {"a_b": None, "site": None} if is_told else {"a_b": None}
    signature = types.SimpleNamespace(structured_input_signature=((), inputs))
    loaded = types.SimpleNamespace(signatures={"serving_default": signature})
    told = [{"name": "site", "input": "site"}, {"name": "a b", "input": "a_b"}]
    outputs = {"fields": np.array([json.dumps({"fields": told})], object)}

    if is_told:
        return check_fields(loaded, outputs)
    with pytest.raises(RuntimeError, match="'fields' must list the inputs"):
        check_fields(loaded, outputs)
