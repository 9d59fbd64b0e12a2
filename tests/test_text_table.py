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
        "deepfm      12,345       0.75      1.2",
        "bayes               undefined  1,234.5",
    ]


def test_a_column_has_the_decimals_that_it_needs():
    rows = [
        {"epochs": 1.82, "best": 3.0, "seconds": 0.2, "loss": 0.69314},
        {"epochs": 6.0, "best": 12.0, "seconds": 7.0, "loss": 1.5},
    ]

    table = text_table(rows)

    assert [line.split() for line in table.splitlines()[2:]] == [
        ["1.82", "3", "0.2", "0.6931"],
        ["6.00", "12", "7.0", "1.5000"],
    ]
