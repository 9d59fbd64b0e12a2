"""Texts are found among values as a dict finds them."""

import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from deepfm_tf.text_arrays import as_texts
from deepfm_tf.vocabulary import value_index
from deepfm_tf.vocabulary.value_index import ValueIndex

EXAMPLES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(st.lists(TEXTS, unique=True), st.lists(TEXTS))
def test_a_text_is_found_where_it_stands(values, others):
    places = {value: place for place, value in enumerate(values)}
    texts = [*others, *values]

    found = ValueIndex(as_texts(values)).find(pa.array(texts, pa.string()))

    assert found.tolist() == [places.get(text, -1) for text in texts]


@pytest.mark.parametrize("bits", [0, 1])
def test_values_of_one_hash_are_told_apart(bits, monkeypatch):
    def few(texts):
        return np.array([len(t) % 2**bits for t in texts.to_pylist()], "u8")

    monkeypatch.setattr(value_index, "hash_texts", few)

    index = ValueIndex(as_texts(["a", "bb", "c"]), as_texts(["dd", "e"]))

    found = index.find(pa.array(["e", "dd", "c", "bb", "a", "ff", "g", ""]))
    assert found.tolist() == [4, 3, 2, 1, 0, -1, -1, -1]
    assert len(index) == 5


def test_nothing_is_found_where_there_is_nothing():
    assert ValueIndex(as_texts(())).find(pa.array(["a"])).tolist() == [-1]
    assert len(ValueIndex(as_texts(["a"])).find(pa.array([], "string"))) == 0


def test_a_missing_text_is_not_the_empty_one():
    index = ValueIndex(as_texts(["", "a"]))

    assert index.find(pa.array(["a", None, ""])).tolist() == [1, -1, 0]
