"""An export that does not say what the model says is not published."""

import functools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import deepfm_tf
from deepfm_tf.export import check as checking
from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.signatures import signatures, traced_encode
from deepfm_tf.lookup import GraphLookup
from tests.catalogue import build
from tests.test_conformance import randomize


def test_a_wrong_look_up_is_caught(small_vocabulary, tmp_path, monkeypatch):
    model = build("LogisticRegression", small_vocabulary.schema)
    randomize(model)
    right = GraphLookup.encode

    def wrong(self, *arguments):
        packed = right(self, *arguments)
        return {**packed, "ids": tf.maximum(packed["ids"], 0)}

    monkeypatch.setattr(GraphLookup, "encode", wrong)

    with pytest.raises(RuntimeError, match="nothing was published"):
        deepfm_tf.export_saved_model(model, small_vocabulary, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "outputs",
    [
        {"probability": [0.5]},
        {"outputs": [0.5]},
        {"classes": [["0", "1"]], "scores": [[0.5, 0.5]]},
    ],
)
@pytest.mark.parametrize("wrong", [False, True])
def test_every_signature_is_judged(
    outputs, wrong, model, vocabulary, monkeypatch
):
    rows = Rows.make(vocabulary, 100).head(1)
    request = Request("packed", rows, {})
    reference = functools.partial(checking.probabilities, model)
    probability = reference(rows.packed)[0]
    outputs = {name: np.array(value) for name, value in outputs.items()}
    for name in outputs.keys() - {"classes"}:
        outputs[name][..., -1] = probability + wrong * 1e-4
    monkeypatch.setattr(checking, "replay", lambda *_: outputs)
    monkeypatch.setattr(checking, "read_warm_up", lambda _: [None])
    monkeypatch.setattr(checking.tf.saved_model, "load", lambda _: None)

    if not wrong:
        return checking.check(reference, [request], "here")
    with pytest.raises(RuntimeError, match="signature 'packed': 0.*the row {"):
        checking.check(reference, [request], "here")


STEEP = deepfm_tf.calibration.Calibration(
    "isotonic",
    {"probability": [0.0, 0.3, 0.300002, 1.0], "calibrated": [0, 0.1, 0.5, 1]},
)


@pytest.mark.parametrize(
    ("probability", "served", "agrees"),
    [
        # Where the calibration jumps, so may what is right.
        (0.3, 0.25, True),
        (0.300002, 0.35, True),
        (0.3, 0.35, False),
        # Elsewhere nothing is forgiven.
        (0.15, 0.05, True),
        (0.15, 0.05 + 5e-6, False),
        (0.65, 0.75 - 5e-6, False),
        (0.15, np.nan, False),
        # Without the calibration.
        (0.15, 0.15, False),
    ],
)
def test_a_calibrated_answer_is_that_of_a_probability_close_by(
    probability, served, agrees
):
    packed = {"values": np.zeros((1, 1), np.float32)}
    request = Request("packed", Rows({"x": np.zeros(1)}, packed), {})
    arguments = (
        lambda packed: np.array([probability], np.float32),
        request,
        np.array([served]),
    )

    if agrees:
        return checking.compare(*arguments, calibration=STEEP)
    with pytest.raises(RuntimeError, match="where the model gives"):
        checking.compare(*arguments, calibration=STEEP)


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_every_request_is_judged(wrong, monkeypatch):
    packed = {"values": np.zeros((1, 1), np.float32)}
    request = Request("packed", Rows({"x": np.zeros(1)}, packed), {})
    answers = [np.array([0.5 + 0.1 * (n == wrong)]) for n in range(3)]
    monkeypatch.setattr(checking, "replay", lambda log, _: log)
    monkeypatch.setattr(
        checking,
        "read_warm_up",
        lambda _: [{"probability": a} for a in answers],
    )
    monkeypatch.setattr(checking.tf.saved_model, "load", lambda _: None)

    with pytest.raises(RuntimeError, match="'packed': 0.6 where the model"):
        checking.check(lambda _: np.array([0.5]), [request] * 3, "here")


def test_nan_is_no_agreement(model, vocabulary, monkeypatch):
    rows = Rows.make(vocabulary, 100).head(2)
    outputs = {"probability": np.array([np.nan, 0.1])}
    monkeypatch.setattr(checking, "replay", lambda *_: outputs)
    monkeypatch.setattr(checking, "read_warm_up", lambda _: [None])
    monkeypatch.setattr(checking.tf.saved_model, "load", lambda _: None)

    with pytest.raises(RuntimeError, match="'packed': nan where the model"):
        checking.check(
            functools.partial(checking.probabilities, model),
            [Request("packed", rows, {})],
            "here",
        )


@pytest.mark.parametrize(
    ("field", "values", "missing"),
    [
        # What looks like a weight is part of the value.
        (
            deepfm_tf.MultiValuedField("a", weight_separator=":"),
            ["x:y:0.5|z:1", "x:y:2"],
            (),
        ),
        # A marker of "missing" lies within the range of the numbers.
        (deepfm_tf.NumericField("a"), [-5.0, 5.0, -1.0], ("-1", "?")),
        (deepfm_tf.BucketizedField("a"), [-1.0, -1.0], ("-1",)),
    ],
)
@pytest.mark.filterwarnings("ignore:Field 'a'")
def test_odd_columns_are_read_as_training_does(
    field, values, missing, tmp_path
):
    data = {"a": values * 4, "y": ([0, 1] * 6)[: 4 * len(values)]}
    schema = deepfm_tf.Schema((field,), "y", missing_values=missing)
    vocabulary = deepfm_tf.fit_vocabulary(pd.DataFrame(data), schema)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    randomize(model)

    encode = traced_encode(GraphLookup(vocabulary, tmp_path / "v"), schema)
    serve, packed_signature, *_ = signatures(model, encode, {})

    dtype = "float32" if isinstance(values[0], float) else object
    served = serve.function({"a": tf.constant(np.array(values, dtype))})
    packed = deepfm_tf.encode({"a": values}, vocabulary)
    expected = model(packed)["probability"][:, 0]
    np.testing.assert_allclose(served["probability"], expected, atol=1e-6)
    # There is no input for what the schema does not have.
    ((matrices,), _) = (
        packed_signature.function.get_concrete_function().structured_input_signature
    )
    assert [*matrices] == ["texts" if dtype is object else "numbers"]


@pytest.mark.parametrize(("off", "agrees"), [(2e-5, True), (2e-4, False)])
def test_a_model_less_exact_than_that_may_be_further_off(off, agrees):
    rows = Rows({"x": np.zeros(2)}, {"values": np.zeros((2, 1), np.float32)})

    def reference(packed):  # 1e-6 off if a row comes alone
        return np.full(
            len(packed["values"]), 0.5 + 1e-6 * len(packed["values"])
        )

    arguments = (
        reference,
        Request("packed", rows, {}),
        reference(rows.packed) + off,
    )
    if agrees:
        checking.compare(*arguments)
        return
    with pytest.raises(RuntimeError, match="nothing was published"):
        checking.compare(*arguments)


@pytest.mark.long
def test_large_weights_that_cancel_are_no_disagreement(tmp_path):
    random = np.random.default_rng(0)
    data = {f"x{i}": random.normal(0, 30, 200) for i in range(12)}
    data |= {f"c{i}": random.choice(list("abcdef"), 200) for i in range(12)}
    fields = [
        deepfm_tf.NumericField(name)
        if name[0] == "x"
        else deepfm_tf.CategoricalField(name)
        for name in data
    ]
    schema = deepfm_tf.Schema(tuple(fields), "y")
    log = pd.DataFrame({**data, "y": [0, 1] * 100})
    vocabulary = deepfm_tf.fit_vocabulary(log, schema)
    model = deepfm_tf.DeepFM(
        vocabulary.schema, hidden_units=(30, 20, 10), batch_normalization=False
    )
    randomize(model)
    model.set_weights([4 * w for w in model.get_weights()])

    # Here a graph is 8.6e-6 off, rows by themselves 1.1e-6.
    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    assert path.name == "1"


def test_what_trains_in_16_bits_is_exported_in_float32(
    small_vocabulary, tmp_path, monkeypatch
):
    model = build("DeepFM", small_vocabulary.schema, dtype="mixed_bfloat16")
    plain = build("DeepFM", small_vocabulary.schema)
    randomize(plain)
    model.set_weights(plain.get_weights())
    judged = []

    def compare(reference, request, served, calibration=None):
        expected = plain(request.rows.packed)["probability"].numpy()[:, 0]
        judged.append(np.abs(served - expected).max())

    monkeypatch.setattr(checking, "compare", compare)

    path = deepfm_tf.export_saved_model(model, small_vocabulary, tmp_path)

    assert max(judged) <= 1e-6 and len(judged) > 6
    content = (path / "saved_model.pb").read_bytes()
    saved_model = saved_model_pb2.SavedModel.FromString(content)
    graph = str(saved_model.meta_graphs[0].graph_def)
    assert "DT_FLOAT" in graph and "DT_BFLOAT16" not in graph
