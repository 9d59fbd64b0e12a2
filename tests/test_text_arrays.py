"""Texts in Arrow are the texts that Python has."""

import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from deepfm_tf.text_arrays import (
    PythonTexts,
    as_texts,
    hash_texts,
    joined,
    texts_of_lines,
)

EXAMPLES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
TEXTS = ["", "a", "é\N{SNOWMAN}", "x" * 8, "x" * 9, "y" * 128, "y" * 129]


@pytest.mark.parametrize(
    "values",
    [
        TEXTS,
        np.array(TEXTS, dtype=object),
        np.array(TEXTS),
        pa.array(["before", *TEXTS])[1:],
        pa.chunked_array([TEXTS[:3], TEXTS[3:]]),
        pa.array(TEXTS).dictionary_encode(),
    ],
    ids=["list", "objects", "numpy", "slice", "chunks", "dictionary"],
)
def test_texts_of_every_layout_are_read(values):
    assert as_texts(values).to_pylist() == TEXTS


@pytest.mark.parametrize(
    "values", [(), np.empty(0, object), pa.chunked_array([], pa.string())]
)
def test_no_texts_are_texts_too(values):
    assert as_texts(values).type == pa.large_string()
    assert len(hash_texts(as_texts(values))) == 0
    assert b"".join(joined(as_texts(values), behind="\n")) == b""


def test_python_texts_are_made_of_those_in_arrow():
    texts = PythonTexts({"a": as_texts(["x", "y"])})

    assert {name: list(found) for name, found in texts.items()} == {
        "a": ["x", "y"]
    }
    assert texts["a"].dtype == object
    assert "b" not in texts and len(texts) == 1


@settings(max_examples=20 * EXAMPLES, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_lines_are_split_at_line_feeds_alone(texts):
    lines = [text.replace("\n", "\r") for text in texts]
    data = "".join(f"{line}\n" for line in lines).encode()

    found = texts_of_lines(data + b"cut off")

    assert found.to_pylist() == lines
    assert b"".join(joined(found, behind="\n")) == data


def test_lines_that_are_not_utf8_are_refused():
    with pytest.raises(UnicodeDecodeError):
        texts_of_lines(b"a\n\xff\n")


def test_a_slice_is_joined_without_the_rest():
    texts = as_texts(["before", "a", "b", "after"])[1:3]

    assert b"".join(joined(texts)) == b"ab"
    assert b"".join(joined(texts, "<", ">")) == b"<a><b>"


def test_the_hash_of_a_text_depends_on_nothing_beside_it():
    alone = [hash_texts(as_texts([text]))[0] for text in TEXTS]

    together = hash_texts(as_texts(["before", *TEXTS, "after"])[1:-1])

    assert together.tolist() == alone


def test_texts_that_differ_anywhere_have_hashes_of_their_own():
    texts = ["x" * n for n in range(200)]
    texts += [
        "x" * place + "y" + "x" * (length - place - 1)
        for length in (1, 7, 8, 9, 16, 128, 129, 150)
        for place in range(length)
    ]
    texts = sorted({*texts, *map(str, range(100_000)), "a", "a\0", "\0a"})

    hashes = hash_texts(as_texts(texts))

    assert len(np.unique(hashes)) == len(texts)
    # As the first bits choose a part: each has about its share.
    parts = np.bincount((hashes >> np.uint64(58)).astype(int), minlength=64)
    np.testing.assert_allclose(parts, len(texts) / 64, rtol=0.15)
