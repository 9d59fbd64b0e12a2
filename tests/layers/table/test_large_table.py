import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from deepfm_tf.layers import SharedEmbedding
from deepfm_tf.layers.table import large_table

ROWS, COLUMNS = 2_500, 8
INITIALIZERS = {
    "glorot_uniform": "glorot_uniform",
    "he_normal": "he_normal",
    "lecun_uniform": "lecun_uniform",
    "fan_out": keras.initializers.VarianceScaling(2.0, "fan_out", "normal"),
    "normal": keras.initializers.RandomNormal(stddev=1e-4),
    "uniform": keras.initializers.RandomUniform(-0.2, 0.3),
    "truncated": keras.initializers.TruncatedNormal(),
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(large_table, "BLOCK_ROWS", 1_000)


def table(initializer="glorot_uniform", **options):
    layer = SharedEmbedding(
        [ROWS], COLUMNS, embeddings_initializer=initializer, **options
    )
    layer.build((None, 1))
    return keras.ops.convert_to_numpy(layer.embeddings)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_blocks_are_distributed_as_if_drawn_at_once(name):
    keras.utils.set_random_seed(1)
    initializer = keras.initializers.get(INITIALIZERS[name])
    assert large_table.must_fill_in_blocks(initializer, ROWS)

    values = table(initializer)

    # Keras's own draw of the whole shape: a Kolmogorov-Smirnov test.
    whole = keras.ops.convert_to_numpy(initializer.clone()((ROWS, COLUMNS)))
    for block in (values[:1_000], values[1_000:2_000], values[2_000:]):
        test = stats.ks_2samp(block.ravel(), whole.ravel())
        assert test.pvalue > 1e-3
    assert len(np.unique(values, axis=0)) == ROWS  # no block twice


def test_first_order_weights_are_zero():
    values = table(first_order=True)

    assert values.shape == (ROWS, COLUMNS + 1)
    assert not values[:, -1].any()
    assert values[:, :-1].all(axis=1).mean() > 0.99


@pytest.mark.parametrize("seed", [None, 7])
def test_the_seed_decides(seed):
    def draw():
        keras.utils.set_random_seed(3)
        return table(keras.initializers.GlorotUniform(seed=seed))

    first = draw()

    np.testing.assert_array_equal(first, draw())
    keras.utils.set_random_seed(4)
    other = table(keras.initializers.GlorotUniform(seed=seed))
    assert (other == first).all() == (seed is not None)


@pytest.mark.parametrize(
    "initializer",
    [
        "zeros",
        keras.initializers.Constant(0.5),
        keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(1)),
        lambda shape, dtype=None: keras.ops.full(shape, 0.25, dtype),
    ],
)
def test_others_draw_the_whole(initializer):
    initializer = keras.initializers.get(initializer)
    assert not large_table.must_fill_in_blocks(initializer, ROWS)

    # A seed generator gives other numbers at each call.
    if isinstance(initializer, keras.initializers.RandomNormal):
        assert table(initializer).std() == pytest.approx(0.05, rel=0.05)
    else:
        expected = initializer((ROWS, COLUMNS), dtype="float32")
        np.testing.assert_array_equal(table(initializer), expected)


def test_a_small_table_is_what_keras_draws(monkeypatch):
    monkeypatch.setattr(large_table, "BLOCK_ROWS", ROWS)
    initializer = keras.initializers.GlorotUniform(seed=5)

    np.testing.assert_array_equal(
        table(initializer), initializer((ROWS, COLUMNS))
    )


@pytest.mark.parametrize("seed", [None, 5])
def test_replicas_get_the_same_blocks(seed, monkeypatch):
    drawn = []
    initializer = keras.initializers.RandomUniform(0.1, 0.2, seed=seed)
    draw = keras.initializers.RandomUniform.__call__
    monkeypatch.setattr(
        keras.initializers.RandomUniform,
        "__call__",
        lambda self, shape, dtype=None: (
            drawn.append(shape) or draw(self, shape, dtype)
        ),
    )
    layer = SharedEmbedding(
        [ROWS], COLUMNS, embeddings_initializer=initializer, first_order=True
    )

    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        layer.build((None, 1))

    first, second = (part.numpy() for part in layer.embeddings.value.values)
    np.testing.assert_array_equal(first, second)
    assert drawn == [(1_000, COLUMNS), (1_000, COLUMNS), (500, COLUMNS)]
    assert ((first[:, :-1] >= 0.1) & (first[:, :-1] < 0.2)).all()
    assert len(np.unique(first, axis=0)) == ROWS  # no block twice
    assert not first[:, -1].any()


def test_a_replica_and_a_graph_draw_the_whole():
    initializer = keras.initializers.GlorotUniform(seed=5)
    found = []

    def note():
        found.append(large_table.must_fill_in_blocks(initializer, ROWS))

    tf.distribute.MirroredStrategy(["CPU:0"]).run(note)
    with tf.Graph().as_default():
        note()

    assert found == [False, False]


def test_a_table_that_keras_puts_off_is_drawn():
    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = SharedEmbedding(
                [ROWS],
                COLUMNS,
                embeddings_initializer=keras.initializers.GlorotUniform(5),
            )

        def call(self, ids):
            return self.inner(ids)

    outer = Outer()

    outer(keras.Input((1,), dtype="int32"))  # builds without values

    np.testing.assert_array_equal(
        outer.inner.embeddings,
        keras.initializers.GlorotUniform(5)((ROWS, COLUMNS)),
    )
