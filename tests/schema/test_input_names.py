"""The mapping from fields to the inputs of an export."""

import hashlib
import keyword
import os
import re

import pytest
from hypothesis import given, settings, strategies as st

from deepfm_tf import CategoricalField, Schema
from deepfm_tf.schema.input_names import input_names

EXAMPLES = 50 * int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
# Names that clash in many ways, beside any text at all.
CLOSE = st.text(alphabet="aAéEb1_- .", min_size=1, max_size=4)
NAMES = st.one_of(
    CLOSE,
    st.sampled_from([*keyword.kwlist, "self", "field_class", "Class", "a_b_2"]),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
)
SOME = st.lists(NAMES, min_size=1, max_size=8, unique=True)


@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("site", "site"),
        ("C1_x__2", "C1_x__2"),
        ("probability", "probability"),
        ("inputs", "inputs"),
        ("marital-status", "marital_status"),
        ("hours per week", "hours_per_week"),
        ("a.b/c$", "a_b_c_"),
        ("1st", "field_1st"),
        ("_x", "field__x"),
        ("-", "field__"),
        ("self", "field_self"),
        ("class", "field_class"),
        ("None", "field_None"),
        ("Self", "Self"),
        ("match", "match"),
        ("性別", "u6027u5225"),
        ("prix_€", "prix_u20ac"),
        ("😀", "u1f600"),
    ],
)
def test_a_name_alone_is_readable(field, name):
    assert input_names([field]) == {field: name}


def test_names_that_would_be_one_are_told_apart_by_their_digests():
    names = input_names(["a b", "a-b"])

    assert names == {
        "a b": "a_b_c8687a08",
        "a-b": "a_b_" + hashlib.sha256(b"a-b").hexdigest()[:8],
    }


def test_a_plain_name_stays_beside_one_that_would_become_it():
    names = input_names(["a-b", "a_b", "class", "field_class"])

    assert names["a_b"] == "a_b"
    assert names["field_class"] == "field_class"
    assert re.fullmatch("a_b_[0-9a-f]{8}", names["a-b"])
    assert re.fullmatch("field_class_[0-9a-f]{8}", names["class"])


def test_case_alone_tells_no_names_apart():
    assert input_names(["C1", "c1", "c1_2", "id", "ID"]) == {
        "C1": "C1",
        "c1": "c1_3",
        "c1_2": "c1_2",
        "id": "id",
        "ID": "ID_2",
    }
    assert set(input_names(["É", "é"]).values()) == {"u00c9", "u00e9"}


def test_a_long_name_is_cut():
    (name,) = input_names(["都" * 100]).values()

    assert len(name) == 64 + 1 + 8
    assert list(input_names(["x" * 300]).values()) == ["x" * 300]


@settings(max_examples=EXAMPLES, deadline=None)
@given(SOME)
def test_any_names_are_inputs_that_tensorflow_takes(fields):
    names = list(input_names(fields).values())

    assert list(input_names(fields)) == fields
    assert len({name.lower() for name in names}) == len(fields)
    for name in names:
        assert re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name)
        assert not keyword.iskeyword(name)
        assert name != "self"


@settings(max_examples=EXAMPLES, deadline=None)
@given(SOME)
def test_an_input_is_never_called_like_another_field(fields):
    names = input_names(fields)

    for field, name in names.items():
        assert name == field or name not in fields


@settings(max_examples=EXAMPLES, deadline=None)
@given(SOME, st.randoms())
def test_the_order_of_other_names_than_plain_ones_does_not_matter(
    fields, random
):
    names = input_names(fields)
    shuffled = list(fields)
    random.shuffle(shuffled)

    again = input_names(shuffled)

    # Plain names that differ only in case are numbered in their order.
    lower = [field.lower() for field in fields]
    for field in fields:
        if lower.count(field.lower()) == 1:
            assert again[field] == names[field]


def test_a_schema_has_one_input_for_each_field():
    names = ["class", "a b", "price"]
    schema = Schema(tuple(map(CategoricalField, names)), "click")

    assert schema.signature_names == {
        "class": "field_class",
        "a b": "a_b",
        "price": "price",
    }


def test_a_name_that_is_no_unicode_is_refused_by_the_schema():
    with pytest.raises(ValueError, match="written in UTF-8.*'a.udcff'"):
        Schema((CategoricalField("a\udcff"),), "click")
