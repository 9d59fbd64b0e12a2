"""The step after the gather, without a table."""

import numpy as np
import pytest
import tensorflow as tf

from deepfm_tf.layers.table.row_pooling import RowPooling
from tests import reference

# Two fields with ids, one of them with two; then two numeric fields, the
# second with a row for missing values.
FIELDS, HAS_MISSING, DIM, COLUMNS = (0, 1, 1), (False, True), 2, 3
BATCH, IDS, ROWS = 4, len(FIELDS), 3


def draw():
    random = np.random.default_rng(0)
    vectors = random.normal(size=(BATCH * IDS + ROWS, COLUMNS))
    ids = random.integers(0, 9, (BATCH, IDS))
    ids[0, 0] = ids[1, 2] = -1
    weights = random.normal(size=(BATCH, IDS))
    values = random.normal(size=(BATCH, len(HAS_MISSING)))
    values[2] = np.nan
    return vectors, ids, weights, values


def by_hand(vectors, ids, weights, values):
    """Sums over fields and id columns, one number at a time."""
    fields = np.zeros((BATCH, 4, COLUMNS))
    numeric = vectors[BATCH * IDS :]
    for example in range(BATCH):
        for column, field in enumerate(FIELDS):
            if ids[example, column] >= 0:
                row = vectors[example * IDS + column]
                fields[example, field] += weights[example, column] * row
        for number, has_missing in enumerate(HAS_MISSING):
            value = values[example, number]
            if np.isfinite(value):
                fields[example, 2 + number] = value * numeric[number]
            elif has_missing:
                fields[example, 2 + number] = numeric[2]
    return fields[:, :, :DIM], fields[:, :, DIM:].sum(axis=1)


def test_the_fused_step_is_the_sum_worked_out_by_hand():
    inputs = draw()

    outputs = RowPooling(FIELDS, HAS_MISSING, DIM).fused_pool(*inputs)

    for found, expected in zip(outputs, by_hand(*inputs), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_its_own_gradient_is_the_central_difference():
    vectors, ids, weights, values = draw()
    random = np.random.default_rng(1)
    upstream = [random.normal(size=(BATCH, 4, DIM)), random.normal(size=(4, 1))]
    pooling = RowPooling(FIELDS, HAS_MISSING, DIM)
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
    vectors = vectors[: BATCH * IDS, :columns]

    outputs = RowPooling(FIELDS, (), DIM).fused_pool(vectors, ids, None, None)

    shapes = [(BATCH, 2, DIM), (BATCH, 1)]
    assert [x.shape for x in outputs] == shapes[: 1 + (columns > DIM)]


def test_a_masked_id_adds_nothing_whatever_its_weight():
    vectors, ids, weights, values = draw()
    pooling = RowPooling(FIELDS, HAS_MISSING, DIM)
    expected = pooling.fused_pool(vectors, ids, weights, values)

    weights[0, 0] = np.nan

    for a, b in zip(
        expected, pooling.fused_pool(vectors, ids, weights, values), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def factored_by_hand(vectors, ids, weights, values):
    """Fields with ids side by side, then factors; and the numeric rows."""
    embeddings, _ = by_hand(vectors, ids, weights, values)
    flat = np.zeros((BATCH, 2 * DIM + ROWS))
    for example in range(BATCH):
        flat[example, : 2 * DIM] = embeddings[example, :2].reshape(-1)
        for number in range(2):
            value = values[example, number]
            flat[example, 2 * DIM + number] = value if value == value else 0
        flat[example, -1] = np.isnan(values[example, 1])
    return flat, vectors[BATCH * IDS :, :DIM]


def test_factored_outputs_are_those_worked_out_by_hand():
    inputs = draw()

    outputs = RowPooling(FIELDS, HAS_MISSING, DIM, True).fused_pool(*inputs)

    expected = [*by_hand(*inputs), *factored_by_hand(*inputs)]
    for found, by_loop in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found, by_loop, rtol=1e-12, atol=1e-12)


def test_the_gradient_adds_up_what_comes_of_all_four_outputs():
    vectors, ids, weights, values = draw()
    random = np.random.default_rng(1)
    shapes = [(BATCH, 4, DIM), (BATCH, 1), (BATCH, 2 * DIM + ROWS), (ROWS, DIM)]
    upstream = [random.normal(size=shape) for shape in shapes]
    pooling = RowPooling(FIELDS, HAS_MISSING, DIM, True)
    rows, numbers = tf.constant(vectors), tf.constant(values)

    with tf.GradientTape() as tape:
        tape.watch(rows)
        outputs = pooling.fused_pool(rows, ids, tf.constant(weights), numbers)
    gradient = tape.gradient(outputs, rows, upstream)

    def loss(vectors):
        inputs = vectors, ids, weights, values
        parts = [*by_hand(*inputs), *factored_by_hand(*inputs)]
        return sum((p * u).sum() for p, u in zip(parts, upstream, strict=True))

    np.testing.assert_allclose(
        gradient,
        reference.central_difference(loss, vectors),
        rtol=1e-6,
        atol=1e-7,
    )
