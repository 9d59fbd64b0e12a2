"""Counts of texts are those that a Counter has."""

import collections
import pickle

import numpy as np
import pyarrow as pa
import pytest

from deepfm_tf.counting import value_counts
from deepfm_tf.counting.value_counts import ValueCounts, count_table


def draw(seed, most=300):
    numbers = np.random.default_rng(seed).zipf(1.3, 1000) % most
    return [f"t{number}" for number in numbers]


@pytest.mark.parametrize("split_at", [10, 10**6])
def test_counts_are_the_sums_over_all_that_was_added(split_at, monkeypatch):
    monkeypatch.setattr(value_counts, "MERGE_AT", 100)
    monkeypatch.setattr(value_counts, "SPLIT_AT", split_at)
    total, other = ValueCounts(), ValueCounts()
    right = collections.Counter()
    for seed in range(12):
        texts = draw(seed)
        right.update(texts)
        counts = total if seed < 6 else other
        counts.add(count_table(pa.array(texts)))

    total.merge(pickle.loads(pickle.dumps(other)))

    table = total.kept(min_count=3, max_size=50, first_id=2).to_pydict()
    frequent = sorted(
        (-count, text) for text, count in right.items() if count >= 3
    )[:48]
    assert total.distinct == len(right)
    assert table["value"] == [text for _, text in frequent]
    assert table["count"] == [-count for count, _ in frequent]


def test_what_is_sent_of_counts_is_no_slice_of_more(monkeypatch):
    monkeypatch.setattr(value_counts, "MERGE_AT", 10)
    monkeypatch.setattr(value_counts, "SPLIT_AT", 10)
    counts = ValueCounts()
    texts = [f"{number:0100d}" for number in range(3000)]
    for start in range(0, 3000, 1000):
        counts.add(count_table(pa.array(texts[start : start + 1000])))

    # 300 kB of text, offsets and counts; twice as much is a copy too many.
    assert len(pickle.dumps(counts)) < 600_000
