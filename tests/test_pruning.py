"""A model without the rows that training has never touched."""

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.copies import copy_of
from deepfm_tf.optimizers import RowwiseAdagrad
from deepfm_tf.pruning import prune_untrained
from tests.catalogue import build
from tests.conftest import make_log, make_schema


@pytest.fixture(scope="module")
def trained():
    """All kinds of fields, of some of whose values no batch had any."""
    log = make_log(300)
    vocabulary = deepfm_tf.fit_vocabulary(log, make_schema())
    deepfm_tf.set_seed(1)
    model = build("DeepFM", vocabulary.schema)
    optimizer = RowwiseAdagrad(0.05)
    model.compile(optimizer, loss="binary_crossentropy", jit_compile=False)
    optimizer.build(model.trainable_variables)
    packed = deepfm_tf.encode(log, vocabulary)
    # By hand: all rows of the table but those of "s 2" and of "x".
    table = model.embedding_layer.embeddings
    random = np.random.default_rng(0)
    table.assign(random.normal(size=table.shape).astype("float32"))
    state, first = np.ones((len(table.numpy()), 1), "float32"), 0
    for field in vocabulary.schema.table_fields:
        for name, value in (("site", "s 2"), ("genres", "x")):
            if field.name == name:
                values = vocabulary.values[name].tolist()
                skipped = field.vocabulary_size - len(values)
                state[first + skipped + values.index(value)] = 0
        first += field.vocabulary_size
    optimizer.state_of(table).assign(state)
    return log, vocabulary, model, packed


def test_values_that_no_step_has_touched_are_as_unseen_ones(trained):
    log, vocabulary, model, _ = trained

    pruned = prune_untrained(model, vocabulary)

    assert "s 2" not in pruned.vocabulary.values["site"]
    rows, fewer = (
        sum(v.schema.vocabulary_sizes) for v in (vocabulary, pruned.vocabulary)
    )
    assert fewer == rows - 2
    unseen = log.assign(site=log["site"].replace("s 2", "never"))
    unseen["genres"] = unseen["genres"].str.replace("x", "never")
    np.testing.assert_array_equal(
        probabilities(pruned.model, deepfm_tf.encode(log, pruned.vocabulary)),
        probabilities(model, deepfm_tf.encode(unseen, vocabulary)),
    )


def test_a_copy_for_one_host_knows_what_training_has_touched(trained):
    log, vocabulary, model, _ = trained
    alone = copy_of(model, is_chief=True)

    found, expected = (
        prune_untrained(each, vocabulary) for each in (alone, model)
    )

    assert not alone.compiled
    np.testing.assert_array_equal(
        probabilities(found.model, deepfm_tf.encode(log, found.vocabulary)),
        probabilities(
            expected.model, deepfm_tf.encode(log, expected.vocabulary)
        ),
    )
    assert "s 2" not in found.vocabulary.values["site"]


def test_batches_of_the_larger_model_are_for_the_smaller_one(trained):
    log, vocabulary, model, packed = trained
    pruned = prune_untrained(model, vocabulary)

    ((found, label),) = pruned.encoded([(packed, "label")])

    expected = deepfm_tf.encode(log, pruned.vocabulary)
    assert label == "label"
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_what_cannot_be_pruned_is_refused(trained, tmp_path):
    _, vocabulary, model, packed = trained
    other = build("FM", vocabulary.schema)
    other.compile(keras.optimizers.SGD(), loss="binary_crossentropy")

    with pytest.raises(deepfm_tf.UserError, match="lazy optimizer.*: SGD"):
        prune_untrained(other, vocabulary)
    bare = build("FM", vocabulary.schema)
    with pytest.raises(deepfm_tf.UserError, match="one without an optimizer"):
        prune_untrained(bare, vocabulary)
    explainer = deepfm_tf.Explainer(model, [packed])
    with pytest.raises(deepfm_tf.UserError, match="Leave one of the two out"):
        deepfm_tf.export_saved_model(
            *(model, vocabulary, tmp_path),
            prune_untrained=True,
            explainer=explainer,
        )


def test_a_pruned_model_is_exported(tmp_path):
    data = {"a": ["x", "x", "y", "y"], "y": [0, 1, 0, 1]}
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("a"),), "y")
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    model = build("LogisticRegression", vocabulary.schema)
    deepfm_tf.compile_model(model, "rowwise_adagrad")
    table = model.embedding_layer.embeddings
    table.assign(np.array([[0.5], [0], [2], [3]], "float32"))
    state = np.array([[1], [0], [1], [0]], "float32")
    model.optimizer.state_of(table).assign(state)
    dataset = deepfm_tf.dataset_from_memory(data, vocabulary)

    path = deepfm_tf.export_saved_model(
        *(model, vocabulary, tmp_path),
        prune_untrained=True,
        table_dtype="bfloat16",
        evaluation_data=dataset,
        warm_up_rows=[],
    )

    loaded = deepfm_tf.Vocabulary.load(path)
    assert loaded.values["a"].tolist() == ["x"]
    kept = deepfm_tf.grow_model(path, loaded).embedding_layer.embeddings
    assert kept.numpy().ravel().tolist() == [0.5, 0, 2]


def probabilities(model, packed):
    return np.asarray(model(packed, training=False)["probability"])
