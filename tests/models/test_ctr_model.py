"""What of the inputs counts, and a user's own model taken apart."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.layers import FirstOrderBias, FMInteraction
from deepfm_tf.models import CTRModel, packed_inputs, shared_embedding
from tests import reference
from tests.catalogue import MODELS, build
from tests.conftest import make_log
from tests.test_conformance import randomize

SCHEMA = deepfm_tf.Schema(
    (
        deepfm_tf.CategoricalField("a", missing="nothing", vocabulary_size=3),
        deepfm_tf.NumericField("x", missing="nothing"),
        deepfm_tf.NumericField("z"),
        deepfm_tf.MultiValuedField(
            "t",
            weight_separator=":",
            pooling="mean",
            max_length=3,
            vocabulary_size=4,
        ),
        deepfm_tf.MultiValuedField(
            "u", max_length=2, share_with="t", vocabulary_size=4
        ),
    ),
    label="y",
)
# The rows of the shared table: a 0-2, t and u 3-6, x 7, z 8 (9 if missing).
NOTHING = {
    "ids": [[-1, -1, -1, -1, -1, -1]],
    "weights": [[1.0, 1.0, 1.0]],
    "values": [[np.nan, 2.0]],
}


def packed(**changes):
    arrays = {**NOTHING, **changes}
    return {
        name: np.array(array, "int32" if name == "ids" else "float32")
        for name, array in arrays.items()
    }


def linear_model():
    """Logistic regression whose first-order weight of row i is i / 10."""
    model = deepfm_tf.LogisticRegression(SCHEMA)
    first_order = np.arange(10, dtype="float32")[:, np.newaxis] / 10
    model.linear_term.first_order.embeddings.assign(first_order)
    return model


def logit_of(model, inputs):
    probability = float(np.squeeze(model(inputs)["probability"]))
    return np.log(probability / (1 - probability))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 0.8 * 2.0),
        ({"values": [[np.nan, np.nan]]}, 0.9),
        ({"values": [[np.inf, -np.inf]]}, 0.9),
        ({"values": [[-3.0, 2.0]]}, -3.0 * 0.7 + 1.6),
        ({"values": [[0.0, 0.0]]}, 0.0),
        ({"ids": [[2, -1, -1, -1, -1, -1]]}, 0.2 + 1.6),
        # A mean of one, of two, and of two with weights.
        ({"ids": [[-1, 3, -1, -1, -1, -1]]}, 0.6 + 1.6),
        ({"ids": [[-1, 3, 0, -1, -1, -1]]}, (0.6 + 0.3) / 2 + 1.6),
        (
            {
                "ids": [[-1, 3, 0, -1, -1, -1]],
                "weights": [[0.5, 2.0, 9.0]],
            },
            (0.5 * 0.6 + 2.0 * 0.3) / 2.5 + 1.6,
        ),
        # The weights of one field are not those of another, nor of padding.
        (
            {
                "ids": [[1, -1, 3, -1, 3, 1]],
                "weights": [[np.nan, 4.0, np.inf]],
            },
            0.1 + 0.6 + (0.6 + 0.4) + 1.6,
        ),
        # Weights that sum to zero leave no mean to take.
        (
            {
                "ids": [[-1, 3, 0, -1, -1, -1]],
                "weights": [[1.0, -1.0, 1.0]],
            },
            1.6,
        ),
    ],
)
def test_logits_are_those_worked_out_by_hand(changes, expected):
    logit = logit_of(linear_model(), packed(**changes))

    # The logit of a float32 probability near 0.9 has four good digits.
    assert logit == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_what_contributes_nothing_has_no_gradient(name):
    keras.utils.set_random_seed(0)
    model = build(name, SCHEMA)
    with tf.GradientTape() as tape:
        probability = model(packed())["probability"]
    tables = [
        weight for weight in model.weights if weight.path.endswith("embeddings")
    ]

    gradients = tape.gradient(probability, [t.value for t in tables])

    for gradient in gradients:
        dense = tf.convert_to_tensor(gradient).numpy()
        # Row 8, of z, is the only feature there is.
        np.testing.assert_array_equal(np.delete(dense, 8, axis=0), 0)


def test_fields_that_share_a_vocabulary_read_the_same_rows():
    model = linear_model()

    of_t = logit_of(model, packed(ids=[[-1, 2, -1, -1, -1, -1]]))
    of_u = logit_of(model, packed(ids=[[-1, -1, -1, -1, 2, -1]]))

    assert of_t == of_u
    assert model.count_params() == 3 + 4 + 1 + 2 + 1


def test_gradients_match_central_differences():
    keras.utils.set_random_seed(3)
    model = build("DeepFM", SCHEMA, activation="tanh", hidden_units=(3,))
    inputs = packed(
        ids=[[1, 3, 0, -1, 3, 1], [-1, 2, -1, -1, -1, -1]],
        weights=[[0.5, 2.0, 1.0], [1.0, 1.0, 1.0]],
        values=[[0.5, -1.0], [np.nan, np.nan]],
    )
    upstream = np.array([[1.0], [-2.0]], "float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(inputs)["probability"] * upstream)
    variables = [weight.value for weight in model.trainable_weights]

    gradients = tape.gradient(loss, variables)

    # In a graph: each weight takes two calls.
    probability = tf.function(lambda: model(inputs)["probability"])

    for weight, gradient in zip(model.weights, gradients, strict=True):
        before = weight.numpy()

        def loss_at(array, weight=weight):
            weight.assign(array)
            return np.sum(probability() * upstream)

        expected = reference.central_difference(loss_at, before, 1e-2)
        weight.assign(before)
        # Float32 rounding over the step is 1e-5, the truncation 1e-4.
        np.testing.assert_allclose(
            tf.convert_to_tensor(gradient), expected, atol=5e-4
        )


@pytest.mark.parametrize("name", MODELS)
def test_the_probability_is_float32_under_mixed_precision(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(name, SCHEMA)
        probability = model(packed())["probability"]
    finally:
        keras.config.set_dtype_policy("float32")

    assert probability.dtype == "float32"
    assert all(weight.dtype == "float32" for weight in model.weights)


@pytest.mark.parametrize("name", ["DeepFM", "WideAndDeep", "NFM"])
def test_a_saved_model_keeps_its_precision(name, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(name, SCHEMA)
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(tmp_path / "model.keras")

    loaded = keras.saving.load_model(tmp_path / "model.keras")

    assert loaded.dense_pyramid.dtype_policy.name == "mixed_bfloat16"
    np.testing.assert_array_equal(
        loaded(packed())["probability"], model(packed())["probability"]
    )
    assert keras.config.dtype_policy().name == "float32"


def test_a_frozen_model_stays_frozen_in_its_config():
    model = deepfm_tf.FM(SCHEMA, embedding_dim=3, name="mine")
    model.trainable = False

    clone = deepfm_tf.FM.from_config(model.get_config())

    assert (clone.name, clone.trainable) == ("mine", False)
    assert clone.schema == SCHEMA


@pytest.mark.parametrize("name", MODELS)
def test_an_unfitted_schema_is_refused(name):
    schema = deepfm_tf.Schema((deepfm_tf.CategoricalField("site"),), "y")

    with pytest.raises(ValueError, match="'site' has no `vocabulary_size` yet"):
        build(name, schema)


@pytest.mark.parametrize("name", MODELS)
def test_the_correction_for_sampled_negatives_is_the_exact_one(name):
    share = 0.05
    model = build(name, SCHEMA, negative_sampling=share)
    random = np.random.default_rng(2)
    for weight in model.trainable_weights:
        weight.assign(random.normal(0, 0.5, weight.shape))

    p = model(packed(), training=True)["probability"].numpy()
    q = model(packed())["probability"].numpy()

    np.testing.assert_allclose(q, p / (p + (1 - p) / share), rtol=1e-5)
    assert np.all(q < p)


@pytest.mark.parametrize("name", MODELS)
def test_sampled_negatives_start_from_even_odds_in_training(name):
    model = build(name, SCHEMA, negative_sampling=0.05)
    embeddings = model.embedding_layer.embeddings
    embeddings.assign(np.zeros(embeddings.shape))

    p = model(packed(), training=True)["probability"]

    np.testing.assert_allclose(p, 0.5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_training_starts_from_the_base_rate(name):
    # One in 21 of all rows, and of the sampled ones one in five: 1/4 is the
    # odds of these, and .2 the share of the negatives that was kept.
    model = build(name, SCHEMA, negative_sampling=0.2, base_rate=0.2)
    embeddings = model.embedding_layer.embeddings
    embeddings.assign(np.zeros(embeddings.shape))

    for training, expected in ((True, 1 / 5), (False, 1 / 21)):
        p = model(packed(), training=training)["probability"]
        np.testing.assert_allclose(p, expected, rtol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_base_rate_that_has_no_log_odds_is_refused(rate):
    with pytest.raises(ValueError, match="`base_rate` must be a share"):
        build("FM", SCHEMA, base_rate=rate)


@pytest.mark.parametrize("name", MODELS)
def test_config_and_file_keep_how_a_model_was_sampled_and_kept_small(
    name, tmp_path
):
    penalty = "weights" if name == "LogisticRegression" else "embeddings"
    arguments = {f"{penalty}_regularizer": keras.regularizers.L2(0.25)}
    if penalty == "embeddings":
        normal = keras.initializers.RandomNormal(stddev=1e-4)
        arguments["embeddings_initializer"] = normal
    model = build(name, SCHEMA, negative_sampling=0.05, **arguments)
    model.save(tmp_path / "model.keras")

    for clone in (
        type(model).from_config(model.get_config()),
        keras.saving.load_model(tmp_path / "model.keras"),
    ):
        layer = clone.embedding_layer
        assert clone.negative_sampling == 0.05
        assert clone.get_config() == model.get_config()
        assert layer.embeddings_regularizer.l2 == 0.25
        if penalty == "embeddings":
            assert layer.embeddings_initializer.stddev == 1e-4
    np.testing.assert_array_equal(
        clone(packed(), training=True)["probability"],
        model(packed(), training=True)["probability"],
    )


@pytest.mark.parametrize("name", sorted(set(MODELS) - {"LogisticRegression"}))
def test_embeddings_start_as_the_initializer_says(name):
    normal = keras.initializers.RandomNormal(stddev=1e-4)
    fields = (deepfm_tf.CategoricalField("a", vocabulary_size=5000),)
    schema = deepfm_tf.Schema(fields, "y")

    model = build(name, schema, embeddings_initializer=normal)

    table = model.shared_embedding.embeddings.numpy()
    # 15,000 draws: the estimate is good to 0.6 %.
    np.testing.assert_allclose(table[:, :-1].std(), 1e-4, rtol=0.03)
    assert not table[:, -1].any()


@pytest.mark.parametrize("name", MODELS)
def test_the_penalty_is_on_every_weight_of_the_table(name):
    penalty = "weights" if name == "LogisticRegression" else "embeddings"
    l2 = keras.regularizers.L2(0.25)
    model = build(name, SCHEMA, **{f"{penalty}_regularizer": l2})
    table = model.embedding_layer.embeddings
    table.assign(np.full(table.shape, 2.0))

    expected = 0.25 * 4.0 * np.prod(table.shape)
    assert [float(loss) for loss in model.losses] == [expected]


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5])
def test_a_share_of_negatives_is_above_0_and_at_most_1(share):
    with pytest.raises(ValueError, match="`negative_sampling` must be"):
        build("FM", SCHEMA, negative_sampling=share)


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
def own_model(small_vocabulary):
    keras.utils.set_random_seed(0)
    model = Attentive(small_vocabulary.schema)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def encoded(small_vocabulary):
    return deepfm_tf.encode(make_log(30, seed=4), small_vocabulary)


def logits(own_model, encoded):
    probability = (
        own_model(encoded)["probability"].numpy()[:, 0].astype("float64")
    )
    return np.log(probability) - np.log1p(-probability)


def test_a_model_of_ones_own_is_explained(own_model, encoded):
    data = [{name: array[:20] for name, array in encoded.items()}]

    explainer = deepfm_tf.Explainer(own_model, background=data)
    found = explainer.explain(encoded)

    terms = found.bias + found.baseline + found.first_order.sum(axis=1)
    terms = terms + found.pairs.sum(axis=1) + found.deep.sum(axis=1)
    # 1e-4 is what the explainer may be off by.
    np.testing.assert_allclose(terms, logits(own_model, encoded), atol=2e-4)
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


def test_a_model_of_ones_own_is_loaded_without_help(
    own_model, encoded, tmp_path
):
    own_model.save(tmp_path / "own.keras")

    loaded = keras.saving.load_model(tmp_path / "own.keras")

    np.testing.assert_array_equal(
        loaded(encoded)["probability"], own_model(encoded)["probability"]
    )


def test_a_model_that_declares_nothing_is_not_explained(small_vocabulary):
    fm = deepfm_tf.FM(small_vocabulary.schema, embedding_dim=2)
    whole = CTRModel(small_vocabulary.schema, fm.input, fm.logits)

    with pytest.raises(TypeError, match="a CTRModel that declares the"):
        deepfm_tf.Explainer(whole)


class Misdeclared(CTRModel):
    """A sum of all terms; each test declares something else."""

    def __init__(self, schema, **kwargs):
        self.shared_embedding = shared_embedding(schema, embedding_dim=2)
        self.linear_term = FirstOrderBias(name="linear_term")
        inputs, features = packed_inputs(schema)
        embeddings, linear = self.shared_embedding(**features)
        logits = self.logits_of(self.linear_term(linear), embeddings)
        super().__init__(schema, inputs, logits, **kwargs)


class HiddenPairs(Misdeclared):
    def logits_of(self, linear, embeddings):
        pairs = FMInteraction()(embeddings)
        return linear + pairs + self.deep_logits(embeddings)

    def deep_logits(self, embeddings):
        return keras.ops.max(embeddings, axis=(1, 2))[:, None]


class Doubled(Misdeclared):
    has_pairs = True

    def logits_of(self, linear, embeddings):
        return 2 * (linear + FMInteraction()(embeddings))


class UnusedDeep(Misdeclared):
    has_pairs = True

    def logits_of(self, linear, embeddings):
        return linear + FMInteraction()(embeddings)

    def deep_logits(self, embeddings):
        return keras.ops.max(embeddings, axis=(1, 2))[:, None]


@pytest.mark.parametrize(
    ("wrong", "declared"),
    [
        (HiddenPairs, "`linear_term`, `has_pairs`=False, `deep_logits`"),
        (Doubled, "`linear_term`, `has_pairs`=True"),
        (UnusedDeep, "`linear_term`, `has_pairs`=True, `deep_logits`"),
    ],
)
def test_terms_that_are_not_those_of_the_logits_are_refused(
    wrong, declared, small_vocabulary, encoded
):
    model = wrong(small_vocabulary.schema)
    randomize(model)

    with pytest.raises(ValueError) as refused:
        deepfm_tf.Explainer(model, background=[encoded])

    assert f"{wrong.__name__}'s logits are not those" in str(refused.value)
    assert f"({declared})" in str(refused.value)


def test_a_wrong_declaration_is_refused_before_an_export(
    small_vocabulary, tmp_path
):
    model = Doubled(small_vocabulary.schema)
    randomize(model)

    with pytest.raises(ValueError, match="Doubled's logits are not those"):
        deepfm_tf.export_saved_model(
            model, small_vocabulary, tmp_path / "own", table_dtype="float16"
        )


def test_the_declaration_that_lacks_is_named(small_vocabulary):
    model = UnusedDeep(small_vocabulary.schema)
    model.linear_term = None

    with pytest.raises(
        TypeError, match="UnusedDeep, which lacks `linear_term`"
    ):
        deepfm_tf.Explainer(model)
