"""Text tables."""

from deepfm_tf.explain.tables import text_table


def test_numbers_stand_to_the_right_and_keep_four_decimals():
    rows = [
        {"term": "a", "value": -12.5, "rows": 1234},
        {"term": "longer", "value": 0.00004, "rows": 5},
    ]

    assert text_table(rows).splitlines() == [
        "term       value   rows",
        "------  --------  -----",
        "a       -12.5000  1,234",
        "longer    0.0000      5",
    ]
