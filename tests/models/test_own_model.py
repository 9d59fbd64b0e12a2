"""A model of a user's own, taken apart as it declares it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.layers import FirstOrderBias, FMInteraction
from deepfm_tf.models import CTRModel, packed_inputs, shared_embedding
from tests.conftest import make_log
from tests.test_conformance import randomize


@keras.saving.register_keras_serializable("tests")
class Attentive(CTRModel):
    """Each field's vector is weighed by a learnt gate; pairs come besides."""

    has_pairs = True

    def __init__(self, schema, units=3, **kwargs):
        self.units = units
        self.shared_embedding = shared_embedding(schema, embedding_dim=2)
        self.linear_term = FirstOrderBias(name="linear_term")
        self.gate = keras.layers.Dense(units, "tanh", name="gate")
        self.head = keras.layers.Dense(1, name="head")
        inputs, features = packed_inputs(schema)
        embeddings, linear = self.shared_embedding(**features)
        pairs = FMInteraction()(embeddings)
        deep = self.deep_logits(embeddings)
        logits = self.linear_term(linear) + pairs + deep
        super().__init__(schema, inputs, logits, **kwargs)

    def deep_logits(self, embeddings):
        return self.head(keras.ops.mean(self.gate(embeddings), axis=1))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@pytest.fixture(scope="module")
def model(vocabulary):
    keras.utils.set_random_seed(0)
    model = Attentive(vocabulary.schema)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def packed(vocabulary):
    return deepfm_tf.encode(make_log(30, seed=4), vocabulary)


def logits(model, packed):
    probability = model(packed)["probability"].numpy()[:, 0].astype("float64")
    return np.log(probability) - np.log1p(-probability)


def test_a_model_of_ones_own_is_explained(model, packed):
    data = [{name: array[:20] for name, array in packed.items()}]

    explainer = deepfm_tf.Explainer(model, background=data)
    found = explainer.explain(packed)

    terms = found.bias + found.baseline + found.first_order.sum(axis=1)
    terms = terms + found.pairs.sum(axis=1) + found.deep.sum(axis=1)
    # 1e-4 is what the explainer may be off by.
    np.testing.assert_allclose(terms, logits(model, packed), atol=2e-4)
    assert np.abs(found.pairs).max() > 0.01 and np.abs(found.deep).max() > 0.01


def test_a_model_of_ones_own_is_exported_with_a_context(tmp_path):
    fields = [deepfm_tf.CategoricalField(name, min_count=1) for name in "ab"]
    log = {"a": ["u", "v"], "b": ["x", "y"], "click": [0, 1]}
    schema = deepfm_tf.Schema(fields, "click")
    vocabulary = deepfm_tf.fit_vocabulary(log, schema)
    model = Attentive(vocabulary.schema)
    randomize(model)

    # Every signature is compared with the model before it is published.
    version = deepfm_tf.export_saved_model(
        model, vocabulary, tmp_path / "own", context_fields=["a"]
    )

    signatures = tf.saved_model.load(str(version)).signatures
    assert {"rank", "packed_rank", "serving_default"} <= set(signatures)


def test_a_model_of_ones_own_is_loaded_without_help(model, packed, tmp_path):
    model.save(tmp_path / "own.keras")

    loaded = keras.saving.load_model(tmp_path / "own.keras")

    np.testing.assert_array_equal(
        loaded(packed)["probability"], model(packed)["probability"]
    )


def test_a_model_that_declares_nothing_is_not_explained(vocabulary):
    fm = deepfm_tf.FM(vocabulary.schema, embedding_dim=2)
    whole = CTRModel(vocabulary.schema, fm.input, fm.logits)

    with pytest.raises(TypeError, match="a CTRModel that declares how its"):
        deepfm_tf.Explainer(whole)
