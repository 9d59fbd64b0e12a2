"""Vectors of values, read from a model and given to one."""

import keras
import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.explain import export_embeddings
from deepfm_tf.models import embeddings_of, set_embeddings
from deepfm_tf.vocabulary import Vocabulary
from tests.catalogue import build

FIELDS = (
    deepfm_tf.CategoricalField("site"),
    deepfm_tf.CategoricalField("item", missing="nothing"),
    deepfm_tf.MultiValuedField("seen", share_with="item"),
    deepfm_tf.CategoricalField("user", hash_buckets=5),
    deepfm_tf.NumericField("price", scaling="none"),
)
# Rows: site 0-3 (OOV, missing, x, y), item 4-7 (OOV, 7, 8, 9).
VOCABULARY = Vocabulary(
    deepfm_tf.Schema(FIELDS, "click"),
    {"site": ["x", "y"], "item": ["7", "8", "9"]},
    {"item": {"whole_numbers": True}, "price": {}, "site": {}, "user": {}},
)


def numbered():
    """A model whose row r of the table is [100 r, 100 r + 1, r]."""
    model = build("FM", VOCABULARY.schema, embedding_dim=2)
    rows = np.arange(model.shared_embedding.embeddings.shape[0])[:, None]
    table = np.hstack([100 * rows, 100 * rows + 1, rows])
    model.shared_embedding.embeddings.assign(table)
    return model


def test_vectors_of_values_come_in_the_order_asked_for():
    found = embeddings_of(numbered(), "item", VOCABULARY, ["9", 7.0, "new"])

    assert found.values.tolist() == ["9", "7", "new"]
    assert found.ids.tolist() == [3, 1, 0]
    assert found.vectors.tolist() == [[700, 701], [500, 501], [400, 401]]
    assert found.first_order.tolist() == [7, 5, 4]


def test_of_a_field_that_shares_rows_they_are_the_owner_s():
    found = embeddings_of(numbered(), "seen", VOCABULARY)

    assert found.values.tolist() == ["7", "8", "9"]
    assert found.vectors[:, 0].tolist() == [500, 600, 700]


def test_missing_has_a_row_where_it_is_a_value():
    model = numbered()

    found = embeddings_of(model, "site", VOCABULARY, ["y", None, ""])

    assert found.ids.tolist() == [3, 1, 1]
    assert found.vectors[:, 0].tolist() == [300, 100, 100]
    with pytest.raises(ValueError, match="`values` must not be missing.*item"):
        embeddings_of(model, "item", VOCABULARY, [None])


@pytest.mark.parametrize("kind", ["dict", "array", "frame", "file"])
def test_vectors_are_set_by_value_and_counted(kind, tmp_path):
    model = numbered()
    before = np.array(model.shared_embedding.embeddings)
    source = {
        "value": ["9", "z", "7.0"],
        "vector": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]],
    }
    if kind == "array":
        source["vector"] = np.array(source["vector"])
    elif kind != "dict":
        source = pd.DataFrame(source)
        source["vector"] = source["vector"].map(np.array)
    if kind == "file":
        source.to_parquet(tmp_path / "embeddings.parquet")
        source = tmp_path / "embeddings.parquet"

    told = set_embeddings(model, "seen", VOCABULARY, source)

    after = np.array(model.shared_embedding.embeddings)
    before[7, :2], before[5, :2] = [1, 2], [5, 6]
    np.testing.assert_array_equal(after, before)
    assert (told.num_set, told.drawn, told.unknown) == (2, ("8",), ("z",))
    assert str(told) == (
        "'seen': 2 of 3 values received a pretrained vector; 1 keep their "
        "initial vector ('8'); 1 vectors are for values that are not in the "
        "vocabulary ('z')."
    )


def test_what_export_embeddings_wrote_is_read_again(tmp_path):
    model = numbered()
    export_embeddings(model, tmp_path, VOCABULARY)
    other = build("DeepFM", VOCABULARY.schema, embedding_dim=2)

    for field in ("site", "item"):
        told = set_embeddings(
            other, field, VOCABULARY, tmp_path / "embeddings.parquet"
        )
        assert not (told.drawn or told.unknown)

    tables = (np.array(m.shared_embedding.embeddings) for m in (model, other))
    first, second = (table[:8, :2] for table in tables)
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({"value": ["7"], "vector": [[1.0] * 3]}, "must hold 2 numbers.*: 3"),
        ({"value": ["7"], "vector": [None]}, "must hold 2 numbers.*: 0"),
        ({"value": ["7"], "vector": [[1.0, np.nan]]}, "finite numbers.*row 0"),
        (
            {"value": ["7", "7"], "vector": [[1.0, 2.0]] * 2},
            "one vector for each value. Received two for '7'",
        ),
        (
            {"value": ["7", "7.0"], "vector": [[1.0, 2.0]] * 2},
            r"two for '7.0' \(also written '7'\)",
        ),
        ({"value": ["a"], "vector": [[1.0, 2.0]]}, "none of which.*'a'.*'7'"),
        ({"value": ["7"], "vector": ["1 2"]}, "must hold 2 numbers.*: 0"),
        (
            {"value": ["7", "8"], "vector": [[1.0, 2.0]]},
            "for each value.*2 values, 1 vectors",
        ),
        ({"value": ["a"]}, "columns `value` and `vector`.*: value"),
        (__file__, "`source` must be a Parquet file.*test_field_vectors.py"),
    ],
)
def test_vectors_that_do_not_fit_are_refused_and_nothing_is_set(
    source, message
):
    model = numbered()
    before = np.array(model.shared_embedding.embeddings)

    with pytest.raises(ValueError, match=message):
        set_embeddings(model, "item", VOCABULARY, source)

    np.testing.assert_array_equal(model.shared_embedding.embeddings, before)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("user", "'user', hashed into 5 buckets"),
        ("price", "'price', a numeric field"),
        ("itm", "no field 'itm'. Did you mean 'item'?"),
    ],
)
def test_fields_without_rows_by_value_are_refused(field, message):
    for function in (embeddings_of, set_embeddings):
        with pytest.raises(ValueError, match=message):
            function(numbered(), field, VOCABULARY, ["7"])


def test_a_text_in_place_of_values_is_refused():
    with pytest.raises(TypeError, match=r"a list of values.*'9'. Give \['9'\]"):
        embeddings_of(numbered(), "item", VOCABULARY, "9")


def test_neither_way_touches_the_whole_table(monkeypatch):
    model, vectors = numbered(), {"value": ["9"], "vector": [[1.0, 2.0]]}

    def whole(*_, **__):
        raise AssertionError("the whole table")

    with monkeypatch.context() as patch:
        for name in ("assign", "numpy", "__array__"):
            patch.setattr(keras.Variable, name, whole)
        set_embeddings(model, "item", VOCABULARY, vectors)
        found = embeddings_of(model, "item", VOCABULARY, ["9", "8"])

    assert found.vectors.tolist() == [[1, 2], [600, 601]]
    assert found.first_order.tolist() == [7, 6]


def test_a_vocabulary_of_other_rows_is_refused():
    other = Vocabulary(
        VOCABULARY.schema, {"site": ["x"], "item": ["7"]}, VOCABULARY.statistics
    )

    with pytest.raises(ValueError, match="`vocabulary` must be the one"):
        embeddings_of(numbered(), "item", other)


def test_a_linear_model_has_weights_and_no_vectors():
    model = build("LogisticRegression", VOCABULARY.schema)
    vectors = {"value": ["7"], "vector": [[1.0]]}

    assert embeddings_of(model, "item", VOCABULARY).vectors.shape == (3, 0)
    with pytest.raises(ValueError, match="`model` must have vectors"):
        set_embeddings(model, "item", VOCABULARY, vectors)
    with pytest.raises(ValueError, match="`freeze_embeddings` must be empty"):
        model.freeze_embeddings = ["item"]


def test_a_model_says_which_vectors_do_not_learn():
    model = build("FM", VOCABULARY.schema, freeze_embeddings=["seen"])
    table = model.shared_embedding.embeddings

    assert table.frozen_rows == ((4, 8),)
    clone = type(model).from_config(model.get_config())
    assert clone.freeze_embeddings == ("seen",)
    assert clone.shared_embedding.embeddings.frozen_rows == ((4, 8),)
    model.freeze_embeddings = "site"
    assert (model.freeze_embeddings, table.frozen_rows) == (
        ("site",),
        ((0, 4),),
    )
    model.freeze_embeddings = ()
    assert table.frozen_rows == ()


@pytest.mark.parametrize(
    ("name", "message"), [("x", "no field 'x'"), ("price", "a numeric field")]
)
def test_only_fields_with_ids_can_be_frozen(name, message):
    with pytest.raises(ValueError, match=message):
        build("FM", VOCABULARY.schema, freeze_embeddings=[name])
