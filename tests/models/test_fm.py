"""Tests of FM alone; `test_conformance` has those of every model."""

import numpy as np

import deepfm_tf

SCHEMA = deepfm_tf.Schema(
    tuple(
        deepfm_tf.CategoricalField(name, vocabulary_size=2) for name in "abc"
    ),
    label="y",
)


def test_the_probability_is_that_worked_out_by_hand():
    model = deepfm_tf.FM(SCHEMA, embedding_dim=2)
    v = [[9, 9], [1.0, 2.0], [9, 9], [3.0, -1.0], [9, 9], [0.5, 4.0]]
    w = [[9], [0.5], [9], [-2.0], [9], [-6.0]]
    model.shared_embedding.embeddings.assign(np.hstack([v, w]))
    model.linear_term.bias.assign(0.25)

    probability = model({"ids": np.array([[1, 1, 1]])})["probability"]

    # <v1, v2> + <v1, v3> + <v2, v3> = 1 + 8.5 - 2.5
    logit = 0.25 + (0.5 - 2.0 - 6.0) + 7.0
    np.testing.assert_allclose(probability, [[1 / (1 + np.exp(-logit))]])


def test_training_moves_only_rows_of_the_batch_under_sgd():
    model = deepfm_tf.FM(SCHEMA, embedding_dim=2)
    deepfm_tf.compile_model(model, "sgd", learning_rate=0.5)
    before = model.shared_embedding.embeddings.numpy()
    ids = {"ids": np.array([[1, 0, 1], [1, 0, 0]])}

    model.fit(
        deepfm_tf.dataset_from_ids(ids, [0, 1], SCHEMA),
        epochs=1,
        verbose=0,
        shuffle=False,
    )

    moved = np.any(model.shared_embedding.embeddings.numpy() != before, axis=1)
    assert moved.tolist() == [False, True, True, False, True, True]
