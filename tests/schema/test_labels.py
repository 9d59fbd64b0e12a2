import pytest

from deepfm_tf import CategoricalField, Schema
from deepfm_tf.schema.labels import two_labels

FIELDS = (CategoricalField("site"),)


@pytest.mark.parametrize(
    ("counts", "labels"),
    [
        ({"left": 2, "bought": 4}, (["bought"], ["left"])),
        ({"<=50K": 3, ">50K": 1}, ([">50K"], ["<=50K"])),
        (
            {"<=50K": 3, ">50K": 1, "<=50K.": 3, ">50K.": 1},
            ([">50K", ">50K."], ["<=50K", "<=50K."]),
        ),
        ({"a": 9, "b": 1}, (["b"], ["a"])),  # the rarer, without a word
        ({"not clicked": 1, "clicked": 9}, (["clicked"], ["not clicked"])),
        ({"1": 1, "-1": 9}, (["1"], ["-1"])),
        ({"0": 1, "x": 9}, (["x"], ["0"])),
        # As the package reads them, or as before.
        ({"yes": 1, "no": 1}, None),
        ({"T": 1, "F": 1}, None),
        ({"1": 5, "0": 5}, None),
        ({"1.0": 5, "0.0": 5}, None),
        ({"a": 5}, None),
        ({"a": 5, "": 3}, None),
        ({"a": 1, "b": 1, "c": 1}, None),
        ({"0.2": 1, "0.7": 1, "0.9": 1}, None),
    ],
)
def test_two_unexplained_labels_are_told_apart(counts, labels):
    assert two_labels(counts) == labels


@pytest.mark.parametrize(
    ("one", "zero"),
    [("yes", "no"), ("Yes", "No"), ("YES", "NO"), ("y", "n"), ("Y", "N")]
    + [("true", "false"), ("TRUE", "FALSE"), ("t", "f"), ("T", "F")],
)
def test_usual_words_for_labels_need_no_explanation(one, zero):
    schema = Schema(FIELDS, "click")

    assert one in schema.positive_labels
    assert zero in schema.negative_labels


def test_an_explicit_label_is_not_among_the_defaults_of_the_other_side():
    schema = Schema(FIELDS, "left", positive_labels=("no", "N"))

    assert {"no", "N"}.isdisjoint(schema.negative_labels)
    assert "0" in schema.negative_labels
    assert Schema.from_json(schema.to_json()) == schema
    with pytest.raises(ValueError, match="no value twice"):
        Schema(FIELDS, "y", positive_labels=("a",), negative_labels=("a",))
