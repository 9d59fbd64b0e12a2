"""A model from day to day: what it knew stays, bit for bit."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf import grow_model
from deepfm_tf.optimizers import (
    CompositeOptimizer,
    LazyAdam,
    LazyFTRL,
    RowwiseAdagrad,
)
from deepfm_tf.vocabulary import Vocabulary
from tests.catalogue import MODELS, build
from tests.conftest import make_log, make_schema, unchecked

# Days of a few rows.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Field .* it gives the model no information"
)
LAZY = {
    "lazy_adam": lambda: LazyAdam(0.01, batch_l2=0.01),
    "rowwise_adagrad": lambda: RowwiseAdagrad(0.05),
    "lazy_ftrl": lambda: LazyFTRL(0.05, l1_regularization_strength=0.001),
}
# Owner of a vocabulary -> a value that the second day brings.
NEW = {"site": "s new", "ad": "new ad", "genres": "opera", "count": 20_000}


def day(number, num_rows=200):
    """A log with every kind of field; on later days with new values."""
    log = make_log(num_rows, seed=number)
    if number:
        for place, (name, value) in enumerate(NEW.items()):
            log.loc[place::7, name] = value
    return log


@pytest.fixture(scope="module")
def days():
    """Two days, and the vocabulary after each of them."""
    logs = day(0), day(1)
    first, second = (deepfm_tf.fit_vocabulary(d, make_schema()) for d in logs)
    return logs, (first, first.extended(second))


def trained(name, schema, optimizer):
    """A model whose optimizer has a history of all of its rows but some."""
    deepfm_tf.set_seed(3)
    model = build(name, schema)
    model.compile(optimizer, loss="binary_crossentropy", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    random = np.random.default_rng(3)
    for variable in [*model.weights, *model.optimizer.variables]:
        if variable.dtype == "float32" and len(variable.shape):
            value = random.uniform(0.1, 0.9, variable.shape)
            variable.assign(value.astype("float32"))
    model.optimizer.iterations.assign(1000)
    return model


def probabilities(model, log, vocabulary):
    packed = deepfm_tf.encode(log, vocabulary)
    return np.asarray(model(packed, training=False)["probability"])


def rows_of(vocabulary):
    """(owner, value or id) -> its row of the table, by hand."""
    rows, first = {}, 0
    for field in vocabulary.schema.table_fields:
        size = field.vocabulary_size
        names = list(range(size))
        if field.is_counted:
            values = vocabulary.values[field.name].tolist()
            names[size - len(values) :] = values
        rows |= {(field.name, n): first + i for i, n in enumerate(names)}
        first += size
    return rows


# Each model and each optimizer: how a table grows depends on neither's other.
@pytest.mark.parametrize(
    ("name", "optimizer"),
    list(zip(MODELS, itertools.cycle(LAZY), strict=False)),
)
def test_a_model_goes_on_from_where_it_was(days, name, optimizer):
    (monday, tuesday), (before, after) = days
    model = trained(name, before.schema, LAZY[optimizer]())

    grown = grow_model(model, after)

    # The same predictions; of new values, those of an unseen one.
    for log in (monday, tuesday):
        np.testing.assert_array_equal(
            probabilities(grown, log, after), probabilities(model, log, before)
        )
    # And the same history of the rows, wherever they are now.
    old, new = rows_of(before), rows_of(after)
    known = [new[key] for key in old]
    state = grown.optimizer.state_of(grown.embedding_layer.embeddings).numpy()
    np.testing.assert_array_equal(
        state[known],
        model.optimizer.state_of(model.embedding_layer.embeddings).numpy(),
    )
    assert int(grown.optimizer.iterations) == 1000
    for source, target in zip(
        model.optimizer.variables, grown.optimizer.variables, strict=True
    ):
        if source.shape == target.shape:
            np.testing.assert_array_equal(source.numpy(), target.numpy())
    # A step on a few rows leaves all others alone.
    table = grown.embedding_layer.embeddings
    values, touched = table.numpy(), sorted([new["site", "s new"], known[3]])
    gradient = tf.IndexedSlices(
        tf.ones((2, table.shape[1])),
        tf.constant(touched),
        tf.constant(table.shape),
    )
    grown.optimizer.apply([gradient], [table])
    changed = (table.numpy() != values).any(axis=1)
    assert np.flatnonzero(changed).tolist() == touched


def small(values, **others):
    """The vocabulary of one field, and of a number where one is given."""
    fields = (deepfm_tf.CategoricalField("a"),)
    fields += tuple(deepfm_tf.NumericField(name) for name in others)
    data = {"a": values, **others, "y": [0, 1] * (len(values) // 2)}
    return deepfm_tf.fit_vocabulary(data, deepfm_tf.Schema(fields, "y"))


@pytest.fixture(scope="module")
def two():
    """Ids: OOV, missing, a, b, then c."""
    before = small(["a", "a", "b", "b"])
    return before, before.extended(small(["c", "c", "a", "a"]))


def test_a_new_row_is_a_copy_of_the_oov_row_without_a_history(two):
    before, after = two
    model = trained("FM", before.schema, RowwiseAdagrad(0.05))

    grown = grow_model(model, after)

    table = grown.embedding_layer.embeddings.numpy()
    state = grown.optimizer.state_of(grown.embedding_layer.embeddings).numpy()
    assert len(table) == 5
    np.testing.assert_array_equal(table[4], table[0])
    assert state[0] > 0
    assert state[4] == 0


def test_a_new_row_is_as_rare_for_batch_l2_as_the_usual_one(two):
    before, after = two
    model = trained("FM", before.schema, LazyAdam(0.01, batch_l2=0.1))
    state = model.optimizer.state_of(model.embedding_layer.embeddings)
    counts = np.array([900, 0, 10, 30], "float32")
    state.assign(np.column_stack([np.zeros((4, 8)), counts]))

    grown = grow_model(model, after)

    # The median of those that were touched.
    now = grown.optimizer.state_of(grown.embedding_layer.embeddings).numpy()
    assert now[:, -1].tolist() == [*counts, 30]
    assert not now[4, :-1].any()


def test_weights_that_follow_from_a_state_get_that_state(two):
    before, after = two
    rule = LazyFTRL(0.05, l1_regularization_strength=0.01, beta=0.5)
    model = trained("FM", before.schema, rule)
    grown = grow_model(model, after)
    table = grown.embedding_layer.embeddings
    values = table.numpy()

    # From a state of zeros, weights would be zero after any step.
    nothing = tf.IndexedSlices(tf.zeros((1, 4)), [4], tf.constant([5, 4]))
    grown.optimizer.apply([nothing], [table])

    np.testing.assert_allclose(table.numpy()[4], values[4], rtol=1e-5)


def test_each_rule_of_a_composite_optimizer_gets_its_state(two):
    before, after = two
    optimizer = CompositeOptimizer(
        LazyAdam(0.01, batch_l2=0.1),
        LazyFTRL(0.1),
        keras.optimizers.Adam(0.01),
        learning_rate=0.5,
    )
    model = trained("DeepFM", before.schema, optimizer)
    grown = grow_model(model, after)
    table = grown.embedding_layer.embeddings

    old, new = (
        m.optimizer.state_of(m.embedding_layer.embeddings).numpy()
        for m in (model, grown)
    )
    weight = table.numpy()[4, 3]

    # Moments and the count of three weights; n and z of the fourth, where
    # w = -z / (sqrt(0.1) / (0.5 * 0.1)).
    np.testing.assert_array_equal(new[:4], old)
    assert not new[4, :6].any()
    assert new[4, 6] == np.median(old[:, 6])
    assert new[4, 7] == 0
    assert new[4, 8] == pytest.approx(-weight * 0.1**0.5 / 0.05, rel=1e-6)
    dense = [m.optimizer.dense.variables for m in (model, grown)]
    for source, target in zip(*dense, strict=True):
        np.testing.assert_array_equal(source.numpy(), target.numpy())


def test_a_model_on_two_replicas_grows_on_both(two):
    before, after = two
    strategy = deepfm_tf.create_strategy(2)
    with strategy.scope():
        model = build("FM", before.schema)
        deepfm_tf.compile_model(model, "lazy_adam", batch_l2=0.1)

    grown = grow_model(model, after)

    old = keras.ops.convert_to_numpy(model.embedding_layer.embeddings)
    table = grown.embedding_layer.embeddings.value
    for part in strategy.experimental_local_results(table):
        np.testing.assert_array_equal(part.numpy(), old[[0, 1, 2, 3, 0]])


def test_rules_of_whole_tables_and_averages_are_carried_too(two):
    before, after = two
    rule = deepfm_tf.optimizers.Adagrad(0.1, use_ema=True)
    model = trained("FM", before.schema, rule)

    grown = grow_model(model, after)

    for source, target in zip(
        model.optimizer.variables, grown.optimizer.variables, strict=True
    ):
        if source.shape == (4, 4):
            np.testing.assert_array_equal(target[:4], source)
            # Keras's initial accumulator; the average is the OOV row's.
            is_average = "average" in target.path
            expected = source[0] if is_average else np.full(4, 0.1, "f4")
            np.testing.assert_array_equal(target[4], expected)


def test_frozen_vectors_stay_frozen_where_they_are_now():
    fields = tuple(deepfm_tf.CategoricalField(name) for name in "ab")
    schema = deepfm_tf.Schema(fields, "y")
    first, second = (
        deepfm_tf.fit_vocabulary(
            {"a": values, "b": ["x"] * 4, "y": [0, 1, 0, 1]}, schema
        )
        for values in (["u"] * 4, ["v"] * 4)
    )
    model = build("FM", first.schema, freeze_embeddings=["b"])

    grown = grow_model(model, first.extended(second))

    assert model.embedding_layer.embeddings.frozen_rows == ((3, 6),)
    assert grown.embedding_layer.embeddings.frozen_rows == ((4, 7),)


def test_evicted_values_become_oov_and_the_others_move(days):
    (monday, tuesday), (before, after) = days
    smaller = after.evict(min_count=40)
    model = trained("DeepFM", after.schema, LazyAdam(0.01))

    shrunk = grow_model(model, smaller, previous=after)

    old, new = rows_of(after), rows_of(smaller)
    gone = [key for key in old if key not in new]
    assert ("site", "s new") in gone
    assert ("genres", "y") not in gone
    state = shrunk.optimizer.state_of(shrunk.embedding_layer.embeddings)
    expected = model.optimizer.state_of(model.embedding_layer.embeddings)
    places = [old[key] for key in new]
    np.testing.assert_array_equal(state.numpy(), expected.numpy()[places])
    # The whole model, on rows whose evicted values are unseen ones.
    log = tuesday.copy()
    for name, value in gone:
        if name in ("site", "ad", "ad2"):
            log[name] = log[name].replace(value, "unseen")
    columns = [n for n, _ in gone if n not in ("site", "ad")]
    assert set(columns) <= {"genres", "count"}
    is_left = ~log["genres"].str.contains("opera|z")
    is_left &= log["count"] < 900
    log = log[is_left]
    packed = deepfm_tf.encode(log, smaller)
    assert len(log) > 50
    np.testing.assert_array_equal(
        np.asarray(shrunk(packed, training=False)["probability"]),
        probabilities(model, log, after),
    )


def test_ids_that_have_moved_need_the_vocabulary_they_were_of(two):
    before, after = two
    smaller = after.evict(last_seen=1)  # without b
    model = trained("FM", before.schema, LazyAdam(0.01))

    with pytest.raises(deepfm_tf.UserError, match="pass `previous`"):
        grow_model(model, smaller)
    grown = grow_model(model, smaller, previous=before)

    table, old = (m.embedding_layer.embeddings.numpy() for m in (grown, model))
    np.testing.assert_array_equal(table, old[[0, 1, 2, 0]])


def test_a_vocabulary_that_was_saved_will_do(two, tmp_path):
    before, after = two
    after.extended(small(["d", "d", "d", "d"])).save(tmp_path)
    model = trained("FM", before.schema, LazyAdam(0.01))

    grown = grow_model(model, Vocabulary.load(tmp_path))

    table, old = (m.embedding_layer.embeddings.numpy() for m in (grown, model))
    np.testing.assert_array_equal(table, old[[0, 1, 2, 3, 0, 0]])


def test_a_vocabulary_of_another_origin_is_refused(two):
    before, after = two
    model = trained("FM", before.schema, LazyAdam(0.01))
    other = small(["c"] * 4 + ["d"] * 4 + ["a"] * 2)
    with_number = small(["a"] * 4, x=[1.0, 2.0, 3.0, 4.0])

    for vocabulary, previous, told in (
        (other, None, "of them differ. Prepare the new data"),
        (with_number, None, "Received: new 'x'"),
        (after, other, "`previous` must be the vocabulary that the model"),
    ):
        with pytest.raises(deepfm_tf.UserError, match=told):
            grow_model(model, vocabulary, previous)
    with pytest.raises(TypeError, match="`model` must be a model of this"):
        grow_model(None, after)
    with pytest.raises(TypeError, match="`vocabulary` must be a Vocabulary"):
        grow_model(model, after.schema)


def test_scalings_must_be_those_of_the_model():
    first = small(["a"] * 4, x=[1.0, 2.0, 3.0, 4.0])
    second = small(["a"] * 4, x=[1.0, 2.0, 3.0, 9.0])
    model = build("FM", first.schema)

    with pytest.raises(deepfm_tf.UserError, match="must keep the mean of 'x'"):
        grow_model(model, second, previous=first)


def test_a_grown_model_is_trained_saved_and_exported(two, tmp_path):
    before, after = two
    deepfm_tf.set_seed(1)
    model = build("LogisticRegression", before.schema)
    deepfm_tf.compile_model(model, "lazy_adam")
    prepared = deepfm_tf.prepare(
        {"a": ["c", "c", "a", "b"], "y": [1, 1, 0, 0]},
        tmp_path / "day",
        extends=before,
    )
    grown = grow_model(model, prepared.vocabulary)

    grown.fit(prepared.dataset(4), shuffle=False, verbose=0)
    grown.save(tmp_path / "grown.keras")
    loaded = keras.saving.load_model(tmp_path / "grown.keras")
    with unchecked():
        path = deepfm_tf.export_saved_model(
            loaded, prepared.vocabulary, tmp_path / "export", warm_up_rows=[1]
        )

    served = tf.saved_model.load(path).signatures["serving_default"]
    answers = served(a=tf.constant(["c", "a", "never"]))["probability"]
    c, a, never = answers.numpy()
    assert c > never > a  # it has learnt of c, and starts from even odds
    assert int(loaded.optimizer.iterations) == 1
