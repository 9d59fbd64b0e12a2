"""Tables in 16 bits: half the size, and the cost is told."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.export.table_dtype import cost_of_rounding, rounded_table
from tests.catalogue import build
from tests.test_conformance import randomize

FIELDS = ("a", "b", "c")
DATA = {name: ["u", "v", "w", ""] * 4 for name in FIELDS} | {"y": [0, 1] * 8}


HALVED = deepfm_tf.calibration.Calibration(
    "platt", {"slope": 0.5, "intercept": -1.0}
)


@pytest.fixture(scope="module")
def hashed():
    fields = (
        deepfm_tf.CategoricalField(name, hash_buckets=3000) for name in FIELDS
    )
    return deepfm_tf.fit_vocabulary(DATA, deepfm_tf.Schema(tuple(fields), "y"))


@pytest.fixture(scope="module")
def model(hashed):
    """What an export whose table is not rounded says, too."""
    model = build("DeepFM", hashed.schema)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def exported(model, hashed, tmp_path_factory):
    """A version whose probabilities are calibrated, too."""
    return deepfm_tf.export_saved_model(
        model,
        hashed,
        tmp_path_factory.mktemp("rounded"),
        context_fields=["a"],
        table_dtype="bfloat16",
        calibration=HALVED,
        evaluation_data=deepfm_tf.dataset_from_memory(DATA, hashed, 5),
    )


@pytest.fixture(scope="module")
def served(exported):
    """What a signature gives for `DATA`; of `rank`, for the first context."""
    loaded = tf.saved_model.load(exported)

    def ask(signature):
        inputs = {
            n: tf.constant(
                DATA[n][:1] if (signature, n) == ("rank", "a") else DATA[n]
            )
            for n in FIELDS
        }
        return loaded.signatures[signature](**inputs)["probability"].numpy()

    return ask


@pytest.fixture(scope="module")
def rounded(model):
    """The model with a table that numpy has rounded to bfloat16, as float32."""
    rounded = type(model).from_config(model.get_config())
    rounded.set_weights(model.get_weights())
    table = rounded.embedding_layer.embeddings
    bits = table.numpy().view(np.uint32).astype(np.uint64)
    bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    table.assign(bits.astype(np.uint32).view(np.float32))
    return rounded


def calibrated(model, hashed, signature="serving_default"):
    """What `served` gives, of a model itself."""
    a = DATA["a"][:1] * 16 if signature == "rank" else DATA["a"]
    packed = deepfm_tf.encode({**DATA, "a": a}, hashed)
    p = model(packed)["probability"].numpy()[:, 0]
    odds = np.exp(-1.0) * np.sqrt(p / (1 - p))
    return odds / (1 + odds)


def test_the_variables_take_half_the_space(exported, model):
    size = os.path.getsize(
        exported / "variables" / "variables.data-00000-of-00001"
    )

    assert size < 0.53 * 4 * model.count_params()


@pytest.mark.parametrize("signature", ["serving_default", "rank"])
def test_probabilities_move_a_little(signature, served, model, hashed):
    difference = served(signature) - calibrated(model, hashed, signature)

    # More than by the rounding of another order.
    assert 1e-5 < np.abs(difference).max() < 0.02


@pytest.mark.parametrize("signature", ["serving_default", "rank"])
def test_what_was_rounded_is_calibrated(signature, served, rounded, hashed):
    np.testing.assert_allclose(
        served(signature), calibrated(rounded, hashed, signature), atol=1e-6
    )


def test_the_card_says_how_far(exported, served, model, hashed):
    path = exported / "assets.extra" / "model_card.json"
    table = json.loads(path.read_text())["table"]

    moved = served("serving_default") - calibrated(model, hashed)
    assert (table["dtype"], table["rows"]) == ("bfloat16", 16)
    np.testing.assert_allclose(
        table["largest_difference"], np.abs(moved).max(), atol=1e-6
    )
    assert 0 < abs(table["log_loss_change"]) < 0.02


@pytest.mark.parametrize(
    ("dtype", "epsilon"), [("bfloat16", 2**-8), ("float16", 2**-11)]
)
def test_weights_are_rounded_to_the_nearest(dtype, epsilon, hashed):
    model = build("FM", hashed.schema)
    randomize(model)
    exact = np.array(model.shared_embedding.embeddings)

    table = rounded_table(model, dtype)

    assert table.dtype == dtype
    error = np.abs(tf.cast(table, tf.float32) - exact)
    assert error.max() > 0
    assert (error <= epsilon * np.abs(exact) + 1e-7).all()


def test_a_weight_beyond_float16_is_refused(hashed):
    model = build("LogisticRegression", hashed.schema)
    model.set_weights([np.full(w.shape, 1e5) for w in model.get_weights()])

    with pytest.raises(ValueError, match="65504.*100000.*'bfloat16'"):
        rounded_table(model, "float16")
    assert rounded_table(model, "bfloat16").dtype == tf.bfloat16


def test_the_cost_is_counted_over_all_batches():
    batches = [
        ({"p": np.array([0.5, 0.25])}, np.array([[1], [0]])),
        ({"p": np.array([0.8])}, np.array([[1]])),
    ]

    cost = cost_of_rounding(
        lambda packed: packed["p"], lambda packed: packed["p"] + 0.1, batches
    )

    before = -np.mean(np.log([0.5, 0.75, 0.8]))
    after = -np.mean(np.log([0.6, 0.65, 0.9]))
    np.testing.assert_allclose(cost.pop("log_loss_change"), after - before)
    np.testing.assert_allclose(cost.pop("log_loss"), after)
    np.testing.assert_allclose([*cost.values()], [3, 0.1, 0.1], rtol=1e-12)


def test_example_weights_count_in_the_log_loss():
    p = np.array([0.5, 0.25])
    batches = [({"p": p}, np.array([[1], [0]]), np.array([[3], [1]]))]

    cost = cost_of_rounding(
        lambda packed: packed["p"], lambda packed: packed["p"] + 0.1, batches
    )

    after = -(3 * np.log(0.6) + np.log(0.65)) / 4
    np.testing.assert_allclose(cost["log_loss"], after)
    assert cost["rows"] == 2


def test_the_cost_is_that_of_what_is_served():
    halve = deepfm_tf.calibration.Calibration(
        "temperature", {"temperature": 0.5}
    )
    batches = [(np.array([0.5]), np.array([[1]]))]

    cost = cost_of_rounding(lambda p: p, lambda p: p + 0.1, batches, halve)

    # Odds of 1.5, squared.
    moved = 2.25 / 3.25
    np.testing.assert_allclose(cost["largest_difference"], moved - 0.5)
    np.testing.assert_allclose(cost["log_loss"], -np.log(moved))


def test_without_labels_there_is_no_log_loss():
    cost = cost_of_rounding(
        lambda packed: packed, lambda packed: packed, [(np.ones(2), None)]
    )

    assert cost == {
        "rows": 2,
        "largest_difference": 0.0,
        "mean_difference": 0.0,
    }
