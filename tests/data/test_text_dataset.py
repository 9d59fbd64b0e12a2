"""Text straight to batches gives what preparing it gives."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.data import text_dataset
from tests.conftest import make_log, make_schema

TEXT_AND_NUMBER = ("site", "price")


@pytest.fixture(scope="module")
def two_fields(log):
    """A text and a number, where the kinds of fields are no matter."""
    fields = tuple(f for f in make_schema().fields if f.name in TEXT_AND_NUMBER)
    return deepfm_tf.fit_vocabulary(log, deepfm_tf.Schema(fields, "clicked"))


def rows_of(dataset):
    parts = [
        np.concatenate([*(v.numpy() for v in x.values()), y.numpy()], axis=1)
        for x, y in dataset
    ]
    return np.concatenate(parts)


def check_equal(source, vocabulary, text_format=None):
    expected = deepfm_tf.dataset_from_memory(
        source, vocabulary, 300, text_format=text_format
    )

    dataset = deepfm_tf.dataset_from_text(
        source, vocabulary, 300, text_format=text_format
    )

    assert dataset.element_spec == expected.element_spec
    found = list(dataset)
    assert [len(y) for _, y in found] == [len(y) for _, y in expected]
    np.testing.assert_array_equal(rows_of(found), rows_of(expected))


def in_python(monkeypatch):
    """Counts the blocks that are left to Python."""
    calls = []
    block = text_dataset.TextBlock
    monkeypatch.setattr(
        text_dataset,
        "TextBlock",
        lambda *arguments: (calls.append(1), block(*arguments))[1],
    )
    return calls


def test_all_kinds_of_fields_are_read_in_the_graph(
    tmp_path, vocabulary, monkeypatch
):
    monkeypatch.setattr(text_dataset, "BLOCK_BYTES", 7000)
    calls = in_python(monkeypatch)
    path = tmp_path / "log.txt"
    make_log(1000, seed=4).to_csv(
        path, index=False, sep="\t", lineterminator="\r\n"
    )

    check_equal(path, vocabulary, deepfm_tf.TextFormat("\t"))

    assert not calls


def test_quotes_blanks_and_odd_numbers_are_left_to_python(
    tmp_path, two_fields, monkeypatch
):
    calls = in_python(monkeypatch)
    log = make_log(500, seed=4)
    log.assign(site='a "b",\nc').to_csv(tmp_path / "quoted.csv", index=False)
    log.assign(price=" +3.0e1 ").to_csv(tmp_path / "odd.csv", index=False)
    text = log.to_csv(index=False)
    (tmp_path / "blanks.txt").write_text(text.replace(",", ",  "))

    check_equal(str(tmp_path / "*.csv"), two_fields)
    check_equal(tmp_path / "blanks.txt", two_fields, deepfm_tf.TextFormat(", "))

    assert len(calls) == 3


def test_files_may_be_many_gzipped_and_of_other_column_orders(
    tmp_path, two_fields, monkeypatch
):
    calls = in_python(monkeypatch)
    log = make_log(600, seed=5)
    log.to_csv(tmp_path / "1.csv", index=False)
    log[log.columns[::-1]].assign(more=1).to_csv(
        tmp_path / "2.csv.gz", index=False
    )

    check_equal(str(tmp_path / "*"), two_fields)

    assert not calls


def test_a_file_without_header_and_missing_values_are_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("x,NA,1\n\nNA,2.5,0\ny,-1,1\ny,,true")
    schema = deepfm_tf.Schema(
        (
            deepfm_tf.CategoricalField("a", min_count=1),
            deepfm_tf.NumericField("n", "none"),
        ),
        "y",
        missing_values=("NA", "-1"),
        positive_labels=("1", "true"),
    )
    layout = deepfm_tf.TextFormat(column_names=("a", "n", "y"))
    vocabulary = deepfm_tf.fit_vocabulary(path, schema, text_format=layout)

    dataset = deepfm_tf.dataset_from_text(
        path, vocabulary, 3, text_format=layout
    )

    # OOV is 0, missing 1, then y (twice) and x.
    expected = [[3, np.nan, 1], [1, 2.5, 0], [2, np.nan, 1], [2, np.nan, 1]]
    found = [
        np.concatenate([x["ids"], x["values"], y], axis=1) for x, y in dataset
    ]
    assert [len(batch) for batch in found] == [3, 1]
    np.testing.assert_array_equal(np.concatenate(found), expected)


def test_shuffling_is_new_each_epoch_and_repeatable(tmp_path, two_fields):
    path = tmp_path / "log.csv"
    make_log(1000, seed=4).to_csv(path, index=False)
    make = deepfm_tf.dataset_from_text
    first = make(path, two_fields, 64, shuffle=True, seed=1)
    again = make(path, two_fields, 64, shuffle=True, seed=1)
    plain = rows_of(make(path, two_fields, 64))

    epochs = [rows_of(first), rows_of(first)]

    np.testing.assert_array_equal(epochs, [rows_of(again), rows_of(again)])
    # NaN is unequal to itself.
    assert not np.array_equal(*epochs, equal_nan=True)
    for rows in epochs:
        assert not np.array_equal(rows, plain, equal_nan=True)
        order, order_plain = (
            np.lexsort(np.nan_to_num(r).T) for r in (rows, plain)
        )
        np.testing.assert_array_equal(rows[order], plain[order_plain])


SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.CategoricalField("a", min_count=1),
        deepfm_tf.NumericField("n", scaling="none"),
        deepfm_tf.MultiValuedField("t", weight_separator=":", min_count=1),
    ),
    "y",
)


@pytest.fixture(scope="module")
def rewritten(tmp_path_factory):
    """A file, and the data set of what it holds whenever that is read."""
    path = tmp_path_factory.mktemp("rewritten") / "log.csv"
    good = {"a": ["x", "z"], "n": [1, 2], "t": ["a:1", "b"], "y": [0, 1]}
    frame = pd.DataFrame(good)
    frame.to_csv(path, index=False)
    vocabulary = deepfm_tf.fit_vocabulary(frame, SCHEMA)
    return path, deepfm_tf.dataset_from_text(path, vocabulary)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,oops,a:1,0", "line 4, column 'n': 'oops' is not a finite"),
        ("x,1e39,a:1,0", "line 4, column 'n': '1e39' is not a finite"),
        ("x,1,a:b,0", "line 4, column 't': a weight in 'a:b'"),
        ("x,1,a:1,2", "line 4, column 'y': the label must be 0"),
        ("x,1,a:1,", "line 4, column 'y'.*but is missing"),
        ("x,1,a:1", "line 4: 4 values expected, 3 found"),
        ("x,1,a:1,0,0", "line 4: 4 values expected, 5 found"),
        ('x,1,"a:1,0', "line 4: a quote .* is not closed"),
        ("\udcff,1,a:1,0", "line 4, column 'a': .* is not UTF-8"),
    ],
)
def test_bad_rows_are_named_by_file_line_and_column(rewritten, line, message):
    path, dataset = rewritten
    text = f"a,n,t,y\nx,1,a:1,0\n\n{line}\n"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    with pytest.raises(tf.errors.InvalidArgumentError, match=message) as error:
        list(dataset)

    assert "log.csv, line 4" in str(error.value)


def test_what_is_not_text_is_refused(tmp_path, vocabulary):
    log = make_log(10)
    log.to_parquet(tmp_path / "log.parquet")
    log.drop(columns="ad").to_csv(tmp_path / "less.csv")
    make = deepfm_tf.dataset_from_text

    for source in (log, tmp_path / "log.parquet"):
        with pytest.raises(ValueError, match="must be text files"):
            make(source, vocabulary)
    with pytest.raises(ValueError, match="has no column 'ad'"):
        make(tmp_path / "less.csv", vocabulary)
    with pytest.raises(ValueError, match="`batch_size` must be a positive"):
        make(tmp_path / "less.csv", vocabulary, 0)


def test_fit_learns_from_text(tmp_path, two_fields):
    path = tmp_path / "log.csv"
    make_log(2000).to_csv(path, index=False)
    dataset = deepfm_tf.dataset_from_text(path, two_fields, 500, shuffle=True)
    model = deepfm_tf.LogisticRegression(two_fields.schema)
    deepfm_tf.compile_model(model)
    model.run_eagerly = True  # four steps an epoch

    # Keras cannot know beforehand how many batches there are.
    with pytest.warns(UserWarning, match="ran out of data"):
        history = model.fit(dataset, epochs=2, verbose=0, shuffle=False)

    first, second = history.history["loss"]
    assert second < first
