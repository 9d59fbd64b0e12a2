"""AUC within groups, such as the impressions of one user."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.metrics.rows import check_groups, check_rows


class GroupedAUC(NamedTuple):
    """What `grouped_auc` returns.

    Attributes:
        auc: float. Mean of the groups' AUC, weighted by their impressions.
        num_groups: int. Groups with both classes, those that count.
        share: float. Their share of all impressions.
    """

    auc: float
    num_groups: int
    share: float


def grouped_auc(
    label: Array,
    probability: Array,
    groups: Array,
    weight: Array | None = None,
) -> GroupedAUC:
    """GAUC: how well the rows of each group are ranked among themselves.

    `GAUC = sum_g(n_g AUC_g) / sum_g(n_g)`, where `n_g` is the number of rows
    of group g (the sum of their weights). An overall AUC also rewards a model
    for telling users who click often from those who do not; a ranking shown
    to one user gains nothing by that. A group of one class has no AUC: it is
    left out of both sums, and `share` tells how much is left.

    Args:
        label: (rows,) of 0 and 1.
        probability: (rows,).
        groups: (rows,) of ids or text: the user, say, or the query. A row
            without one (None, NaN, empty text) counts in no group.
        weight: (rows,), at least 0. Defaults to 1 each.

    Returns:
        GroupedAUC; its `auc` is NaN if no group has both classes.

    Example:

    >>> label = np.array([1, 0, 0, 1, 0])
    >>> probability = np.array([0.2, 0.1, 0.9, 0.8, 0.7])
    >>> grouped_auc(label, probability, np.array(["a", "a", "b", "b", "c"]))
    GroupedAUC(auc=0.5, num_groups=2, share=0.8)

    Reference:
        [Zhou et al., 2018](https://arxiv.org/abs/1706.06978), equation 7
    """
    label, probability, weight = check_rows(label, probability, weight)
    groups = check_groups(groups, len(label))
    aucs, impressions = aucs_of_groups(label, probability, groups, weight)
    counts = ~np.isnan(aucs)
    kept = impressions[counts].sum()
    return GroupedAUC(
        float(aucs[counts] @ impressions[counts] / kept)
        if kept
        else float("nan"),
        int(counts.sum()),
        float(kept / impressions.sum()),
    )


def aucs_of_groups(
    label: Array,
    probability: Array,
    groups: Array,
    weight: Array | None,
) -> tuple[Array, Array]:
    """AUC of each group, NaN where it has one class; and its impressions.

    Args:
        groups: (rows,) numbers from 0, as `check_groups` makes them. Some
            numbers may have no row: they have no impressions.
        label, probability, weight: checked.

    Returns:
        Two arrays (groups,) float64.
    """
    order = _order(groups, probability)
    group, p = groups[order], probability[order]
    new_group = np.append(True, group[1:] != group[:-1])
    # A run: equal probabilities in one group.
    starts = np.flatnonzero(new_group | np.append(True, p[1:] != p[:-1]))
    example_weight = np.ones(len(label)) if weight is None else weight[order]
    positive = np.add.reduceat(example_weight * label[order], starts)
    total = np.add.reduceat(example_weight, starts)
    negative = total - positive
    if weight is not None:
        # A difference of equal sums may miss 0 by a rounding.
        negative = np.add.reduceat(example_weight * (1 - label[order]), starts)
    first = np.flatnonzero(new_group[starts])
    below = np.cumsum(negative) - negative
    # Below it in its own group only.
    below -= np.repeat(below[first], np.diff(np.append(first, len(starts))))
    wins = np.add.reduceat(positive * (below + negative / 2), first)
    pairs = np.add.reduceat(positive, first) * np.add.reduceat(negative, first)
    names = group[starts][first]
    aucs = np.full(int(names[-1]) + 1, np.nan)
    valid = pairs > 0
    aucs[names[valid]] = wins[valid] / pairs[valid]
    impressions = np.bincount(groups, weights=weight).astype(np.float64)
    return aucs, impressions


def _order(groups: Array, probability: Array) -> Array:
    """Rows by group, then by probability; twice as fast as a lexsort."""
    order = np.argsort(probability)
    key = groups[order] * len(groups) + np.arange(len(groups))
    return order[np.argsort(key)]
