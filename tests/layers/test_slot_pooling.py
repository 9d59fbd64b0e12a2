"""The step after the gather, without a table."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers.slot_pooling import SlotPooling
from tests import reference

# Two fields with slots, one of them with two; then two numeric fields, the
# second with a row for missing values.
FIELDS, HAS_MISSING, DIM, COLUMNS = (0, 1, 1), (False, True), 2, 3
BATCH, SLOTS, ROWS = 4, len(FIELDS), 3


def draw():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(BATCH * SLOTS + ROWS, COLUMNS))
    ids = random.integers(0, 9, (BATCH, SLOTS))
    ids[0, 0] = ids[1, 2] = -1
    weights = random.normal(size=(BATCH, SLOTS))
    values = random.normal(size=(BATCH, len(HAS_MISSING)))
    values[2] = np.nan
    return vectors, ids, weights, values


def by_hand(vectors, ids, weights, values):
    """Sums over fields and slots, one number at a time."""
    fields = np.zeros((BATCH, 4, COLUMNS))
    numeric = vectors[BATCH * SLOTS :]
    for example in range(BATCH):
        for slot, field in enumerate(FIELDS):
            if ids[example, slot] >= 0:
                row = vectors[example * SLOTS + slot]
                fields[example, field] += weights[example, slot] * row
        for number, has_missing in enumerate(HAS_MISSING):
            value = values[example, number]
            if np.isfinite(value):
                fields[example, 2 + number] = value * numeric[number]
            elif has_missing:
                fields[example, 2 + number] = numeric[2]
    return fields[:, :, :DIM], fields[:, :, DIM:].sum(axis=1)


def test_the_fused_step_is_the_sum_worked_out_by_hand():
    inputs = draw()

    outputs = SlotPooling(FIELDS, HAS_MISSING, DIM).fused_pool(*inputs)

    for found, expected in zip(outputs, by_hand(*inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_its_own_gradient_is_the_central_difference():
    vectors, ids, weights, values = draw()
    random = np.random.default_rng(1)
    upstream = [random.normal(size=(BATCH, 4, DIM)), random.normal(size=(4, 1))]
    pooling = SlotPooling(FIELDS, HAS_MISSING, DIM)
    variables = [tf.constant(vectors), tf.constant(weights)]
    numbers = tf.constant(values)

    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = pooling.fused_pool(variables[0], ids, variables[1], numbers)
    gradients = tape.gradient(outputs, variables, upstream)

    def loss(vectors=vectors, weights=weights):
        parts = by_hand(vectors, ids, weights, values)
        return sum((p * u).sum() for p, u in zip(parts, upstream, strict=True))

    for found, expected in (
        (gradients[0], reference.central_difference(loss, vectors)),
        (
            gradients[1],
            reference.central_difference(lambda w: loss(weights=w), weights),
        ),
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("columns", [DIM, COLUMNS])
def test_without_further_columns_there_is_no_second_sum(columns):
    vectors, ids, _, _ = draw()
    vectors = vectors[: BATCH * SLOTS, :columns]

    outputs = SlotPooling(FIELDS, (), DIM).fused_pool(vectors, ids, None, None)

    shapes = [(BATCH, 2, DIM), (BATCH, 1)]
    assert [x.shape for x in outputs] == shapes[: 1 + (columns > DIM)]


def test_a_masked_slot_adds_nothing_whatever_its_weight():
    vectors, ids, weights, values = draw()
    pooling = SlotPooling(FIELDS, HAS_MISSING, DIM)
    expected = pooling.fused_pool(vectors, ids, weights, values)

    weights[0, 0] = np.nan

    for a, b in zip(
        expected, pooling.fused_pool(vectors, ids, weights, values), strict=True
    ):
        np.testing.assert_array_equal(a, b)
