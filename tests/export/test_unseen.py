"""The signature that counts what training never saw."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.unseen import check_unseen
from tests.conftest import make_log
from tests.export.conftest import raw_of


@pytest.fixture(scope="module")
def counted(loaded):
    """Odd rows, and what the signature says of each field of theirs."""
    log = make_log(40, seed=9)
    log.loc[::7, "site"] = " s 1"  # a blank before
    log.loc[::5, "ad"] = ""
    log.loc[0, "tags"] = "nobody knows|this"
    log.loc[1, "tags"] = ""
    log.loc[2:4, "price"] = [np.nan, 1e30, -1e30]
    inputs = {k: tf.constant(v) for k, v in raw_of(log).items()}
    outputs = loaded.signatures["unseen"](**inputs)
    return log, {name: array.numpy() for name, array in outputs.items()}


def test_unseen_texts_are_counted_beside_those_that_are_known(
    counted, vocabulary
):
    log, answer = counted
    names = [field.name for field in vocabulary.schema.fields]
    for name in ("site", "ad"):
        number = names.index(name)
        known = set(
            vocabulary.values[
                vocabulary.schema.owner(vocabulary.schema.field(name)).name
            ]
        )
        for row, text in enumerate(log[name]):
            assert answer["values"][row, number] == (text != "")
            is_unseen = text != "" and text not in known
            assert answer["unseen"][row, number] == is_unseen


def test_values_of_a_list_and_numbers_out_of_range_are_counted(
    counted, vocabulary
):
    names = [field.name for field in vocabulary.schema.fields]
    tags, price = names.index("tags"), names.index("price")

    _, answer = counted

    assert answer["unseen"][:2, tags].tolist() == [2, 0]
    assert answer["values"][:2, tags].tolist() == [2, 0]
    assert answer["values"][2:5, price].tolist() == [0, 1, 1]
    assert answer["unseen"][2:5, price].tolist() == [0, 1, 1]


def test_a_wrong_count_is_not_published(vocabulary):
    rows = Rows.make(vocabulary, 5)
    shape = (5, len(vocabulary.schema.fields))
    answer = {"values": np.ones(shape), "unseen": np.ones(shape)}

    with pytest.raises(RuntimeError, match="'unseen' must count as training"):
        check_unseen(vocabulary, Request("unseen", rows, {}), answer)
