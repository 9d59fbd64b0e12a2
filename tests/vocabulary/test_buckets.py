"""Buckets of numbers, and what they are called."""

import math

import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.vocabulary.buckets import bucket_names, bucketize


@pytest.mark.parametrize(
    ("start", "stop"), [(-2000, 1), (1, 500_000), (500_000, 1_000_000)]
)
def test_the_log_square_rule_holds_for_whole_numbers(start, stop):
    x = np.arange(start, stop)

    buckets = bucketize(
        deepfm_tf.BucketizedField("a", "log_square"), x.astype(np.float32), ()
    )

    expected = [
        math.floor(math.log(v) ** 2) if v > 2 else v for v in x.tolist()
    ]
    assert buckets.tolist() == expected


def test_a_name_of_a_bucket_says_what_falls_into_it():
    field = deepfm_tf.BucketizedField("n", "log_square")
    numbers = np.array([-1.5, 0.0, 1.0, 2.0, 2.5, 3.0, 5.0, 1000.0])
    buckets = bucketize(field, numbers, ())

    names = bucket_names(field, [str(bucket) for bucket in buckets], ())

    for number, name in zip(numbers, names, strict=True):
        ends = [
            [float(end) for end in part.split(" to ")]
            for part in name.split(" and ")
        ]
        assert any(part[0] <= number <= part[-1] for part in ends), name


def test_close_boundaries_are_told_apart():
    field = deepfm_tf.BucketizedField(
        "n", "boundaries", boundaries=(1000.25, 1000.5)
    )

    names = bucket_names(field, ["0", "1", "2"], field.boundaries)

    assert names == ["below 1000.2", "1000.2 to 1000.5", "from 1000.5"]
