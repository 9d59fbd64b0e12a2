"""What every model must do, against the papers' equations in numpy loops."""

import functools
import gc
import weakref

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf

import deepfm_tf
from tests import reference
from tests.catalogue import MODELS, build
from tests.conftest import make_log

EVERY_MODEL = pytest.mark.parametrize("name", MODELS)


def randomize(model, seed=0):
    """Weights that no wrong variant gets right by being zero or equal."""
    random = np.random.default_rng(seed)
    model.set_weights(
        [random.normal(0, 0.3, w.shape) for w in model.get_weights()]
    )


def expected_features(schema, packed):
    """Row of the table, and weight, of each field's ids; plain loops."""
    sizes = [f.vocabulary_size for f in schema.table_fields]
    examples = []
    for row in range(len(packed["ids"])):
        fields, column, weight_column = [], 0, 0
        for number, field in enumerate(schema.embedded_fields):
            start = sum(sizes[: schema.field_tables[number]])
            entries = []
            if isinstance(field, deepfm_tf.NumericField):
                position = schema.numeric_fields.index(field)
                value = packed["values"][row, position]
                if np.isfinite(value):
                    entries.append((start, float(value)))
                elif field.missing == "value":
                    entries.append((start + 1, 1.0))
                fields.append(entries)
                continue
            weighted = getattr(field, "weight_separator", None)
            for _ in range(field.num_ids):
                weight = 1.0
                if weighted:
                    weight = float(packed["weights"][row, weight_column])
                    weight_column += 1
                if packed["ids"][row, column] >= 0:
                    entries.append(
                        (start + int(packed["ids"][row, column]), weight)
                    )
                column += 1
            if getattr(field, "pooling", "sum") == "mean" and entries:
                total = sum(w for _, w in entries)
                entries = [(i, w / total) for i, w in entries]
            fields.append(entries)
        examples.append(fields)
    return examples


def expected_probability(name, model, packed):
    """The papers' sums over features and pairs, one by one."""
    schema = model.schema
    weights = {w.path.split("/", 1)[-1]: np.array(w) for w in model.weights}
    if name == "LogisticRegression":
        first = next(v for k, v in weights.items() if "first_order" in k)[:, 0]
    else:  # the last column of the shared table
        joint = np.array(model.shared_embedding.embeddings)
        first, table = joint[:, -1], joint[:, :-1]
    bias = float(
        np.squeeze(
            next(
                np.array(w)
                for w in model.linear_term.weights
                if w.name == "bias"
            )
        )
    )
    result = []
    for fields in expected_features(schema, packed):
        logit = bias + sum(first[i] * w for f in fields for i, w in f)
        if name != "LogisticRegression":
            vectors = np.array(
                [
                    sum((table[i] * w for i, w in f), np.zeros(table.shape[1]))
                    for f in fields
                ]
            )
            pairs = np.zeros(table.shape[1])
            for i in range(len(vectors)):
                for j in range(i + 1, len(vectors)):
                    pairs += vectors[i] * vectors[j]
            if name in ("FM", "DeepFM"):
                logit += pairs.sum()
            if name != "FM":
                z = pairs if name == "NFM" else vectors.reshape(-1)
                arrays = [np.array(w) for w in model.dense_pyramid.weights]
                for kernel, offset in zip(
                    arrays[:-2:2], arrays[1:-2:2], strict=True
                ):
                    z = np.maximum(z @ kernel + offset, 0)
                logit += float(np.squeeze(z @ arrays[-2] + arrays[-1]))
        result.append(1 / (1 + np.exp(-logit)))
    return np.array(result)


@pytest.fixture(scope="module")
def randomized(vocabulary):
    """Gives a model with random weights: one for all tests that change none."""

    @functools.cache
    def randomized(name):
        model = build(name, vocabulary.schema)
        randomize(model)
        return model

    return randomized


@EVERY_MODEL
def test_probabilities_are_the_papers_sums(name, vocabulary, randomized):
    log = make_log(41, seed=9)
    packed = deepfm_tf.encode(log, vocabulary)
    packed["values"][:3] = [[np.nan], [np.inf], [-40.0]]
    model = randomized(name)

    probability = model(packed, training=False)["probability"]

    assert probability.shape == (41, 1)
    np.testing.assert_allclose(
        probability[:, 0],
        expected_probability(name, model, packed),
        atol=2e-6,  # float32 sums of about 100 terms
    )


@EVERY_MODEL
def test_any_batch_size_gives_the_same_rows(name, vocabulary, randomized):
    packed = deepfm_tf.encode(make_log(7), vocabulary)
    model = randomized(name)

    whole = model(packed, training=False)["probability"]

    for batch in (0, 1, 6):
        part = model({k: v[:batch] for k, v in packed.items()}, training=False)
        np.testing.assert_allclose(
            part["probability"], whole[:batch], atol=1e-6, err_msg=str(batch)
        )


# One with all layers here, the others where CI runs; each layer has its own
# test of that.
@pytest.mark.parametrize(
    "name",
    [
        name if name == "DeepFM" else pytest.param(name, marks=pytest.mark.long)
        for name in MODELS
    ],
)
def test_compiled_by_xla_it_gives_the_same(name, vocabulary, randomized):
    packed = deepfm_tf.encode(make_log(9), vocabulary)
    model = randomized(name)

    compiled = tf.function(
        lambda x: model(x, training=False)["probability"],
        jit_compile=True,
        autograph=False,
    )

    np.testing.assert_allclose(
        compiled(packed), model(packed)["probability"], atol=1e-6
    )


@EVERY_MODEL
def test_config_round_trip_keeps_the_architecture(name, randomized):
    model = randomized(name)

    clone = type(model).from_config(model.get_config())

    assert clone.get_config() == model.get_config()
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]


def train(name, strategy, vocabulary, dataset):
    """The loss and all weights; where the memory was that held them."""
    in_graph = name == "DeepFM"
    with strategy.scope():
        model = build(name, vocabulary.schema)
        randomize(model)
        deepfm_tf.compile_model(model)
    model.run_eagerly = not in_graph
    loss = model.fit(dataset, verbose=0, shuffle=False).history["loss"]
    if in_graph:  # another function that holds the model
        deepfm_tf.evaluate(model, dataset)
    # TensorFlow frees the memory that no handle names.
    handles = [
        weakref.ref(copy.handle)
        for variable in model.variables + model.optimizer.variables
        for copy in strategy.experimental_local_results(variable.value)
    ]
    return (
        loss,
        np.concatenate([w.ravel() for w in model.get_weights()]),
        handles,
    )


@pytest.fixture(scope="module")
def trained(vocabulary, small_vocabulary):
    """Gives what a model learnt on one replica and on two, and what it left.

    DeepFM meets all kinds of fields, and an odd last batch, which leaves the
    replicas unequal shares, in a graph. The others, which are made of what it
    is made of, take two whole batches, for which nothing need be traced.
    """

    @functools.cache
    def trained(name):
        known, num_rows = small_vocabulary, 128
        if name == "DeepFM":
            known, num_rows = vocabulary, 185
        log = make_log(num_rows, seed=2)
        dataset = deepfm_tf.dataset_from_memory(log, known, 64)
        found = []
        for replicas in (1, 2):
            strategy = deepfm_tf.create_strategy(replicas)
            loss, weights, handles = train(name, strategy, known, dataset)
            gc.collect()
            found.append((loss, weights, [handle() for handle in handles]))
        return found

    return trained


# That of all kinds of fields here, the others where CI runs.
@pytest.mark.parametrize(
    "name",
    [
        name
        if name == "DeepFM"
        else pytest.param(name, marks=pytest.mark.replicas)
        for name in MODELS
    ],
)
def test_two_replicas_equal_one(name, trained):
    losses, weights, _ = zip(*trained(name), strict=True)

    # Float32 sums in another order, through 3 steps of Adam.
    np.testing.assert_allclose(*losses, rtol=2e-5)
    np.testing.assert_allclose(*weights, atol=2e-4)


def test_the_loss_is_computed_from_the_logits():
    field = deepfm_tf.CategoricalField("a", vocabulary_size=2)
    model = deepfm_tf.LogisticRegression(deepfm_tf.Schema((field,), "y"))
    deepfm_tf.compile_model(model)
    model.linear_term.bias.assign(np.full(model.linear_term.bias.shape, 40.0))
    dataset = deepfm_tf.dataset_from_ids(
        {"ids": np.array([[0]])}, [0], model.schema
    )

    assert model.evaluate(dataset, verbose=0) == 40.0


@pytest.mark.parametrize(
    "name",
    [
        name if name == "DeepFM" else pytest.param(name, marks=pytest.mark.long)
        for name in MODELS
    ],
)
def test_pairs_are_learnt_by_every_model_but_the_linear_one(name):
    log = make_log(4096, 3)
    fields = [deepfm_tf.CategoricalField(name) for name in ("site", "ad")]
    schema = deepfm_tf.Schema(tuple(fields), "clicked")
    vocabulary = deepfm_tf.fit_vocabulary(log, schema)
    train = deepfm_tf.dataset_from_memory(
        log, vocabulary, 256, shuffle=True
    ).repeat(8)  # one iterator is much cheaper than one for each epoch
    test = make_log(2000, 4)
    packed = deepfm_tf.encode(test, vocabulary)
    is_linear = name == "LogisticRegression"
    deepfm_tf.set_seed(1)
    model = build(
        name,
        vocabulary.schema,
        **({} if is_linear else {"embedding_dim": 8}),
    )
    deepfm_tf.compile_model(model)

    model.fit(train, verbose=0, shuffle=False)

    p = model(packed, training=False)["probability"]
    auc = sklearn.metrics.roc_auc_score(test["clicked"], p)
    assert auc < 0.6 if is_linear else auc > 0.8


@EVERY_MODEL
def test_an_unknown_argument_is_refused_with_a_guess(name, vocabulary):
    with pytest.raises(TypeError) as caught:
        build(name, vocabulary.schema, nmae="m", dropuot=0.5)

    text = f"{MODELS[name][0].__name__} has no argument `nmae`. Did you mean "
    assert str(caught.value) == text + "`name`?"
    assert isinstance(caught.value, deepfm_tf.UserError)
    assert caught.value.argument == "nmae"


@EVERY_MODEL
def test_keras_s_own_arguments_count(name, vocabulary):
    model = MODELS[name][0](
        vocabulary.schema, name="m", trainable=False, dtype="mixed_bfloat16"
    )

    assert (model.name, model.dtype_policy.name) == ("m", "mixed_bfloat16")
    assert model.trainable_weights == []
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("suffix", [".h5", ".hdf5"])
def test_hdf5_files_are_refused(suffix, vocabulary, tmp_path):
    model = build("FM", vocabulary.schema)
    path = str(tmp_path / f"m{suffix}")

    for save in (model.save, lambda p: keras.saving.save_model(model, p)):
        with pytest.raises(ValueError, match=r"Write model\.save\("):
            save(path)


def test_weights_in_hdf5_are_read_again(vocabulary, tmp_path):
    path = str(tmp_path / "m.weights.h5")
    model, other = (build("FM", vocabulary.schema) for _ in range(2))
    randomize(model)
    model.save_weights(path)

    other.load_weights(path)

    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@EVERY_MODEL
def test_an_id_of_the_next_field_is_refused_by_an_eager_call(
    name, vocabulary, randomized
):
    packed = deepfm_tf.encode(make_log(9), vocabulary)
    model = randomized(name)
    size = vocabulary.schema.field("site").vocabulary_size
    packed["ids"][7, 0] = size

    for call in (model, lambda x: model(x, training=True)):
        with pytest.raises(
            ValueError, match=f"Field 'site' has id {size} in example 7, but "
        ):
            call(packed)
    labels = np.ones((9, 1), "float32")
    with pytest.raises(ValueError, match="ids run from 0 to"):
        deepfm_tf.evaluate(model, [(packed, labels)])


def test_a_schema_is_asked_for():
    with pytest.raises(TypeError, match="`schema` must be a Schema"):
        deepfm_tf.DeepFM("schema")


def test_the_reference_of_the_layers_agrees_with_this_one():
    vectors = np.random.default_rng(0).normal(size=(2, 4, 3))

    pairs = reference.fm_interaction(vectors)

    by_hand = [
        sum(float(v[i] @ v[j]) for i in range(4) for j in range(i + 1, 4))
        for v in vectors
    ]
    np.testing.assert_allclose(np.ravel(pairs), by_hand)
    assert keras.backend.backend() == "tensorflow"


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_trained_model_leaves_the_memory(replicas, trained):
    *_, left = trained("DeepFM")[replicas - 1]

    assert len(left) > 20 * replicas
    assert left == [None] * len(left)
