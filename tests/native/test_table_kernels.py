"""The kernels against loops in numpy, written from the equations."""

import os

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from deepfm_tf.native.choice import kernels_for
from deepfm_tf.native.table_kernels import Rule
from tests.native.kernels import needs_kernels
from tests.optimizers import rules

pytestmark = needs_kernels
EXAMPLES = 15 * int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
ROWS = 40
SEEDS = st.integers(0, 2**32 - 1)
RULES = {
    "adam": (rules.Adam, (0.1, 0.001, 1e-7)),
    "rowwise_adagrad": (rules.RowAdagrad, (0.1, 1e-7)),
    "ftrl": (rules.FTRL, (0.1, 0.5, 0.0, 0.0, 0.0)),
}


@pytest.fixture(autouse=True)
def switched_on(monkeypatch):
    monkeypatch.setenv("DEEPFM_TF_KERNELS", "auto")


def kernels():
    return kernels_for()


def slices(rows, values):
    return tf.IndexedSlices(
        tf.constant(values, "float32"), tf.constant(rows, "int32")
    )


def merged(rows, values):
    """Row -> sum, in the order in which they come, in float32."""
    sums = {}
    for row, value in zip(rows.tolist(), values, strict=True):
        sums[row] = sums[row] + value if row in sums else value
    return sums


@given(SEEDS, st.integers(0, 3000), st.integers(1, 12), st.integers(1, 60))
@settings(max_examples=EXAMPLES, deadline=None)
def test_equal_rows_are_added_up_one_after_the_other(seed, n, columns, span):
    random = np.random.default_rng(seed)
    rows = random.integers(0, span, n).astype("int32") * 7919
    values = random.normal(size=(n, columns)).astype("float32")

    found = kernels().merge(slices(rows, values))

    # To the last bit: threads change neither what is added nor its order.
    expected = merged(rows, values)
    assert len(found.indices) == len(expected)
    for row, total in zip(found.indices.numpy(), found.values, strict=True):
        np.testing.assert_array_equal(total, expected[int(row)])


def test_a_row_may_be_touched_thousands_of_times():
    rows = np.full(100_000, 3, "int32")

    found = kernels().merge(slices(rows, np.ones((100_000, 2), "float32")))

    assert found.indices.numpy().tolist() == [3]
    assert found.values.numpy().tolist() == [[100_000, 100_000]]


def step_of(name, seed, num_steps, columns, decay, batch_l2):
    """Tables after some steps: by the kernel, and by hand in float64."""
    random = np.random.default_rng(seed)
    by_hand, constants = RULES[name]
    rule, rate = by_hand(0.1, decay), 0.1
    # Another one for the last column.
    batch_l2 = batch_l2 * np.array([*[1.0] * (columns - 1), 0.1])
    if batch_l2.any():
        rule = rules.TouchedL2(rule, batch_l2)
    start = np.zeros((ROWS, columns))
    if name != "ftrl":
        start = random.normal(size=(ROWS, columns)).astype("float32")
    state_columns = 1 if name == "rowwise_adagrad" else 2 * columns
    has_l2 = bool(batch_l2.any())
    table = tf.Variable(start, dtype="float32")
    state = tf.Variable(tf.zeros((ROWS, state_columns + has_l2)))
    expected = start.astype("float64")
    for t in range(1, num_steps + 1):
        rows = random.integers(0, ROWS, random.integers(0, 60))
        values = random.normal(size=(len(rows), columns)).astype("float32")
        corrected = rate
        if name == "adam":
            corrected *= np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        kernels().update(
            *(table, state, kernels().merge(slices(rows, values))),
            Rule(name, tf.constant(corrected, "float32"), constants),
            1 - rate * decay,
            (batch_l2[None] * t).astype("float32") if has_l2 else None,
        )
        rule.step(expected, rules.merged(rows.tolist(), values), t)
    return table.numpy(), expected


@given(
    st.sampled_from(sorted(RULES)),
    SEEDS,
    st.integers(1, 4),
    st.sampled_from([1, 3, 11]),
    st.sampled_from([0.0, 0.1]),
    st.sampled_from([0.0, 0.01]),
)
@settings(max_examples=EXAMPLES, deadline=None)
def test_a_step_is_the_rule_by_hand(name, seed, steps, columns, decay, l2):
    # FTRL's weights follow from its state: a penalty on what they were, or
    # their decay, moves them by cancelling differences.
    found, expected = step_of(name, seed, steps, columns, decay, l2)

    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-4)


def test_what_another_has_read_stays_as_it_was():
    table, state = (tf.Variable(tf.ones((ROWS, n))) for n in (2, 1))
    read = tf.raw_ops.ReadVariableOp(resource=table.handle, dtype="float32")

    kernels().update(
        table,
        state,
        slices([1], np.ones((1, 2))),
        Rule("rowwise_adagrad", 0.5, RULES["rowwise_adagrad"][1]),
    )

    assert np.all(read.numpy() == 1)
    assert (table.numpy() != 1).any(axis=1).tolist() == [
        row == 1 for row in range(ROWS)
    ]


def test_a_table_of_several_large_pages_keeps_all_other_rows():
    # Of 4 and 8 MB, where a large page has 2.
    start = np.arange(2**20, dtype="float32").reshape(2**19, 2) * 2**-20
    table, state = tf.Variable(start), tf.Variable(tf.zeros((2**19, 4)))

    for _ in range(2):
        kernels().update(
            *(table, state, slices([7, 2**19 - 1], np.ones((2, 2)))),
            Rule("adam", 0.5, RULES["adam"][1]),
        )

    # m is .1, then .19; v is .001, then .001999.
    moved = 0.5 * (0.1 / np.sqrt(0.001) + 0.19 / np.sqrt(0.001999))
    start[[7, -1]] -= moved
    np.testing.assert_allclose(table.numpy(), start, rtol=1e-5)
    assert np.count_nonzero(state.numpy()) == 8


@pytest.mark.parametrize("row", [-1, ROWS])
def test_a_row_that_is_not_there_is_an_error_and_nothing_moves(row):
    table, state = (tf.Variable(tf.ones((ROWS, n))) for n in (2, 4))

    with pytest.raises(
        tf.errors.InvalidArgumentError, match=rf"{row} is not in \[0, {ROWS}\)"
    ):
        kernels().update(
            table,
            state,
            slices([0, row], np.ones((2, 2))),
            Rule("adam", 0.1, RULES["adam"][1]),
        )

    assert np.all(table.numpy() == 1)


def test_nan_gradients_stay_in_their_rows():
    table, state = tf.Variable(tf.ones((3, 2))), tf.Variable(tf.zeros((3, 4)))
    gradient = slices([0, 2], [[np.nan, 1.0], [1.0, 1.0]])

    for name in ("adam", "ftrl"):
        kernels().update(
            table, state, gradient, Rule(name, 0.1, RULES[name][1])
        )

        assert np.isnan(table.numpy()).tolist() == [
            [True, False],
            [False, False],
            [False, False],
        ]


@st.composite
def layouts(draw):
    """A layout, and a batch for it."""
    random = np.random.default_rng(draw(SEEDS))
    per_field = random.integers(1, 4, draw(st.integers(0, 3)))
    num_values = draw(st.integers(0 if len(per_field) else 1, 3))
    has_missing = random.integers(0, 2, num_values)
    batch = draw(st.sampled_from([0, 1, 70]))
    fields = np.repeat(np.arange(len(per_field)), per_field)
    layout = {
        "first_rows": random.integers(10, 30, len(fields)).tolist(),
        "fields": fields.tolist(),
        "numeric_rows": (2 * np.arange(num_values)).tolist(),
        "has_missing": has_missing.tolist(),
        "dim": draw(st.sampled_from([1, 3, 10])),
        "first_order": draw(st.booleans()),
        "factored": draw(st.booleans()),
    }
    ids = random.integers(-3, 10, (batch, len(fields))).astype("int32")
    weights = random.normal(size=ids.shape).astype("float32")
    weights[ids < 0] = np.nan
    values = random.normal(size=(batch, num_values)).astype("float32")
    values[random.random(values.shape) < 0.3] = np.nan
    table = random.normal(size=(ROWS, layout["dim"] + layout["first_order"]))
    return (
        layout,
        table.astype("float32"),
        ids if len(fields) else None,
        weights if len(fields) and draw(st.booleans()) else None,
        values if num_values else None,
    )


def pool_by_hand(table, layout, ids, weights, values):
    """(batch, fields, columns) in any kind of numbers; and the factors."""
    first = ids if ids is not None else values
    num_pooled = max(layout["fields"], default=-1) + 1
    num_values = len(layout["numeric_rows"])
    vectors = np.zeros(
        (len(first), num_pooled + num_values, table.shape[1]), table.dtype
    )
    missing = [i for i, has in enumerate(layout["has_missing"]) if has]
    factors = np.zeros((len(first), num_values + len(missing)))
    for b in range(len(first)):
        for c, field in enumerate(layout["fields"]):
            if ids[b, c] >= 0:
                x = 1.0 if weights is None else weights[b, c]
                row = table[layout["first_rows"][c] + ids[b, c]]
                vectors[b, field] += x * row
        for i, row in enumerate(layout["numeric_rows"]):
            if np.isfinite(values[b, i]):
                factors[b, i] = values[b, i]
                vectors[b, num_pooled + i] = values[b, i] * table[row]
            elif i in missing:
                factors[b, num_values + missing.index(i)] = 1
                vectors[b, num_pooled + i] = table[row + 1]
    return vectors, factors


def outputs_by_hand(table, layout, *batch):
    vectors, factors = pool_by_hand(table, layout, *batch)
    dim = layout["dim"]
    rows = layout["numeric_rows"]
    has = layout["has_missing"]
    rows = rows + [r + 1 for r, h in zip(rows, has, strict=True) if h]
    width = vectors.shape[1] * dim
    flat = vectors[:, :, :dim].reshape(len(vectors), width)
    if layout["factored"]:
        num_pooled = vectors.shape[1] - len(has)
        flat = np.hstack([flat[:, : num_pooled * dim], factors])
    products = np.zeros((len(vectors), dim), table.dtype)
    for i in range(vectors.shape[1]):
        for j in range(i):
            products += vectors[:, i, :dim] * vectors[:, j, :dim]
    return flat, vectors[:, :, dim:].sum(axis=1), products, table[rows, :dim]


@given(layouts())
@settings(max_examples=EXAMPLES, deadline=None)
def test_pooling_and_its_gradient_are_those_by_hand(drawn):
    layout, table, *batch = drawn
    variable = tf.Variable(table)
    random = np.random.default_rng(0)

    with tf.GradientTape() as tape:
        outputs = kernels().pool(variable, *batch, **layout)
        upstream = [
            random.normal(size=x.shape).astype("float32") for x in outputs
        ]
        loss = sum(
            tf.reduce_sum(x * u) for x, u in zip(outputs, upstream, strict=True)
        )
    gradient = tape.gradient(loss, variable)

    wide = table.astype("float64")
    expected = outputs_by_hand(wide, layout, *batch)
    for found, by_hand in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found, by_hand, rtol=1e-4, atol=1e-4)

    def loss_of(table):
        parts = outputs_by_hand(table, layout, *batch)
        return sum((p * u).sum() for p, u in zip(parts, upstream, strict=True))

    # Along a line, by complex numbers: exact, with no differences. The
    # `vectors` of rows that no example reads have a gradient nobody needs.
    direction = random.normal(size=table.shape)
    read = np.zeros(ROWS, bool)
    read[gradient.indices.numpy()] = True
    direction[~read] = 0
    slope = loss_of(wide + 1e-30j * direction).imag / 1e-30
    total = tf.convert_to_tensor(gradient).numpy().astype("float64")
    np.testing.assert_allclose(
        (total * direction).sum(), slope, rtol=1e-3, atol=1e-2
    )


@given(layouts())
@settings(max_examples=EXAMPLES // 3, deadline=None)
def test_the_gradient_names_what_contributes_and_nothing_else(drawn):
    layout, table, ids, weights, values = drawn
    variable = tf.Variable(table)

    with tf.GradientTape() as tape:
        flat = kernels().pool(variable, ids, weights, values, **layout)[0]
    found = tape.gradient(flat, variable).indices.numpy().tolist()

    expected = []
    if ids is not None:
        expected = (ids + np.array(layout["first_rows"]))[ids >= 0].tolist()
    for i, row in enumerate(layout["numeric_rows"]):
        present = np.isfinite(values[:, i])
        expected += [row] * int(present.any())
        if layout["has_missing"][i]:
            expected += [row + 1] * int((~present).any())
    assert sorted(found) == sorted(expected)


def test_an_id_beyond_the_table_is_an_error():
    table = tf.Variable(tf.ones((5, 2)))
    ids = np.array([[0, 1], [2, 2**31 - 1]], "int32")

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"in \[0, 5\)"):
        kernels().pool(
            *(table, ids, None, None),
            **{"first_rows": [0, 3], "fields": [0, 1], "numeric_rows": []},
            **{"has_missing": [], "dim": 2, "first_order": False},
            factored=False,
        )
