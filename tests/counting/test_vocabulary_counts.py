"""Counts of partitions, and the samples that quantiles come from."""

import numpy as np

from deepfm_tf import BucketizedField, Schema
from deepfm_tf.counting.vocabulary_counts import VocabularyCounts


def test_the_sample_of_each_partition_is_drawn_anew(monkeypatch):
    monkeypatch.setattr(
        "deepfm_tf.counting.quantile_sample.QUANTILE_SAMPLE", 200
    )
    field = BucketizedField("x", "quantiles", num_buckets=200)
    counts = VocabularyCounts(Schema((field,), "y"))
    for partition in range(4):
        # A row's number in its partition is its value.
        counts.count({"x": np.arange(2000, dtype=np.float32)}, partition)

    boundaries = counts.finish().statistics["x"]["boundaries"]

    # 200 of 8,000 rows, drawn without regard to the partition, have some 190
    # values; the same rows of each partition would have 50.
    assert len(boundaries) > 170
