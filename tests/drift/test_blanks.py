"""Blanks around values of training data are told."""

import warnings

import pytest

import deepfm_tf
from deepfm_tf import CategoricalField, MultiValuedField, Schema
from deepfm_tf.drift import warn_of_blanks


def warn(*fields, **columns):
    rows = len(next(iter(columns.values())))
    schema = Schema(fields, "y")
    data = {**columns, "y": [n % 2 for n in range(rows)]}
    warn_of_blanks(deepfm_tf.fit_vocabulary(data, schema))


def test_values_that_all_begin_with_a_blank_are_told():
    fields = [CategoricalField(name, min_count=1) for name in "abcde"]
    columns = {name: [" x", " y", ""] for name in "abcd"}

    with pytest.warns(UserWarning, match="values of a, b, c and 1 more begin"):
        warn(*fields, **columns, e=["x", "y", "z"])


def test_a_value_beside_itself_with_blanks_is_told():
    tags = MultiValuedField("tags", min_count=1)

    with pytest.warns(UserWarning, match="2 of 'tags', such as") as caught:
        warn(tags, tags=["a|b", "a| b|b\u00a0", "a|b"])

    assert len(caught) == 1


def test_blanks_that_make_no_other_value_are_not_told():
    site = CategoricalField("site", min_count=1)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn(site, site=["a b", " c", "d "])


def test_training_data_are_told_of_when_prepared_and_reused(tmp_path):
    schema = Schema((CategoricalField("site", min_count=1),), "y")
    data = {"site": ["a", "a ", "b"], "y": [0, 1, 0]}

    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of 'site', such as 'a '"):
            prepared = deepfm_tf.prepare(data, tmp_path / "p", schema=schema)

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # told once, of training
        deepfm_tf.prepare(data, tmp_path / "q", vocabulary=prepared.vocabulary)
