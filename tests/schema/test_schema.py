"""Fields and Schema: validation, JSON, names."""

import pytest

from deepfm_tf import (
    BucketizedField,
    CategoricalField,
    MultiValuedField,
    NumericField,
    Schema,
    TimestampField,
)
from tests.conftest import make_schema


def test_json_round_trip_keeps_every_kind_of_field():
    schema = make_schema()

    assert Schema.from_json(schema.to_json()) == schema


def attending(candidate):
    """A schema whose first field attends to one of the others."""
    history = MultiValuedField("a", pooling="attention", candidate=candidate)
    return Schema((history, CategoricalField("b"), NumericField("n")), "y")


def test_a_history_survives_json():
    schema = attending("b")

    assert Schema.from_json(schema.to_json()) == schema
    assert schema.to_dict()["fields"][0]["candidate"] == "b"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: CategoricalField(""), "`name` must be a non-empty"),
        (lambda: CategoricalField("a", min_count="4"), "`min_count` must be"),
        (lambda: CategoricalField("a", missing="x"), "`missing` must be one"),
        (lambda: NumericField("a", scaling="x"), "`scaling` must be one of"),
        (lambda: BucketizedField("a", "x"), "`method` must be one of"),
        (lambda: BucketizedField("a", "boundaries"), "at least one number"),
        (
            lambda: BucketizedField("a", "boundaries", boundaries=(2, 1)),
            "strictly ascending",
        ),
        (lambda: BucketizedField("a", num_buckets=1), "`num_buckets` must be"),
        (lambda: MultiValuedField("a", separator=""), "`separator` must be"),
        (
            lambda: MultiValuedField("a", separator=":", weight_separator=":"),
            "must differ",
        ),
        (lambda: MultiValuedField("a", max_length=0), "`max_length` must be"),
        (lambda: MultiValuedField("a", keep="newest"), "`keep` must be one of"),
        (
            lambda: MultiValuedField("a", pooling="attention"),
            "`candidate` must name a field where.*candidate=None",
        ),
        (
            lambda: MultiValuedField("a", pooling="mean", candidate="b"),
            "`candidate` must name a field where.*candidate='b'",
        ),
        (
            lambda: MultiValuedField(
                "a", pooling="attention", candidate="b", weight_separator=":"
            ),
            "`weight_separator` must be None",
        ),
        (lambda: attending("c"), "no field 'c'"),
        (lambda: attending("a"), "`candidate` must name a categorical or"),
        (lambda: attending("n"), "`candidate` must name a categorical or"),
        (lambda: Schema((), "y"), "at least one field"),
        (lambda: Schema((CategoricalField("y"),), "y"), "given the answer"),
        (lambda: Schema((CategoricalField("a"),) * 2, "y"), "are named 'a'"),
        (lambda: Schema((CategoricalField("a"),), ""), "name of the label"),
        (
            lambda: Schema((CategoricalField("a"),), "y", ("1",), ("1",)),
            "no value twice",
        ),
        (
            lambda: Schema((CategoricalField("a", share_with="b"),), "y"),
            "no field 'b'",
        ),
        (
            lambda: Schema(
                (CategoricalField("a", share_with="b"), NumericField("b")), "y"
            ),
            "has a vocabulary of its own",
        ),
        (lambda: Schema.from_json("{"), "not valid JSON"),
        (lambda: Schema.from_json("[]"), "must be a JSON object"),
        (lambda: Schema.from_json("[" * 100_000), "is not valid JSON"),
        (
            lambda: Schema.from_dict({"label": "y", "fields": 5}),
            "`fields`, a list.*5",
        ),
        (
            lambda: Schema.from_dict({"label": "y", "fields": [{"type": []}]}),
            "whose `type` is one of",
        ),
        (
            lambda: TimestampField("a", parts=[["hour"]]),
            "`parts` must be some of",
        ),
        (
            lambda: Schema.from_dict({"label": "y", "fields": [{"name": "a"}]}),
            "whose `type` is one of",
        ),
        (
            lambda: Schema.from_dict(
                {
                    "label": "y",
                    "fields": [
                        {"type": "categorical", "name": "a", "min_cuont": 3}
                    ],
                }
            ),
            "Unknown key `min_cuont` of 'a'",
        ),
        (
            lambda: Schema.from_dict(
                {"fields": [{"type": "categorical", "name": "a"}]}
            ),
            "key `label` must be given",
        ),
    ],
)
def test_errors_say_what_must_hold(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_fields_that_are_no_list_are_refused():
    with pytest.raises(TypeError, match="must be tuples or lists"):
        Schema("fields", "y")


def test_an_unfitted_schema_has_no_vocabulary_sizes():
    with pytest.raises(ValueError, match="no `vocabulary_size` yet"):
        _ = make_schema().vocabulary_sizes


def test_signature_names_are_valid_and_unique_ignoring_case():
    names = ["C1", "c1", "hours per week", "a-b", "a_b", "self", "1st"]
    schema = Schema(tuple(map(CategoricalField, names)), "y")

    assert schema.signature_names == {
        "C1": "C1",
        "c1": "c1_2",
        "hours per week": "hours_per_week",
        "a-b": "a_b_d44362d6",
        "a_b": "a_b",
        "self": "field_self",
        "1st": "field_1st",
    }


def test_a_file_with_a_wrong_schema_is_named(tmp_path):
    path = tmp_path / "schema.json"
    path.write_text("{")

    with pytest.raises(ValueError, match="schema.json: The schema is not"):
        Schema.load(path)
