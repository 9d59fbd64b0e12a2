"""The field report: gaps, untrained ids, verdicts."""

import dataclasses
import functools

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.explain import Importance
from tests.explain.small import (
    FIELDS,
    pair_terms,
    pooled,
    shared_model,
    small_model,
)
from tests.models.test_ctr_model import SCHEMA, packed


def rows(**changes):
    return tf.data.Dataset.from_tensors(packed(**changes))


THREE = rows(
    ids=[
        [0, 0, 2, -1, -1, -1],
        [1, 3, -1, -1, 0, 0],
        [-1, -1, -1, -1, 1, -1],
    ],
    weights=[[1.0, 1.0, np.nan], [0.5, 1.0, 1.0], [1.0, 1.0, 1.0]],
    values=[[np.nan, 1.0], [0.0, np.nan], [2.0, np.nan]],
)


def importance(rise, margin, auc_drop=0.0, auc_margin=0.1):
    ones = np.ones(5)
    return Importance(
        FIELDS,
        0.7,
        0.5,
        auc_drop * ones,
        auc_margin * ones,
        np.array(rise),
        np.array(margin),
    )


@functools.cache
def plain_report():
    return deepfm_tf.explain.field_report(shared_model("FM"), THREE)


def test_shares_of_oov_and_missing_are_counted_by_field():
    report = plain_report()

    assert report.fields == FIELDS
    # Of a: ids 0 and 1; of t: 0, 2 and 3; of u: 0, 0 and 1.
    np.testing.assert_allclose(
        report.oov_share, [1 / 2, 1 / 3, 2 / 3, np.nan, np.nan]
    )
    np.testing.assert_allclose(
        report.missing_share, [1 / 3, 1 / 3, 1 / 3, 1 / 3, 2 / 3]
    )


def test_where_missing_is_a_value_it_is_counted_as_missing():
    field = deepfm_tf.CategoricalField("site", vocabulary_size=4)
    model = deepfm_tf.FM(deepfm_tf.Schema((field,), "y"), embedding_dim=2)
    ids = np.array([[1], [1], [0], [2]])

    report = deepfm_tf.explain.field_report(model, [{"ids": ids}])

    assert report.missing_share.tolist() == [0.5]
    assert report.oov_share.tolist() == [0.5]


def test_strengths_are_first_order_and_the_sum_of_a_fields_pairs():
    model = shared_model("FM")
    data = next(iter(THREE))
    arrays = {name: value.numpy() for name, value in data.items()}

    report = plain_report()

    vectors, first_order = pooled(model, arrays)
    np.testing.assert_allclose(
        report.first_order, np.abs(first_order).mean(axis=0), atol=1e-6
    )
    upper = np.zeros((5, 5))
    upper[np.triu_indices(5, 1)] = np.abs(pair_terms(vectors)).mean(axis=0)
    np.testing.assert_allclose(
        report.pairs, (upper + upper.T).sum(axis=0), atol=1e-6
    )


def test_with_the_training_data_untrained_ids_are_those_it_lacks():
    report = deepfm_tf.explain.field_report(
        shared_model("FM"), THREE, training=THREE
    )

    # Of a id 2; t and u share ids 0-3, all there; z is there and missing.
    assert report.num_ids.tolist() == [3, 4, 4, 1, 2]
    assert report.untrained_ids.tolist() == [1, 0, 0, 0, 0]


def test_without_it_they_are_those_whose_weight_never_moved():
    model = deepfm_tf.FM(SCHEMA, embedding_dim=2)
    deepfm_tf.compile_model(model)
    model.run_eagerly = True  # two steps
    label = tf.data.Dataset.from_tensors(np.array([[1.0], [0.0], [1.0]]))
    model.fit(
        tf.data.Dataset.zip((THREE, label)), epochs=2, verbose=0, shuffle=False
    )

    report = deepfm_tf.explain.field_report(model, THREE)

    assert report.untrained_ids.tolist() == [1, 0, 0, 0, 0]


def test_a_logistic_regression_has_untrained_ids_too():
    model = small_model("LogisticRegression")
    table = np.array(model.linear_term.first_order.embeddings)
    table[[0, 4, 9]] = 0.0
    model.linear_term.first_order.embeddings.assign(table)

    report = deepfm_tf.explain.field_report(model, THREE)

    assert report.untrained_ids.tolist() == [1, 1, 1, 0, 1]


def test_verdicts_follow_the_intervals():
    model = small_model("FM")
    first = np.array(model.shared_embedding.embeddings)
    first[:3] = 1e-4  # the rows of field a
    model.shared_embedding.embeddings.assign(first)

    report = deepfm_tf.explain.field_report(
        model,
        THREE,
        importance=importance(
            [0.01, 0.01, 0.3, -0.3, 0.0], [0.02, 0.02, 0.2, 0.2, 0.1]
        ),
    )

    assert report.verdicts == (
        "adds nothing",
        "used without gain",
        "helps",
        "harms",
        "used without gain",
    )
    assert report.rows()[2]["log_loss_rise"] == 0.3
    assert "used without gain" in report.table()


def test_an_auc_that_drops_helps_where_the_log_loss_is_unsure():
    report = deepfm_tf.explain.field_report(
        shared_model("FM"),
        THREE,
        importance=importance([0.0] * 5, [0.1] * 5, auc_drop=0.2),
    )

    assert report.verdicts == ("helps",) * 5


def test_of_one_class_the_log_loss_decides_alone():
    report = deepfm_tf.explain.field_report(
        shared_model("FM"),
        THREE,
        importance=importance(
            [0.0, 0.2, 0.2, 0.2, 0.2], [0.1] * 5, np.nan, np.nan
        ),
    )

    assert report.verdicts == ("used without gain",) + ("helps",) * 4


def test_without_an_importance_there_is_no_verdict():
    report = plain_report()

    assert report.verdicts == ("",) * 5
    assert np.isnan(report.auc_drop).all()


def test_an_importance_of_another_model_is_refused():
    other = dataclasses.replace(importance([0] * 5, [0] * 5), fields=("b",))

    with pytest.raises(ValueError, match="`importance` must be.*fields b"):
        deepfm_tf.explain.field_report(
            shared_model("FM"), THREE, importance=other
        )
