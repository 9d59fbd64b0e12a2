"""What all lazy optimizers do alike."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf import create_strategy
from deepfm_tf.layers import SharedEmbedding
from deepfm_tf.optimizers import LazyAdam, LazyFTRL, RowwiseAdagrad
from tests.conftest import make_log
from tests.native.kernels import needs_kernels
from tests.optimizers import rules

ROWS, DIM = 6, 3
RULES = {
    LazyAdam: rules.Adam,
    RowwiseAdagrad: rules.RowAdagrad,
    LazyFTRL: rules.FTRL,
}
EVERY = pytest.mark.parametrize("optimizer", RULES, ids=lambda c: c.__name__)
# What all have from one base: of one of them here, of all where CI runs.
OF_THE_BASE = pytest.mark.parametrize(
    "optimizer",
    [
        rule if rule is LazyAdam else pytest.param(rule, marks=pytest.mark.long)
        for rule in RULES
    ],
    ids=lambda c: c.__name__,
)
# Rows 1 and 4 come twice, row 3 and row 0 never.
STEPS = [[1, 4, 1, 2], [4, 5], [2, 4, 4]]


def new_table(value=None, name="embeddings", dtype="float32"):
    if value is None:
        value = np.random.default_rng(0).normal(size=(ROWS, DIM))
    return keras.Variable(np.array(value, dtype), name=name, dtype=dtype)


def gradients_of(steps, dim=DIM, seed=1):
    random = np.random.default_rng(seed)
    return [random.normal(size=(len(rows), dim)) for rows in steps]


def slices(rows, gradient):
    return tf.IndexedSlices(
        tf.constant(gradient, "float32"),
        tf.constant(rows, "int32"),
        tf.constant([ROWS, np.shape(gradient)[1]], "int32"),
    )


def run(optimizer, table, steps=STEPS, gradients=None):
    gradients = gradients or gradients_of(steps, table.shape[1])
    for rows, gradient in zip(steps, gradients, strict=True):
        optimizer.apply([slices(rows, gradient)], [table])


@EVERY
@pytest.mark.parametrize("decay", [None, 0.2])
def test_steps_are_those_worked_out_row_by_row(optimizer, decay):
    table = new_table()
    expected = table.numpy().astype("float64")
    rule = RULES[optimizer](0.1, decay or 0.0)
    for t, (rows, gradient) in enumerate(
        zip(STEPS, gradients_of(STEPS), strict=True), 1
    ):
        rule.step(expected, rules.merged(rows, gradient), t)

    run(optimizer(learning_rate=0.1, weight_decay=decay), table)

    np.testing.assert_allclose(table.numpy(), expected, rtol=1e-5, atol=1e-6)


@EVERY
def test_untouched_rows_and_their_state_stay_bit_for_bit(optimizer):
    table = new_table()
    before = table.numpy()
    rule = optimizer(learning_rate=0.1, weight_decay=0.5, clipnorm=0.1)

    run(rule, table)

    changed = np.any(table.numpy() != before, axis=1)
    assert changed.tolist() == [False, True, True, False, True, True]
    state = rule.variables[-1].numpy()
    assert np.any(state != 0, axis=1).tolist() == changed.tolist()


@EVERY
def test_the_penalty_on_touched_rows_is_the_one_worked_out(optimizer):
    table, plain = new_table(), new_table()
    before = table.numpy()
    expected = before.astype("float64")
    rule = rules.TouchedL2(RULES[optimizer](0.1), 0.5)
    for t, (rows, gradient) in enumerate(
        zip(STEPS, gradients_of(STEPS), strict=True), 1
    ):
        rule.step(expected, rules.merged(rows, gradient), t)

    run(optimizer(learning_rate=0.1, batch_l2=0.5), table)
    run(optimizer(learning_rate=0.1), plain)

    np.testing.assert_allclose(table.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(table.numpy() - plain.numpy()).max() > 1e-3
    np.testing.assert_array_equal(table.numpy()[[0, 3]], before[[0, 3]])


def test_penalties_of_touched_rows_add_up_to_that_of_the_table():
    # A quarter, a half and all of 40 batches touch rows 0, 1 and 2. Steps of
    # SGD, whose gradients are nothing but the penalty: Adagrad beside a large
    # accumulator, 1e6, divides them by 1e3.
    table = new_table(np.ones((3, 1)))
    rule = RowwiseAdagrad(
        learning_rate=10.0, initial_accumulator_value=1e6, batch_l2=1.0
    )
    rule.build([table])

    @tf.function(
        input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False
    )
    def apply(rows):
        nothing = tf.zeros((tf.size(rows), 1))
        rule.apply(
            [tf.IndexedSlices(nothing, rows, tf.constant([3, 1]))], [table]
        )

    for step in range(1, 41):
        rows = [row for row, gap in enumerate((4, 2, 1)) if step % gap == 0]
        apply(tf.constant(rows))

    # (1 - 4e-2)^10, (1 - 2e-2)^20, (1 - 1e-2)^40; the accumulator grows by the
    # squares of the penalties, to 1.0002e6 at most.
    expected = [[0.96**10], [0.98**20], [0.99**40]]
    np.testing.assert_allclose(table.numpy(), expected, rtol=3e-4)


@pytest.mark.parametrize("optimizer", [LazyAdam, LazyFTRL])
def test_first_order_weights_have_a_penalty_of_their_own(optimizer):
    # These rules treat each column by itself.
    both, vectors, weights = new_table(), new_table(), new_table()
    both.first_order_columns = 1

    run(optimizer(learning_rate=0.1, batch_l2=0.5, first_order_l2=0.02), both)
    run(optimizer(learning_rate=0.1, batch_l2=0.5), vectors)
    run(optimizer(learning_rate=0.1, batch_l2=0.02), weights)

    expected = vectors.numpy()
    expected[:, -1] = weights.numpy()[:, -1]
    np.testing.assert_allclose(both.numpy(), expected, rtol=1e-5)
    assert np.abs(expected - vectors.numpy()).max() > 1e-3


@EVERY
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf")])
def test_a_penalty_must_be_positive(optimizer, value):
    with pytest.raises(ValueError, match="`batch_l2` must be a positive"):
        optimizer(batch_l2=value)
    with pytest.raises(ValueError, match="`first_order_l2` must be a posit"):
        optimizer(batch_l2=0.1, first_order_l2=value)


def test_a_penalty_on_first_order_weights_alone_is_refused():
    with pytest.raises(ValueError, match="must go with `batch_l2`"):
        LazyAdam(first_order_l2=0.1)


@EVERY
@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_duplicates_are_merged_before_clipping(optimizer, clip):
    random = np.random.default_rng(4)
    rows, gradient = [1, 4, 1, 1], random.normal(size=(4, DIM))
    dense = random.normal(size=(2,))
    tables = [new_table(), new_table()]
    others = [keras.Variable(np.ones(2), name="bias") for _ in tables]
    merged = rules.merged(rows, gradient)

    for table, other, (given, values) in zip(
        tables,
        others,
        ((rows, gradient), (list(merged), list(merged.values()))),
        strict=True,
    ):
        rule = optimizer(learning_rate=0.1, **{clip: 0.5})
        for _ in range(2):
            rule.apply(
                [slices(given, values), tf.constant(dense, "float32")],
                [table, other],
            )

    np.testing.assert_allclose(*tables, rtol=1e-6)
    np.testing.assert_allclose(*others, rtol=1e-6)


@pytest.mark.parametrize("clip", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_clipping_sees_what_it_would_of_a_dense_gradient(clip):
    rows, gradient = [1, 4, 1], gradients_of([[1, 4, 1]])[0]
    dense = np.zeros((ROWS, DIM))
    np.add.at(dense, rows, gradient)
    lazy, plain = new_table(), new_table(name="kernel")
    before = lazy.numpy()
    # Beside a large accumulator, 1e6, a step is the gradient over 1e3.
    options = {"learning_rate": 0.1, clip: 0.3}

    RowwiseAdagrad(initial_accumulator_value=1e6, **options).apply(
        [slices(rows, gradient)], [lazy]
    )
    keras.optimizers.SGD(**options).apply(
        [tf.constant(dense, "float32")], [plain]
    )

    moved = (lazy.numpy() - before) * 1e3
    np.testing.assert_allclose(moved, plain.numpy() - before, atol=2e-3)


@EVERY
def test_other_variables_get_the_rule_of_keras(optimizer):
    mine, keras_own = (keras.Variable(np.ones((4, 2))) for _ in range(2))
    config = {"learning_rate": 0.05, "weight_decay": 0.1, "clipnorm": 0.7}
    parent = optimizer.__bases__[1]
    rules_of = optimizer(**config), parent(**config)
    random = np.random.default_rng(3)

    for _ in range(5):
        gradient = tf.constant(random.normal(size=(4, 2)), "float32")
        rules_of[0].apply([gradient], [mine])
        rules_of[1].apply([gradient], [keras_own])

    assert parent.__module__.startswith("keras.")
    np.testing.assert_allclose(mine, keras_own, rtol=1e-6)


@EVERY
def test_a_dense_gradient_touches_every_row(optimizer):
    mine, by_rows = new_table(), new_table()
    gradient = gradients_of([range(ROWS)])[0]

    for table, given in (
        (mine, tf.constant(gradient, "float32")),
        (by_rows, slices(range(ROWS), gradient)),
    ):
        rule = optimizer(learning_rate=0.1, weight_decay=0.1)
        for _ in range(3):
            rule.apply([given], [table])

    np.testing.assert_allclose(mine, by_rows, rtol=1e-6)


@EVERY
def test_learning_rate_schedules_are_followed(optimizer):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [0, 1], [0.3, 0.1, 0.02]
    )
    table = new_table(np.zeros((ROWS, DIM)))
    expected = np.zeros((ROWS, DIM))
    rule = RULES[optimizer](0.0)
    for t, (rows, gradient) in enumerate(
        zip(STEPS, gradients_of(STEPS), strict=True), 1
    ):
        rule.learning_rate = (0.3, 0.1, 0.02)[t - 1]
        rule.step(expected, rules.merged(rows, gradient), t)

    run(optimizer(learning_rate=schedule), table)

    np.testing.assert_allclose(table.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_moving_average_is_over_the_whole_table():
    table = new_table()
    rule = LazyAdam(learning_rate=0.1, use_ema=True, ema_momentum=0.8)
    average = None

    for rows, gradient in zip(STEPS, gradients_of(STEPS), strict=True):
        rule.apply([slices(rows, gradient)], [table])
        now = table.numpy()
        average = now if average is None else 0.8 * average + 0.2 * now
    rule.finalize_variable_values([table])

    np.testing.assert_allclose(table.numpy(), average, rtol=1e-5)


@EVERY
@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("gradient_accumulation_steps", 4, "Use a larger batch"),
        ("loss_scale_factor", 8.0, "LossScaleOptimizer"),
    ],
)
def test_what_cannot_be_lazy_is_refused(optimizer, option, value, hint):
    with pytest.raises(ValueError, match=f"`{option}` must be None.*{hint}"):
        optimizer(**{option: value})


def embedding_model(**kwargs):
    """A model of stock Keras layers, as anyone writes it."""
    return keras.Sequential(
        [
            keras.Input((2,), dtype="int32"),
            keras.layers.Embedding(50, 4, **kwargs),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )


IDS = np.random.default_rng(5).integers(0, 40, (64, 2))
TARGETS = np.random.default_rng(6).normal(size=(64, 1))


def train(model, batch_size):
    """An epoch; Keras's own takes longer to begin than these few steps."""
    for start in range(0, len(IDS), batch_size):
        rows = slice(start, start + batch_size)
        model.train_on_batch(IDS[rows], TARGETS[rows])


@pytest.mark.parametrize(
    ("optimizer", "steps_per_execution"),
    [
        (LazyAdam, 2),
        pytest.param(RowwiseAdagrad, 1, marks=pytest.mark.long),
        pytest.param(LazyFTRL, 1, marks=pytest.mark.long),
    ],
)
def test_any_keras_model_trains(optimizer, steps_per_execution):
    keras.utils.set_random_seed(0)
    model = embedding_model()
    model.compile(
        optimizer=optimizer(learning_rate=0.1),
        loss="mse",
        steps_per_execution=steps_per_execution,
        jit_compile=False,
    )
    before = model.layers[0].embeddings.numpy()

    # Few and long: to begin an epoch takes Keras longer than its steps.
    ids, targets = np.tile(IDS, (4, 1)), np.tile(TARGETS, (4, 1))
    losses = model.fit(ids, targets, batch_size=16, epochs=5, verbose=0).history

    assert losses["loss"][-1] < 0.9 * losses["loss"][0]
    after = model.layers[0].embeddings.numpy()
    np.testing.assert_array_equal(after[40:], before[40:])


def test_a_regularized_table_gets_the_dense_rule():
    tables = []
    for rule in (LazyAdam, keras.optimizers.Adam):
        keras.utils.set_random_seed(0)
        model = embedding_model(embeddings_regularizer="l2")
        model.compile(
            optimizer=rule(learning_rate=0.01), loss="mse", run_eagerly=True
        )
        # Each row once a batch: Keras takes repeated ones for several.
        ids = np.arange(48).reshape(24, 2)
        for _ in range(4):
            model.train_on_batch(ids, TARGETS[:24])
        tables.append(model.layers[0].embeddings.numpy())

    np.testing.assert_allclose(*tables, rtol=1e-4, atol=1e-6)


@OF_THE_BASE
def test_training_goes_on_from_a_file_as_if_undisturbed(optimizer, tmp_path):
    keras.utils.set_random_seed(0)
    model = embedding_model()
    rule = optimizer(
        learning_rate=0.1, weight_decay=0.01, clipnorm=1.0, batch_l2=0.1
    )
    model.compile(optimizer=rule, loss="mse", run_eagerly=True)
    train(model, batch_size=32)
    model.save(tmp_path / "model.keras")
    restored = keras.saving.load_model(tmp_path / "model.keras")

    for each in (model, restored):
        train(each, batch_size=32)

    assert restored.optimizer.get_config() == rule.get_config()
    assert int(restored.optimizer.iterations) == 4
    for a, b in zip(model.get_weights(), restored.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_tensorflow_checkpoint_keeps_the_state(tmp_path):
    tables, rules_of = [], []
    for _ in range(2):
        tables.append(new_table())
        rules_of.append(LazyAdam(learning_rate=0.1))
        rules_of[-1].build([tables[-1]])
    run(rules_of[0], tables[0])

    path = tf.train.Checkpoint(optimizer=rules_of[0]).save(tmp_path / "c")
    tf.train.Checkpoint(optimizer=rules_of[1]).restore(path)

    for a, b in zip(rules_of[0].variables, rules_of[1].variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@OF_THE_BASE
def test_dynamic_loss_scaling_changes_nothing_but_the_rounding(optimizer):
    tables = []
    for scaled in (False, True):
        keras.utils.set_random_seed(0)
        model = embedding_model()
        rule = optimizer(learning_rate=0.1, global_clipnorm=0.5)
        if scaled:
            rule = keras.optimizers.LossScaleOptimizer(rule, 2.0**10)
        # One of them in a graph, whose steps are the same for all.
        eagerly = optimizer is not LazyAdam or not scaled
        model.compile(rule, "mse", run_eagerly=eagerly, jit_compile=False)
        train(model, batch_size=16)
        tables.append(model.layers[0].embeddings.numpy())

    np.testing.assert_allclose(*tables, rtol=1e-4, atol=1e-5)


@EVERY
def test_a_step_that_overflows_is_skipped(optimizer):
    table = new_table()
    before = table.numpy()
    rule = keras.optimizers.LossScaleOptimizer(optimizer(learning_rate=0.1), 8)
    gradient = gradients_of([[1, 4, 1]])[0]

    gradient[2, 1] = np.inf
    rule.apply([slices([1, 4, 1], gradient)], [table])

    np.testing.assert_array_equal(table.numpy(), before)
    assert float(rule.dynamic_scale) == 4
    state = rule.inner_optimizer.variables[-1].numpy()
    np.testing.assert_array_equal(state, np.zeros_like(state))


# Of two batches, the rows of a table that each of two replicas touches: row 4
# on both, and twice on one.
BATCHES = [([1, 4, 4], [4, 2, 5]), ([0, 0, 5], [4, 4, 4])]


def step_of(rule, variables):
    """A step on the gradients of a table and of one more variable."""

    def step(rows, values, sums):
        # On the replica's device, as those that a tape makes are.
        values, sums = tf.identity(values), tf.identity(sums)
        gradient = tf.IndexedSlices(values, rows, tf.constant([ROWS, DIM]))
        rule.apply([gradient, sums], variables)

    return step


# What the rules themselves do, for each; what all have from one base, once.
@pytest.mark.replicas
@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        *((optimizer, {}) for optimizer in RULES),
        *((optimizer, {"batch_l2": 0.1}) for optimizer in RULES),
        (LazyAdam, {"clipnorm": 0.3}),
        (LazyFTRL, {"global_clipnorm": 0.3}),
        (RowwiseAdagrad, {"clipvalue": 0.1}),
        (LazyFTRL, {"weight_decay": 0.1}),
        (RowwiseAdagrad, {"use_ema": True}),
    ],
    ids=str,
)
def test_two_replicas_step_as_one_on_the_sum(optimizer, options):
    random = np.random.default_rng(7)
    tables = [random.normal(size=(2, 3, DIM)) for _ in BATCHES]
    biases = [random.normal(size=(2, 2)) for _ in BATCHES]
    found = []

    for replicas in (1, 2):
        strategy = deepfm_tf.create_strategy(replicas)
        with strategy.scope():
            table = new_table()
            bias = keras.Variable(np.ones(2, "float32"), name="bias")
            rule = optimizer(learning_rate=0.1, **options)
            rule.build([table, bias])
        step = step_of(rule, [table, bias])
        if not options:  # a graph is slower to make than these two steps
            step = tf.function(step)

        for rows, values, sums in zip(BATCHES, tables, biases, strict=True):
            if replicas == 1:
                parts = [(np.ravel(rows), np.concatenate(values), sum(sums))]
            else:
                parts = list(zip(rows, values, sums, strict=True))
            strategy.run(
                step,
                [
                    strategy.experimental_distribute_values_from_function(
                        lambda context, parts=parts, i=i, kind=kind: (
                            tf.constant(
                                parts[context.replica_id_in_sync_group][i],
                                kind,
                            )
                        )
                    )
                    for i, kind in enumerate(("int32", "float32", "float32"))
                ],
            )
        if options.get("use_ema"):
            rule.finalize_variable_values([table, bias])
        on_replicas = [
            [v.numpy() for v in strategy.experimental_local_results(x.value)]
            for x in (table, bias)
        ]
        assert all(len(copies) == replicas for copies in on_replicas)
        for first, *others in on_replicas:
            for other in others:
                np.testing.assert_array_equal(first, other)
        found.append([first for first, *_ in on_replicas])

    for one, two, start in zip(*found, (new_table(), np.ones(2)), strict=True):
        assert (one != start).any()
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_mixed_precision_keeps_table_and_state_in_float32(small_vocabulary):
    deepfm_tf.set_precision("mixed_bfloat16")
    try:
        model = deepfm_tf.DeepFM(small_vocabulary.schema, hidden_units=(8,))
    finally:
        deepfm_tf.set_precision("float32")
    deepfm_tf.compile_model(model)
    model.run_eagerly = True
    log = make_log(32)

    model.train_on_batch(
        deepfm_tf.encode(log, small_vocabulary),
        log["clicked"].to_numpy("float32")[:, None],
    )

    floats = [
        v
        for v in (*model.weights, *model.optimizer.variables)
        if "int" not in v.dtype
    ]
    assert {v.dtype for v in floats} == {"float32"}
    # Outside of training it computes in float32.
    assert model.dense_pyramid.dtype_policy.name == "mixed_bfloat16"
    others = (model.shared_embedding, model.fm_interaction, model.linear_term)
    assert {layer.dtype_policy.name for layer in others} == {"float32"}


def test_a_config_of_a_version_before_05_is_read():
    config = LazyAdam(batch_l2=0.25).get_config()
    config["touched_l2"] = config.pop("batch_l2")

    assert LazyAdam.from_config(config).batch_l2 == 0.25


@pytest.mark.replicas
@EVERY
def test_a_replica_without_an_example_touches_no_row(optimizer):
    # Of two replicas the second has none: as one alone with the example.
    ids, values = np.array([[1]]), np.array([[0.5]], "float32")
    tables = []
    for strategy in (tf.distribute.get_strategy(), create_strategy(2)):
        with strategy.scope():
            keras.utils.set_random_seed(0)
            layer = SharedEmbedding((3, 1), DIM)
            layer.build((None, 1), None, (None, 1))
            rule = optimizer(0.1, weight_decay=0.1, batch_l2=0.1)
            rule.build([layer.embeddings])
        before = layer.embeddings.numpy()

        def step(ids, values, layer=layer, rule=rule):
            with tf.GradientTape() as tape:
                vectors = layer(ids, values=values, training=True)
                loss = tf.reduce_sum(tf.square(vectors))
            table = layer.embeddings
            rule.apply(tape.gradient(loss, [table]), [table])

        part = strategy.experimental_distribute_values_from_function
        share = [
            part(
                lambda context, each=each: tf.constant(
                    each[context.replica_id_in_sync_group :][:1]
                )
            )
            for each in (ids, values)
        ]
        for _ in range(2):
            strategy.run(step, share)
        tables.append(layer.embeddings.numpy())
        np.testing.assert_array_equal(tables[-1][[0, 2]], before[[0, 2]])

    np.testing.assert_allclose(*tables, rtol=1e-6)
    assert (tables[0][[1, 3]] != before[[1, 3]]).all()


@needs_kernels
@EVERY
def test_our_kernels_and_tensorflows_operations_do_the_same(
    optimizer, monkeypatch
):
    tables = {}
    for kernels in ("auto", "off"):
        monkeypatch.setenv("DEEPFM_TF_KERNELS", kernels)
        tables[kernels] = new_table()
        rule = optimizer(
            0.1, weight_decay=0.1, batch_l2=0.01, global_clipnorm=1.0
        )
        for rows, gradient in zip(STEPS, gradients_of(STEPS), strict=True):
            rule.apply([slices(rows, gradient)], [tables[kernels]])

    np.testing.assert_allclose(*tables.values(), rtol=1e-5, atol=1e-6)


@needs_kernels
def test_a_rule_of_ones_own_is_not_taken_for_its_base(monkeypatch):
    monkeypatch.setenv("DEEPFM_TF_KERNELS", "auto")

    class Still(LazyAdam):
        def update_rows(self, gradient, values, state, learning_rate):
            return values, state

    table = new_table()
    before = table.numpy()

    Still(0.1).apply([slices([0], gradients_of([[0]])[0])], [table])

    np.testing.assert_array_equal(table.numpy(), before)
