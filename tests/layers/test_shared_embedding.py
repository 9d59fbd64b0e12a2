"""Tests of the shared embedding table."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.testing import TestCase

from deepfm_tf import kernels
from deepfm_tf.layers import SharedEmbedding
from tests import reference

DIM = 3
ONE_ID_EACH = {"vocabulary_sizes": (5, 7, 3)}
SEVERAL_IDS = {"vocabulary_sizes": (5, 7, 3), "columns_per_field": (1, 3, 2)}
COMMON_BLOCK = {
    "vocabulary_sizes": (5, 7),
    "columns_per_field": (2, 1, 3),
    "field_tables": (0, 1, 0),
}
LAYOUTS = pytest.mark.parametrize(
    "fields",
    [ONE_ID_EACH, SEVERAL_IDS, COMMON_BLOCK],
    ids=["one_id_each", "several_ids", "common_block"],
)


def build(fields, **kwargs):
    """Returns a built layer, its table drawn from a normal distribution."""
    layer = SharedEmbedding(embedding_dim=DIM, **fields, **kwargs)
    layer.build((None, layer.num_ids))
    shape = (sum(fields["vocabulary_sizes"]), DIM)
    table = np.random.default_rng(1).normal(size=shape)
    layer.embeddings.assign(table)
    return layer


def draw(fields, batch, dtype="float32"):
    """Returns ids, one in four masked, and weights for them."""
    generator = np.random.default_rng(2)
    sizes = fields["vocabulary_sizes"]
    tables = fields.get("field_tables", range(len(sizes)))
    counts = fields.get("columns_per_field", [1] * len(tables))
    rows_per_column = np.repeat([sizes[table] for table in tables], counts)
    shape = (batch, len(rows_per_column))
    ids = generator.integers(0, rows_per_column, size=shape)
    ids[generator.random(shape) < 0.25] = -1
    return ids, generator.normal(size=shape).astype(dtype)


def value_and_gradients(layer, ids, weights, training=False):
    weights = tf.convert_to_tensor(weights)
    with tf.GradientTape() as tape:
        tape.watch(weights)
        outputs = layer(ids, weights, training=training)
        loss = tf.reduce_sum(tf.square(outputs))
    table_gradient, weights_gradient = tape.gradient(
        loss, [layer.embeddings, weights]
    )
    return outputs, tf.convert_to_tensor(table_gradient), weights_gradient


def operations(layer):
    """Returns the operations in the layer's graph."""
    ids = tf.TensorSpec((None, layer.num_ids), "int32")
    graph = tf.function(layer, autograph=False).get_concrete_function(ids).graph
    return graph.get_operations()


@LAYOUTS
@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("weighted", [False, True])
def test_output_matches_loop_over_id_columns(fields, batch, weighted):
    layer = build(fields)
    ids, weights = draw(fields, batch)
    weights = weights if weighted else None

    outputs = layer(ids, weights)

    table = layer.embeddings.numpy()
    expected = reference.pooled_embeddings(
        table, ids, weights=weights, **fields
    )
    # float32 sums of at most three products.
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@LAYOUTS
def test_gradients_match_central_difference(fields):
    layer = build(fields, dtype="float64")
    ids, weights = draw(fields, 5, dtype="float64")
    table = layer.embeddings.numpy()

    found = {
        training: value_and_gradients(layer, ids, weights, training)[1:]
        for training in (False, True)
    }

    def loss(table, weights):
        return np.sum(
            reference.pooled_embeddings(table, ids, weights=weights, **fields)
            ** 2
        )

    # Quadratic in either: the difference is exact up to 1e-15 / epsilon.
    by_table = reference.central_difference(
        lambda array: loss(array, weights), table, 1e-4
    )
    by_weights = reference.central_difference(
        lambda array: loss(table, array), weights, 1e-4
    )
    for training, (table_gradient, weights_gradient) in found.items():
        message = f"training={training}"
        np.testing.assert_allclose(
            table_gradient, by_table, atol=1e-8, err_msg=message
        )
        np.testing.assert_allclose(
            weights_gradient, by_weights, atol=1e-8, err_msg=message
        )


@LAYOUTS
@pytest.mark.parametrize("training", [False, True])
def test_gradient_of_table_is_sparse(fields, training):
    layer = build(fields)
    ids, _ = draw(fields, 5)

    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(ids, training=training))
    gradient = tape.gradient(loss, layer.trainable_variables[0])

    assert isinstance(gradient, tf.IndexedSlices)


# Two fields by id, then three numeric ones; the middle one of these has no row
# for missing values. Rows: 0-2, 3-4, 5-6, 7, 8-9.
NUMERIC = {"vocabulary_sizes": (3, 2, 2, 1, 2)}
NAN = np.nan
MIXED_IDS = np.array([[1, -1], [2, 1], [1, -1]])
MIXED_VALUES = np.array(
    [[0.5, NAN, 2.0], [np.inf, 3.0, NAN], [-2.0, NAN, 0.25]]
)


def mixed_layer(dtype="float32"):
    """Five fields, `DIM` columns and the first-order one."""
    layer = SharedEmbedding(
        embedding_dim=DIM, first_order=True, dtype=dtype, **NUMERIC
    )
    layer.build((None, 2), None, (None, 3))
    layer.embeddings.assign(np.random.default_rng(3).normal(size=(10, DIM + 1)))
    return layer


def mixed_by_hand(table, ids=MIXED_IDS, values=MIXED_VALUES):
    """Embeddings and first-order sums, one field of one example at a time."""
    embeddings = np.zeros((len(ids), 5, DIM))
    linear = np.zeros((len(ids), 1))
    for example in range(len(ids)):
        rows = [
            (field, first + ids[example][field], 1.0)
            for field, first in ((0, 0), (1, 3))
            if ids[example][field] >= 0
        ]
        for number, (row, missing) in enumerate(((5, 6), (7, None), (8, 9))):
            value = values[example][number]
            if np.isfinite(value):
                rows.append((2 + number, row, value))
            elif missing:
                rows.append((2 + number, missing, 1.0))
        for field, row, x in rows:
            embeddings[example, field] += x * table[row, :DIM]
            linear[example, 0] += x * table[row, DIM]
    return embeddings, linear


@pytest.mark.parametrize("training", [False, True])
def test_numeric_fields_and_first_order_match_a_loop(training):
    layer = mixed_layer()

    outputs = layer(MIXED_IDS, None, MIXED_VALUES, training=training)

    expected = mixed_by_hand(layer.embeddings.numpy())
    for actual, by_hand in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(actual, by_hand, rtol=1e-5, atol=1e-6)


def test_gradients_of_numeric_fields_match_central_difference():
    layer = mixed_layer("float64")
    table = layer.embeddings.numpy()
    values = tf.constant(MIXED_VALUES)

    def gradients(training):
        with tf.GradientTape() as tape:
            tape.watch(values)
            embeddings, linear = layer(
                MIXED_IDS, None, values, training=training
            )
            loss = tf.reduce_sum(embeddings**2) + tf.reduce_sum(linear**3)
        return tape.gradient(loss, [layer.embeddings.value, values])

    def loss_of(table, values):
        embeddings, linear = mixed_by_hand(table, values=values)
        return np.sum(embeddings**2) + np.sum(linear**3)

    present = np.isfinite(MIXED_VALUES)
    by_table = reference.central_difference(
        lambda array: loss_of(array, MIXED_VALUES), table, 1e-5
    )
    # Stepping away from NaN is no derivative; there the gradient is zero.
    by_values = reference.central_difference(
        lambda array: loss_of(table, np.where(present, array, MIXED_VALUES)),
        np.where(present, MIXED_VALUES, 0.0),
        1e-5,
    )
    for training in (False, True):
        of_table, of_values = gradients(training)
        message = f"training={training}"
        np.testing.assert_allclose(
            tf.convert_to_tensor(of_table),
            by_table,
            atol=1e-7,
            err_msg=message,
        )
        np.testing.assert_allclose(
            of_values, by_values, atol=1e-7, err_msg=message
        )


def test_the_gradient_in_training_names_touched_rows_alone():
    layer = mixed_layer()
    values = MIXED_VALUES.copy()
    values[:, 0] = [0.0, 1.0, 2.0]  # never missing: row 6 is not touched

    with tf.GradientTape() as tape:
        outputs = layer(MIXED_IDS, None, values, training=True)
        loss = tf.reduce_sum(outputs[0]) + tf.reduce_sum(outputs[1])
    gradient = tape.gradient(loss, layer.embeddings.value)

    # By id 1, 2 and 3 + 1; by value 5, 7 and 8; 9 is missing once.
    assert set(gradient.indices.numpy()) == {1, 2, 4, 5, 7, 8, 9}


@pytest.mark.parametrize("training", [False, True])
def test_factored_outputs_multiply_out_to_the_embeddings(training):
    layer = SharedEmbedding(embedding_dim=DIM, factored=True, **NUMERIC)
    layer.build((None, 2), None, (None, 3))
    layer.embeddings.assign(np.random.default_rng(3).normal(size=(10, DIM)))

    embeddings, flat, vectors = layer(
        MIXED_IDS, None, MIXED_VALUES, training=training
    )

    assert flat.shape == (3, 2 * DIM + 5) and vectors.shape == (5, DIM)
    # Of the last five columns, the last two count rows for missing values.
    table, field = layer.embeddings.numpy(), (2, 3, 4, 2, 4)
    np.testing.assert_array_equal(vectors, table[[5, 7, 8, 6, 9]])
    parts = np.zeros((3, 5, DIM))
    parts[:, :2] = np.reshape(flat[:, : 2 * DIM], (3, 2, DIM))
    for row in range(5):
        for example in range(3):
            x = float(flat[example, 2 * DIM + row])
            parts[example, field[row]] += x * vectors[row]
    np.testing.assert_allclose(parts, embeddings, rtol=1e-6)


@pytest.mark.parametrize(("num_ids", "num_values"), [(0, 3), (2, 0), (2, 3)])
def test_factored_shapes_are_known_beforehand(num_ids, num_values):
    sizes = (3, 2)[:num_ids] + (2, 1, 2)[:num_values]
    inputs = {}
    if num_ids:
        inputs["ids"] = keras.Input((num_ids,), dtype="int32", name="ids")
    if num_values:
        inputs["values"] = keras.Input((num_values,), name="values")
    layer = SharedEmbedding(sizes, DIM, first_order=True, factored=True)

    outputs = layer(**inputs)

    arrays = {k: np.ones((4, x.shape[1]), x.dtype) for k, x in inputs.items()}
    model = keras.Model(inputs, outputs)
    for training in (False, True):
        found = model(arrays, training=training)
        for symbolic, actual in zip(outputs, found, strict=True):
            known = tuple(4 if n is None else n for n in symbolic.shape)
            assert known == actual.shape


def test_numeric_fields_alone_need_no_ids():
    layer = SharedEmbedding((2, 1), DIM)
    values = np.array([[0.5, 2.0], [NAN, NAN]], "float32")

    outputs = layer(values=values)

    table = layer.embeddings.numpy()
    np.testing.assert_allclose(
        outputs,
        [[0.5 * table[0], 2 * table[2]], [table[1], np.zeros(DIM)]],
        rtol=1e-6,
    )


def test_first_order_weights_start_at_zero():
    layer = SharedEmbedding((5, 7), DIM, first_order=True)
    layer.build((None, 2))

    table = layer.embeddings.numpy()

    assert table.shape == (12, DIM + 1)
    assert np.all(table[:, :DIM] != 0) and np.all(table[:, DIM] == 0)


def test_fields_without_a_column_are_refused():
    layer = SharedEmbedding((5, 7), DIM)
    with pytest.raises(ValueError, match="of 2 in all.*values of shape"):
        layer(np.zeros((2, 1), "int32"), None, np.zeros((2, 2), "float32"))


@pytest.mark.parametrize("masked", [-1, -9])
def test_negative_id_contributes_nothing(masked):
    layer = build(SEVERAL_IDS)
    ids = np.array([[2, 1, masked, 6, masked, masked]])
    # Not even where the weight of the masked id is not a number.
    weights = np.array([[2.0, 3.0, np.nan, -1.0, np.inf, 5.0]], "float32")

    outputs, table_gradient, weights_gradient = value_and_gradients(
        layer, ids, weights
    )

    # Rows: field 0 starts at 0, field 1 at 5, field 2 at 12.
    table = layer.embeddings.numpy()
    by_hand = [[2 * table[2], 3 * table[6] - table[11], np.zeros(DIM)]]
    np.testing.assert_allclose(outputs, by_hand, rtol=1e-6)
    touched = np.flatnonzero(np.any(table_gradient.numpy() != 0, axis=1))
    np.testing.assert_array_equal(touched, [2, 6, 11])
    np.testing.assert_array_equal(
        weights_gradient.numpy() == 0, [[0, 0, 1, 0, 1, 1]]
    )


def test_fields_with_one_block_share_its_rows():
    layer = build({"vocabulary_sizes": (5, 7), "field_tables": (0, 1, 0)})

    outputs = layer(np.array([[3, 3, 3]])).numpy()

    assert layer.embeddings.shape == (12, DIM)
    np.testing.assert_array_equal(outputs[0, 0], outputs[0, 2])
    assert np.all(outputs[0, 0] != outputs[0, 1])


def test_properties_count_fields_and_id_columns_before_build():
    layer = SharedEmbedding(embedding_dim=DIM, **COMMON_BLOCK)

    assert (layer.num_fields, layer.num_ids) == (3, 6)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int32", "int64"])
def test_id_dtype_does_not_limit_the_number_of_rows(dtype):
    layer = SharedEmbedding((400, 3), DIM)
    ids = np.array([[100, 2]], dtype)

    outputs = layer(ids).numpy()

    table = layer.embeddings.numpy()
    np.testing.assert_array_equal(outputs, [[table[100], table[402]]])


def test_one_id_per_field_costs_no_pooling():
    layer = build(ONE_ID_EACH)

    types = [operation.type for operation in operations(layer)]
    pooling = ("Sum", "Transpose", "MatMul", "Einsum")
    assert not [type_ for type_ in types if type_.endswith(pooling)]


@pytest.mark.parametrize("distributed", [False, True])
def test_table_is_never_read_whole(distributed):
    strategy = tf.distribute.get_strategy()
    if distributed:
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        layer = build(SEVERAL_IDS)

    types = {op.type for op in strategy.run(operations, (layer,))}

    assert "ResourceGather" in types
    assert types.isdisjoint({"ReadVariableOp", "GatherV2"})


@LAYOUTS
def test_no_step_lacks_a_gpu_kernel(fields, monkeypatch):
    monkeypatch.setattr(kernels, "has_gpu", lambda: True)
    layer = build(fields)

    # TensorFlow computes with int32 on the host; its BiasAdd takes no int64.
    computed = [
        operation
        for operation in operations(layer)
        if operation.type not in ("Const", "Placeholder")
    ]
    assert all(op.type != "BiasAdd" for op in computed)
    assert all(out.dtype != "int32" for op in computed for out in op.outputs)


@LAYOUTS
def test_compiled_value_and_gradients_equal_eager_ones(fields):
    layer = build(fields)
    ids, weights = draw(fields, 5)

    compiled = tf.function(
        value_and_gradients, jit_compile=True, autograph=False
    )(layer, tf.constant(ids), tf.constant(weights))

    # XLA may sum in another order.
    eager = value_and_gradients(layer, ids, weights)
    for actual, expected in zip(compiled, eager, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@LAYOUTS
def test_empty_batch_gives_empty_output(fields):
    layer = build(fields)
    ids, weights = draw(fields, 0)

    assert layer(ids, weights).shape == (0, 3, DIM)


def test_symbolic_batch_stays_unknown():
    layer = SharedEmbedding(embedding_dim=DIM, **SEVERAL_IDS)

    outputs = layer(keras.Input((6,), dtype="int32"), keras.Input((6,)))

    assert outputs.shape == (None, 3, DIM)


def test_half_precision_pools_in_float32():
    layer = build(SEVERAL_IDS, dtype="mixed_float16")
    # In float16 1 + 2^-11 is 1, 2049 is 2048 and 2048 + 1 + 1 is 2048.
    table = np.ones((15, DIM))
    table[5] += 2**-11
    layer.embeddings.assign(table)
    ids = np.array([[1, 0, 1, -1, 1, 1]])
    weights = np.array([[0.5, 2048, -2048, 0, 2049, -2048]], "float32")

    outputs = layer(ids, weights)

    # 2048 (1 + 2^-11) - 2048 = 1 and 2049 - 2048 = 1.
    assert outputs.dtype == "float16"
    np.testing.assert_array_equal(outputs[0, :, 0], [0.5, 1.0, 1.0])


def test_layers_with_one_initializer_start_different():
    initializer = keras.initializers.RandomNormal()
    first = SharedEmbedding((5, 7), DIM, embeddings_initializer=initializer)
    second = SharedEmbedding((5, 7), DIM, embeddings_initializer=initializer)

    first.build((None, 2))
    second.build((None, 2))

    assert np.all(first.embeddings.numpy() != second.embeddings.numpy())


def test_regularizer_penalises_whole_table():
    layer = build(ONE_ID_EACH, embeddings_regularizer=keras.regularizers.L2(3))

    table = layer.embeddings.numpy()
    np.testing.assert_allclose(layer.losses, [3 * np.sum(table**2)], rtol=1e-5)


def test_config_round_trip_keeps_every_argument():
    layer = SharedEmbedding(
        embedding_dim=DIM,
        embeddings_initializer=keras.initializers.RandomNormal(0.5, 0.1),
        embeddings_regularizer=keras.regularizers.L1(0.2),
        first_order=True,
        factored=True,
        name="table",
        dtype="mixed_bfloat16",
        **COMMON_BLOCK,
    )

    config = layer.get_config()
    clone = SharedEmbedding.from_config(config)

    assert clone.get_config() == config
    assert config["field_tables"] == (0, 1, 0)
    assert config["first_order"] and config["factored"]
    assert config["columns_per_field"] == (2, 1, 3)
    assert config["embeddings_initializer"]["config"]["stddev"] == 0.1


def test_numpy_integers_are_accepted():
    sizes = np.array([5, 7])
    layer = SharedEmbedding(
        tuple(sizes), sizes[0], field_tables=tuple(sizes // 6)
    )

    config = json.loads(json.dumps(layer.get_config()))

    assert config["vocabulary_sizes"] == [5, 7]
    assert config["field_tables"] == [0, 1]


def test_saved_model_file_restores_outputs(tmp_path):
    ids = keras.Input((6,), dtype="int32")
    weights = keras.Input((6,))
    layer = SharedEmbedding(embedding_dim=DIM, **COMMON_BLOCK)
    model = keras.Model([ids, weights], layer(ids, weights))
    model.save(tmp_path / "model.keras")

    restored = keras.models.load_model(tmp_path / "model.keras")

    inputs = list(draw(COMMON_BLOCK, 5))
    np.testing.assert_array_equal(restored(inputs), model(inputs))


# Keras's own test fits on a generator and leaves `shuffle` at its default.
@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed:UserWarning")
@LAYOUTS
def test_keras_layer_contract_holds(fields):
    ids, _ = draw(fields, 2)
    TestCase().run_layer_test(
        SharedEmbedding,
        init_kwargs={"embedding_dim": DIM, **fields},
        input_data=ids,
        expected_output_shape=(2, 3, DIM),
        expected_num_trainable_weights=1,
        expected_num_non_trainable_weights=0,
        # It fits a model, which takes longest.
        run_training_check=fields is COMMON_BLOCK,
    )


def test_keras_layer_contract_holds_with_weights():
    TestCase().run_layer_test(
        SharedEmbedding,
        init_kwargs={"embedding_dim": DIM, **SEVERAL_IDS},
        input_shape={"ids_shape": (2, 6), "weights_shape": (2, 6)},
        input_dtype={"ids_shape": "int32", "weights_shape": "float32"},
        expected_output_shape=(2, 3, DIM),
        run_training_check=False,  # Keras would pass the dict as `ids`
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"vocabulary_sizes": ()}, r"`vocabulary_sizes` must .*=\(\)\."),
        ({"vocabulary_sizes": 5}, r"`vocabulary_sizes` must .*=5\."),
        ({"vocabulary_sizes": (5, 0)}, r"`vocabulary_sizes` must .*\(5, 0\)"),
        ({"embedding_dim": 0}, r"`embedding_dim` must .*embedding_dim=0\."),
        ({"embedding_dim": 2.5}, r"`embedding_dim` must .*embedding_dim=2\.5"),
        ({"field_tables": ()}, r"`field_tables` must .* 0 to 1, .*\(\)\."),
        ({"field_tables": (0, 2)}, r"`field_tables` must .*\(0, 2\)\."),
        ({"field_tables": (-1, 0)}, r"`field_tables` must .*\(-1, 0\)\."),
        (
            {"columns_per_field": ()},
            r"`columns_per_field` must .* 2 fields.*\(\)\.",
        ),
        (
            {"columns_per_field": (1,)},
            r"`columns_per_field` must .* 2 fields.*\(1,\)\.",
        ),
        (
            {"columns_per_field": (1, 0)},
            r"`columns_per_field` must .*\(1, 0\)\.",
        ),
    ],
)
def test_bad_argument_is_refused(arguments, message):
    valid = {"vocabulary_sizes": (5, 7), "embedding_dim": DIM}
    with pytest.raises(ValueError, match=message):
        SharedEmbedding(**{**valid, **arguments})


@pytest.mark.parametrize("shape", [(2, 5), (6,), (2, 6, 1)])
def test_wrong_shape_is_refused(shape):
    layer = SharedEmbedding(embedding_dim=DIM, **SEVERAL_IDS)
    with pytest.raises(ValueError, match=r"`ids` must have shape \(batch, 6\)"):
        layer(np.zeros(shape, "int32"))


def test_wrong_shape_of_weights_is_refused():
    layer = SharedEmbedding(embedding_dim=DIM, **SEVERAL_IDS)
    with pytest.raises(ValueError, match=r"`weights` must .*shape=\(2, 1\)"):
        layer(np.zeros((2, 6), "int32"), np.ones((2, 1)))


def test_float_ids_are_refused():
    layer = build(ONE_ID_EACH)
    with pytest.raises(TypeError, match="`ids` must be integers.*float32"):
        layer(np.zeros((2, 3), "float32"))


# Two fields share a block; the first has two id columns, the last two are
# numeric.
def of_all_kinds():
    layer = SharedEmbedding(
        (4, 3, 2, 1),
        embedding_dim=2,
        columns_per_field=(2, 1, 1, 1, 1),
        field_tables=(0, 1, 0, 2, 3),
        first_order=True,
    )
    arguments = {
        "ids": np.array([[1, -1, 2, 3], [0, 3, 0, -1]]),
        "weights": np.array([[2.0, 9.0, 1.0, 0.5], [1.0, 3.0, 1.0, 1.0]]),
        "values": np.array([[0.5, np.nan], [np.nan, -2.0]], "float32"),
    }
    layer(**arguments)
    random = np.random.default_rng(2)
    layer.embeddings.assign(random.normal(size=layer.embeddings.shape))
    return layer, arguments


def test_all_columns_are_embeddings_and_first_order_weights():
    layer, arguments = of_all_kinds()

    columns = layer.lookup(**arguments)

    embeddings, linear = layer(**arguments)
    np.testing.assert_allclose(columns[:, :, :2], embeddings, rtol=1e-6)
    np.testing.assert_allclose(
        np.sum(columns[:, :, 2], axis=1, keepdims=True), linear, rtol=1e-5
    )


@pytest.mark.parametrize(
    ("fields", "columns", "values"),
    [
        ((0,), [0, 1], []),
        ((1, 2, 4), [2, 3], [1]),
        ((3,), [], [0]),
        ((0, 1, 2, 3, 4), [0, 1, 2, 3], [0, 1]),
    ],
)
def test_some_fields_are_embedded_as_among_all(fields, columns, values):
    layer, arguments = of_all_kinds()

    part = layer.subset(fields)
    columns = part.lookup(
        ids=arguments["ids"][:, columns] if columns else None,
        weights=arguments["weights"][:, columns] if columns else None,
        values=arguments["values"][:, values] if values else None,
    )

    assert part.embeddings is layer.embeddings
    np.testing.assert_allclose(
        columns,
        np.asarray(layer.lookup(**arguments))[:, list(fields)],
        rtol=1e-6,
    )


def test_another_table_may_be_read_in_another_type():
    layer, arguments = of_all_kinds()
    table = tf.Variable(tf.zeros(layer.embeddings.shape, tf.float16) + 0.5)

    columns = layer.subset(range(5), table).lookup(**arguments)

    assert columns.dtype == tf.float32
    np.testing.assert_array_equal(columns[0, 1], [0.5, 0.5, 0.5])


def test_where_no_id_is_negative_masks_make_no_difference():
    layer = SharedEmbedding((4, 3), embedding_dim=2)
    ids = np.array([[1, 2], [0, 0]])
    expected = layer(ids)

    columns = layer.subset([0, 1], assume_all_present=True).lookup(ids)

    np.testing.assert_array_equal(columns, expected)
