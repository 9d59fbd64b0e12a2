"""Terms of groups of fields, joined, give what the whole model gives."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.models import FieldTerms, JoinedTerms, add_terms
from tests import reference
from tests.catalogue import MODELS, build
from tests.test_conformance import randomize

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.MultiValuedField(
            "seen",
            max_length=3,
            pooling="attention",
            candidate="item",
            share_with="item",
        ),
        deepfm_tf.CategoricalField("item", vocabulary_size=7),
        deepfm_tf.CategoricalField("user", vocabulary_size=4),
        deepfm_tf.NumericField("price"),
    ),
    label="clicked",
)
# Columns of `ids`.
COLUMNS = {"seen": [0, 1, 2], "item": [3], "user": [4]}


def draw(num_rows):
    random = np.random.default_rng(5)
    ids = random.integers(-1, [7, 7, 7, 7, 4], (num_rows, 5))
    values = random.normal(size=(num_rows, 1))
    return {"ids": ids.astype("int32"), "values": values.astype("float32")}


def model_of(name, **arguments):
    model = build(name, SCHEMA, **arguments)
    randomize(model)
    return model


def terms_of(model, names, packed):
    """Terms of some fields, from packed inputs of all."""
    columns = [c for n, cs in COLUMNS.items() if n in names for c in cs]
    own = {"ids": packed["ids"][:, columns]} if columns else {}
    if "price" in names:
        own["values"] = packed["values"]
    return FieldTerms(model, names)(own)


@pytest.mark.parametrize(
    ("name", "context"),
    [
        *((name, ["seen"]) for name in MODELS),
        ("DeepFM", ["seen", "user"]),
        ("NFM", ["item", "price"]),
        ("WideAndDeep", ["seen", "item"]),
    ],
)
def test_histories_and_candidates_may_be_of_either_group(name, context):
    model, packed = model_of(name), draw(9)
    others = [f.name for f in SCHEMA.fields if f.name not in context]
    repeated = {key: array.copy() for key, array in packed.items()}
    for field in context:
        if field == "price":
            repeated["values"][:] = packed["values"][0]
        else:
            repeated["ids"][:, COLUMNS[field]] = packed["ids"][
                0, COLUMNS[field]
            ]
    one = {key: array[:1] for key, array in packed.items()}

    terms = add_terms(
        terms_of(model, context, one), terms_of(model, others, packed)
    )
    logits = JoinedTerms(model)(terms)

    expected = model(repeated, training=False)["probability"]
    np.testing.assert_allclose(tf.sigmoid(logits), expected, atol=1e-6)


def test_an_fm_s_logit_is_the_papers_sum_with_the_history_attended():
    model, packed = model_of("FM"), draw(6)
    table = np.array(model.shared_embedding.embeddings, "float64")
    (unit,) = model.shared_embedding.attention_units
    ids, price = packed["ids"], packed["values"][:, 0]
    expected = []
    for row in range(6):
        seen = ids[row, :3]
        known = seen[seen >= 0]
        item, user = (
            np.zeros(4) if id_ < 0 else table[start + id_]
            for id_, start in ((ids[row, 3], 0), (ids[row, 4], 7))
        )
        attended = reference.target_attention(
            table[None, np.maximum(seen, 0), :3],
            item[None, :3],
            [seen >= 0],
            *(np.array(weight) for weight in unit.weights),
        )[0]
        first = sum(table[known, 3]) / max(len(known), 1)
        vectors = [attended, item[:3], user[:3], price[row] * table[11, :3]]
        pairs = sum(
            float(vectors[i] @ vectors[j]) for i in range(4) for j in range(i)
        )
        first += item[3] + user[3] + price[row] * table[11, 3]
        expected.append(first + pairs + float(model.linear_term.bias))

    logits = JoinedTerms(model)(
        terms_of(model, ["seen", "item", "user", "price"], packed)
    )

    np.testing.assert_allclose(logits[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(
        model(packed, training=False)["probability"], tf.sigmoid(logits), 1e-5
    )


def test_wide_pyramids_multiply_numbers_by_factors_all_the_same(monkeypatch):
    monkeypatch.setattr("deepfm_tf.models.deepfm.FACTORED_UNITS", 8)
    model, packed = model_of("DeepFM"), draw(6)
    terms = terms_of(model, ["seen", "item", "user", "price"], packed)
    assert model.shared_embedding.factored

    np.testing.assert_allclose(
        model(packed, training=False)["probability"],
        tf.sigmoid(JoinedTerms(model)(terms)),
        atol=1e-5,
    )


def test_a_keras_file_keeps_the_attention(tmp_path):
    model, packed = model_of("NFM"), draw(6)
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert loaded.schema == SCHEMA
    np.testing.assert_array_equal(
        loaded(packed, training=False)["probability"],
        model(packed, training=False)["probability"],
    )


def test_terms_of_one_group_alone_stay():
    assert add_terms({"a": 1, "b": 2}, {"b": 3, "c": 4}) == {
        "a": 1,
        "b": 5,
        "c": 4,
    }
