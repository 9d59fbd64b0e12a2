"""Text tables."""

import math

from deepfm_tf.text_table import text_table


def test_numbers_stand_to_the_right_with_the_decimals_wanted():
    rows = [
        {"term": "a", "value": -12.5, "rows": 1234},
        {"term": "longer", "value": 0.00004, "rows": 5},
    ]

    assert text_table(rows, decimals=4).splitlines() == [
        "term       value   rows",
        "------  --------  -----",
        "a       -12.5000  1,234",
        "longer    0.0000      5",
    ]


def test_the_table_leaves_blanks_and_names_the_undefined():
    rows = [
        {"model": "deepfm", "parameters": 12345, "AUC": 0.75, "seconds": 1.25},
        {"model": "bayes", "AUC": math.nan, "seconds": 1234.5},
    ]

    table = text_table(rows, ["model", "parameters", "AUC", "seconds"])

    assert table.splitlines() == [
        "model   parameters        AUC  seconds",
        "------  ----------  ---------  -------",
        "deepfm      12,345     0.7500      1.2",
        "bayes               undefined  1,234.5",
    ]


def test_numbers_keep_their_zeros_and_counts_have_none():
    rows = [
        {"AUC": 0.67, "best": 3.0, "seconds": 10.2, "loss": 1.5, "sure": 1.0},
        {"AUC": 0.7, "best": 12.0, "seconds": 7.0, "loss": 0.5, "sure": 1.0},
    ]

    table = text_table(rows)

    assert [line.split() for line in table.splitlines()[2:]] == [
        ["0.6700", "3", "10.20", "1.5000", "1.0000"],
        ["0.7000", "12", "7.00", "0.5000", "1.0000"],
    ]


def test_texts_of_numbers_alone_stand_to_the_right():
    rows = [
        {"model": "a", "AUC": "0.6700 ± 0.0010", "n": "1,234", "kind": "4"},
        {"model": "bc", "AUC": "0.5", "n": "–", "kind": "4 to 9"},
    ]

    assert text_table(rows).splitlines()[2:] == [
        "a      0.6700 ± 0.0010  1,234  4",
        "bc                 0.5      –  4 to 9",
    ]
