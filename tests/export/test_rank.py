"""One context, many candidates: the same as the rows with it repeated."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from tests import saved_model_c_api
from tests.catalogue import MODELS, build
from tests.export.conftest import CONTEXT, raw_of
from tests.test_conformance import randomize


def split(log):
    """The inputs of `rank`, and of `serving_default` for the same rows."""
    ranked, repeated = raw_of(log), raw_of(log)
    for name in CONTEXT:
        ranked[name] = ranked[name][:1]
        repeated[name] = np.repeat(ranked[name], len(log))
    return ranked, repeated


@pytest.mark.parametrize("num_candidates", [0, 1, 50])
def test_candidates_score_as_whole_rows(num_candidates, exported, odd_log):
    ranked, repeated = split(odd_log)
    for name in ranked.keys() - {*CONTEXT}:
        ranked[name] = ranked[name][:num_candidates]

    served = saved_model_c_api.run_signature(str(exported), ranked, "rank")

    expected = saved_model_c_api.run_signature(str(exported), repeated)
    assert served["probability"].shape == (num_candidates,)
    np.testing.assert_allclose(
        served["probability"],
        expected["probability"][:num_candidates],
        atol=1e-6,
    )


@pytest.mark.parametrize("name", sorted(MODELS.keys() - {"DeepFM"}))
def test_every_model_ranks(name, vocabulary, odd_log, tmp_path):
    model = build(name, vocabulary.schema)
    randomize(model)
    ranked, repeated = split(odd_log)

    path = deepfm_tf.export_saved_model(
        model, vocabulary, tmp_path, context_fields=CONTEXT
    )

    loaded = tf.saved_model.load(path).signatures
    served, expected = (
        loaded[key](**{k: tf.constant(v) for k, v in inputs.items()})
        for key, inputs in (("rank", ranked), ("serving_default", repeated))
    )
    np.testing.assert_allclose(
        served["probability"], expected["probability"], atol=1e-6
    )


def test_without_a_context_there_is_no_rank(vocabulary, tmp_path):
    model = build("LogisticRegression", vocabulary.schema)

    path = deepfm_tf.export_saved_model(
        model, vocabulary, tmp_path, defaults={"price": 1.0}
    )

    assert "rank" not in tf.saved_model.load(path).signatures


def test_candidates_may_leave_out_a_default_too(vocabulary, odd_log, tmp_path):
    model = build("LogisticRegression", vocabulary.schema)
    randomize(model)
    ranked, _ = split(odd_log)
    given = ranked | {
        "site": np.repeat(np.array(["s 1"], object), len(odd_log)),
        "user": np.array(["7"], object),
    }
    left_out = ranked | {
        "site": np.array(["s 1"], object),
        "user": np.array(["7"], object),
    }

    path = deepfm_tf.export_saved_model(
        model,
        vocabulary,
        tmp_path,
        context_fields=CONTEXT,
        defaults={"site": "s 1", "user": "7"},
    )

    served = [
        saved_model_c_api.run_signature(str(path), inputs, "rank")
        for inputs in (given, left_out)
    ]
    np.testing.assert_array_equal(*(s["probability"] for s in served))
