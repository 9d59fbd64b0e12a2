"""The share of unseen values that training leads one to expect."""

import collections

import numpy as np
import pytest

from deepfm_tf import CategoricalField, MultiValuedField, Schema, fit_vocabulary


def left_out(column, pooled, min_count, max_values=None):
    """Occurrences that the vocabulary of all others does not hold."""
    unseen = 0
    for value in column:
        counts = collections.Counter(pooled)
        counts[value] -= 1
        kept = [v for v, n in counts.items() if n >= min_count]
        kept.sort(key=lambda v: (-counts[v], v))
        unseen += value not in kept[:max_values]
    return unseen


@pytest.mark.parametrize("min_count", [1, 2, 5])
def test_each_occurrence_is_looked_up_without_itself(min_count):
    column = [f"v{n}" for n in np.random.default_rng(1).zipf(1.7, 150)]
    schema = Schema((CategoricalField("a", min_count=min_count),), "y")

    vocabulary = fit_vocabulary({"a": column, "y": [0] * 150}, schema)

    entry = vocabulary.statistics["a"]
    counts = collections.Counter(column)
    rare = [n for n in counts.values() if n < min_count]
    assert entry["values"] == 150
    assert entry["oov"] == sum(rare)
    assert entry["oov_expected"] == left_out(column, column, min_count)


def test_a_capped_vocabulary_expects_what_the_cap_cuts_off():
    # Counts 5, 4, 3, 1 of which OOV, missing and two values are kept.
    column = list("aaaaabbbbcccd")
    field = CategoricalField("a", min_count=1, max_vocabulary_size=4)

    vocabulary = fit_vocabulary(
        {"a": column, "y": [0] * 13}, Schema((field,), "y")
    )

    entry = vocabulary.statistics["a"]
    assert vocabulary.values["a"].tolist() == ["a", "b"]
    assert entry["oov"] == 4
    # b without itself ties with c: it counts as lost.
    assert entry["oov_expected"] == 8


def test_fields_of_one_vocabulary_have_their_own_shares():
    random = np.random.default_rng(2)
    often = [f"v{n}" for n in random.integers(0, 5, 60)]
    rarely = [f"v{n}" for n in random.integers(0, 90, 60)]
    fields = (
        CategoricalField("rare", min_count=2, share_with="often"),
        CategoricalField("often", min_count=2),
    )
    data = {"often": often, "rare": rarely, "y": [0] * 60}

    statistics = fit_vocabulary(data, Schema(fields, "y")).statistics

    pooled = often + rarely
    assert statistics["often"]["oov_expected"] == 0
    assert statistics["rare"]["oov_expected"] == left_out(rarely, pooled, 2)
    assert list(statistics) == ["rare", "often"]


def test_lists_count_each_of_their_values():
    field = MultiValuedField("tags", min_count=2)
    data = {"tags": ["a|b", "a|c|a", None, "b"], "y": [0] * 4}

    entry = fit_vocabulary(data, Schema((field,), "y")).statistics["tags"]

    assert (entry["values"], entry["oov"], entry["oov_expected"]) == (6, 1, 3)


def test_the_estimate_is_the_share_of_fresh_rows():
    random = np.random.default_rng(3)
    column, fresh = random.zipf(1.3, (2, 20_000)).astype(str)
    field = CategoricalField("a", min_count=3)

    vocabulary = fit_vocabulary(
        {"a": column, "y": np.zeros(20_000, int)}, Schema((field,), "y")
    )

    entry = vocabulary.statistics["a"]
    now = np.mean(~np.isin(fresh, vocabulary.values["a"].astype(str)))
    assert entry["oov_expected"] / entry["values"] == pytest.approx(
        now, abs=0.01
    )
    # Training's own share is not.
    assert entry["oov"] / entry["values"] < now - 0.01
