"""Rows that are scored are compared with what the model tells of training."""

import numpy as np
import pyarrow as pa
import pytest

from deepfm_tf.serving.client.likeness import Likeness
from deepfm_tf.serving.signature import (
    ModelMetadata,
    ServedField,
    ServedFields,
    Signature,
    TensorInfo,
)

TEXT, COUNT = TensorInfo("string", (None,)), TensorInfo("int32", (None, 1))
SCORES = {"probability": TensorInfo("float32", (None,))}
COUNTS = {"values": COUNT, "unseen": COUNT}
# Of 1,000 rows 10 are missing; of 990 values 20 would be unseen.
TRAINING = {"missing": 10, "rows": 1000, "unseen": 20, "values": 990}


def metadata_of(training=TRAINING, **signatures):
    method = "tensorflow/serving/predict"
    found = {
        "serving_default": Signature(method, {"site": TEXT}, SCORES),
        "ids": Signature(method, {"ids": COUNT}, SCORES),
        "unseen": Signature(method, {"site": TEXT}, COUNTS),
    } | signatures
    fields = ServedFields((ServedField("site", "site", training=training),))
    return ModelMetadata("m", 1, found, fields)


def differences(texts, values, unseen):
    likeness = Likeness(metadata_of(), "serving_default")
    for _ in range(2):  # block by block
        answer = {
            "values": np.array(values)[:, None],
            "unseen": np.array(unseen)[:, None],
        }
        likeness.add(pa.table({"site": texts}), answer)
    return likeness.differences()


def test_many_unseen_values_are_told_with_the_commonest():
    texts = ["a"] * 60 + ["x"] * 30 + ["y"] * 10

    (text,) = differences(texts, [1] * 100, [0] * 60 + [1] * 40)

    assert text == (
        "Field 'site': 40 % of the values are unseen in training, such as "
        "'x', 'y'; 2.0 % are expected from training."
    )


def test_numbers_are_told_with_the_range_of_training():
    training = TRAINING | {"minimum": 0.5, "maximum": 2000.0}
    likeness = Likeness(metadata_of(training), "serving_default")
    unseen = np.array([0] * 60 + [1] * 40)[:, None]
    numbers = pa.table({"site": [1.0] * 60 + [-3.5] * 40})

    likeness.add(numbers, {"values": np.ones_like(unseen), "unseen": unseen})

    assert likeness.differences() == [
        "Field 'site': 40 % of the values are outside the range seen in "
        "training, 0.5 to 2000, such as '-3.5'; 2.0 % are expected from "
        "training."
    ]


def test_blanks_around_them_are_told_at_a_smaller_share():
    counts = [1] * 100, [0] * 90 + [1] * 10

    (text,) = differences(["a"] * 90 + ["a "] * 10, *counts)

    assert text.endswith("They have blanks around them: remove the blanks.")
    assert differences(["a"] * 90 + ["z"] * 10, *counts) == []


def test_many_missing_values_are_told():
    (text,) = differences(
        [""] * 50 + ["a"] * 50, [0] * 50 + [1] * 50, [0] * 100
    )

    assert text == (
        "Field 'site': 50 % of the rows have no value, but only 1.0 % in "
        "training."
    )


def test_rows_like_those_of_training_are_not_told():
    assert differences(["a"] * 100, [1] * 100, [0] * 98 + [1] * 2) == []


@pytest.mark.parametrize(
    ("signature", "others"),
    [
        ("ids", {}),
        ("serving_default", {"unseen": Signature("p", {"site": TEXT}, SCORES)}),
        ("serving_default", {"unseen": Signature("p", {}, COUNTS)}),
    ],
)
def test_what_cannot_tell_is_not_asked(signature, others):
    assert Likeness(metadata_of(), "serving_default").can_tell
    assert not Likeness(metadata_of(**others), signature).can_tell


def test_a_model_of_old_tells_nothing_of_training():
    likeness = Likeness(metadata_of({}), "serving_default")
    answer = {"values": np.zeros((9, 1), int), "unseen": np.zeros((9, 1), int)}

    likeness.add(pa.table({"site": [""] * 9}), answer)

    assert likeness.differences() == []
