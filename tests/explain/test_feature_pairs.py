"""The strongest pairs of features, by name."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from tests.explain.small import FIELDS, shared_model, small_rows
from tests.models.test_ctr_model import SCHEMA
from tests.test_conformance import expected_features

# Names of the ids, as `small` lays out the table.
NAMES = {"a": ["a0", "a1", "a2"], "t": [f"t{i}" for i in range(4)]}
# Row of the table -> its name; t and u share theirs.
FIRST_ROWS = {"a": 0, "t": 3, "u": 3, "x": 7, "z": 8}


def label(field, row):
    id_ = row - FIRST_ROWS[field]
    if field in ("x", "z"):
        return f"{field}=(missing)" if id_ else field
    return f"{field}={NAMES['t' if field == 'u' else field][id_]}"


def expected_pairs(model, packed):
    """Every pair of features: effect, rows, strength; by plain loops."""
    table = np.array(model.shared_embedding.embeddings, "float64")[:, :-1]
    examples = expected_features(SCHEMA, packed)
    found = {}
    for fields in examples:
        for i, j in itertools.combinations(range(5), 2):
            for (left, x), (right, y) in itertools.product(
                fields[i], fields[j]
            ):
                name = f"{label(FIELDS[i], left)} × {label(FIELDS[j], right)}"
                effect = float(table[left] @ table[right])
                entry = found.setdefault(name, [effect, 0, 0.0])
                entry[1] += 1
                entry[2] += abs(effect * x * y) / len(examples)
    return found


def data(num_rows=60):
    rows = small_rows(num_rows)
    return rows, tf.data.Dataset.from_tensor_slices(rows).batch(16)


@pytest.mark.parametrize("name", ["FM", "DeepFM"])
def test_pairs_are_those_of_loops_over_all_features(name, monkeypatch):
    monkeypatch.setattr("deepfm_tf.explain.feature_pairs.MERGE_AT", 40)
    model, (packed, dataset) = shared_model(name), data()

    pairs = deepfm_tf.explain.top_feature_pairs(
        model, dataset, NAMES, top=1000, min_rows=1
    )

    expected = expected_pairs(model, packed)
    assert {p["pair"] for p in pairs} == set(expected)
    for pair in pairs:
        effect, rows, strength = expected[pair["pair"]]
        assert pair["rows"] == rows
        assert pair["effect"] == pytest.approx(effect, abs=1e-5)
        assert pair["strength"] == pytest.approx(strength, abs=1e-5)
    strengths = [p["strength"] for p in pairs]
    assert strengths == sorted(strengths, reverse=True)


def test_rare_pairs_and_other_fields_can_be_left_out():
    model, (packed, dataset) = shared_model("FM"), data()

    pairs = deepfm_tf.explain.top_feature_pairs(
        model,
        dataset,
        NAMES,
        field_pairs=[("z", "a")],
        top=3,
        min_rows=5,
    )

    expected = {
        name: entry
        for name, entry in expected_pairs(model, packed).items()
        if name.startswith("a=") and "× z" in name and entry[1] >= 5
    }
    best = sorted(expected, key=lambda name: -expected[name][2])[:3]
    assert [p["pair"] for p in pairs] == best


def test_without_names_ids_stand_for_themselves():
    model, (_, dataset) = shared_model("FM"), data()

    pairs = deepfm_tf.explain.top_feature_pairs(
        model, dataset, field_pairs=[("a", "u")], min_rows=1
    )

    assert all(p["pair"].startswith("a=#") for p in pairs)


def test_the_rarest_pairs_go_when_there_are_too_many(monkeypatch):
    monkeypatch.setattr("deepfm_tf.explain.feature_pairs.MAX_PAIRS", 4)
    model, (packed, dataset) = shared_model("FM"), data()

    pairs = deepfm_tf.explain.top_feature_pairs(
        model, dataset, NAMES, field_pairs=[("a", "z")], min_rows=1
    )

    counts = {
        name: entry[1]
        for name, entry in expected_pairs(model, packed).items()
        if name.startswith("a=") and "× z" in name
    }
    assert len(counts) == 6
    assert [p["rows"] for p in pairs] == [counts[p["pair"]] for p in pairs]
    kept = sorted(p["rows"] for p in pairs)
    assert kept == sorted(counts.values())[-2:]


def test_a_model_without_pair_terms_is_refused():
    with pytest.raises(ValueError, match="must have pair terms.*NFM"):
        deepfm_tf.explain.top_feature_pairs(shared_model("NFM"), data()[1])


def test_a_field_that_attends_is_in_no_pair():
    item = deepfm_tf.CategoricalField("item", vocabulary_size=4)
    user = deepfm_tf.CategoricalField("user", vocabulary_size=3)
    seen = deepfm_tf.MultiValuedField(
        "seen", "|", 1, "attention", share_with="item", candidate="item"
    )
    schema = deepfm_tf.Schema((item, user, seen), "y")
    model = deepfm_tf.FM(schema, embedding_dim=2)
    rows = {"ids": np.array([[1, 2, 3]] * 10, "int32")}

    pairs = deepfm_tf.explain.top_feature_pairs(model, [rows])

    assert [pair["pair"] for pair in pairs] == ["item=#1 × user=#2"]
    with pytest.raises(ValueError, match="must not name fields.*'seen'"):
        deepfm_tf.explain.top_feature_pairs(
            model, [rows], field_pairs=[("user", "seen")]
        )


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        (("a", "b"), "no field 'b'"),
        (("a", "a"), r"different fields.*\('a', 'a'\)"),
    ],
)
def test_pairs_of_fields_are_checked(pair, message):
    with pytest.raises(ValueError, match=message):
        deepfm_tf.explain.top_feature_pairs(
            shared_model("FM"), data()[1], field_pairs=[pair]
        )
