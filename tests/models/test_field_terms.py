"""The terms of two groups of fields give what the whole model gives."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.layers import FirstOrderBias
from deepfm_tf.models import FieldTerms
from tests.catalogue import MODELS, build
from tests.conftest import make_log
from tests.test_conformance import randomize

# Each side has a shared vocabulary's field and one that is pooled.
CONTEXT = ("ad2", "user", "tags", "price")


def widths(field):
    """The columns that a field has in each of the packed inputs."""
    length = field.num_ids
    if isinstance(field, deepfm_tf.NumericField):
        return {"values": 1}
    if getattr(field, "weight_separator", None):
        return {"ids": length, "weights": length}
    return {"ids": length}


def columns_of(schema, names):
    """For each packed input, which of its columns some fields have."""
    chosen = {"ids": [], "weights": [], "values": []}
    for field in schema.embedded_fields:
        for name, width in widths(field).items():
            chosen[name] += [field.name in names] * width
    return {name: np.array(mask) for name, mask in chosen.items()}


@pytest.fixture(scope="module", params=MODELS)
def model(request, vocabulary):
    arguments = {}
    if request.param in ("DeepFM", "WideAndDeep", "NFM"):
        arguments["batch_normalization"] = True
    model = build(request.param, vocabulary.schema, **arguments)
    randomize(model)
    for weight in model.non_trainable_weights:  # variances
        weight.assign(np.abs(weight) + 0.5)
    return model


@pytest.mark.parametrize("num_candidates", [0, 1, 30])
def test_one_context_and_many_candidates(model, num_candidates, vocabulary):
    packed = deepfm_tf.encode(make_log(30, seed=4), vocabulary)
    others = [f.name for f in vocabulary.schema.fields if f.name not in CONTEXT]
    in_context = columns_of(vocabulary.schema, CONTEXT)
    repeated = {
        key: np.where(in_context[key], array[:1], array)[:num_candidates]
        for key, array in packed.items()
    }

    context = FieldTerms(model, CONTEXT)(
        {key: array[:1, in_context[key]] for key, array in packed.items()}
    )
    candidates = FieldTerms(model, others)(
        {
            key: array[:num_candidates, ~in_context[key]]
            for key, array in packed.items()
            if not in_context[key].all()
        }
    )
    logits = model.from_terms(
        {key: context[key] + candidates[key] for key in candidates}
    )

    expected = model(repeated)["probability"]
    np.testing.assert_allclose(tf.sigmoid(logits), expected, atol=1e-6)


def test_another_table_is_read_if_given(vocabulary):
    model = build("FM", vocabulary.schema)
    randomize(model)
    names = [field.name for field in vocabulary.schema.fields]
    packed = deepfm_tf.encode(make_log(5), vocabulary)
    table = tf.Variable(tf.cast(model.shared_embedding.embeddings, tf.bfloat16))

    own = FieldTerms(model, names)(packed)["sums"]
    rounded = FieldTerms(model, names, table)(packed)["sums"]

    assert rounded.dtype == tf.float32
    assert 0 < np.abs(own - rounded).max() < 0.02


def test_a_model_without_terms_says_what_is_missing(vocabulary):
    model = build("FM", vocabulary.schema)
    whole = deepfm_tf.CTRModel(
        vocabulary.schema,
        model.input,
        FirstOrderBias()(model.input["values"]),
    )

    with pytest.raises(
        NotImplementedError, match="CTRModel must declare the terms"
    ):
        whole.terms(None, [], None)
