"""What a model is built and trained with where nobody says otherwise."""

import dataclasses
import math

import pytest

from deepfm_tf import CategoricalField, Schema, UserError, choose_preset
from deepfm_tf.presets import PRESETS


def schema_of(*sizes):
    return Schema(
        tuple(
            CategoricalField(f"field_{i}", vocabulary_size=size)
            for i, size in enumerate(sizes)
        ),
        label="click",
    )


@pytest.mark.parametrize(
    ("num_examples", "batch_size"),
    # The power of 2 nearest to a 128th, on the scale of logarithms.
    [(1, 32), (5_700, 32), (6_372, 64), (29_271, 256), (10**9, 2048)],
)
def test_an_epoch_has_about_128_steps(num_examples, batch_size):
    for model in ("DeepFM", "FM", "LogisticRegression"):
        preset = choose_preset(model, schema_of(10, 20), num_examples)
        assert preset.batch_size == batch_size


@pytest.mark.parametrize(
    ("num_examples", "num_positives", "evaluations"),
    [
        (1_000_000, 70_000, 1),  # 488 steps
        (1_100_000, 70_000, 2),
        (2_400_000, 70_000, 4),
        (10**9, 10**8, 4),
        (2_400_000, 400, 1),  # of which 40 or so are for validation
    ],
)
def test_many_examples_are_evaluated_within_an_epoch(
    num_examples, num_positives, evaluations
):
    for model in ("DeepFM", "LogisticRegression"):
        preset = choose_preset(
            *(model, schema_of(10, 20), num_examples),
            num_positives=num_positives,
        )
        assert preset.evaluations == evaluations
        assert ("evaluations" in str(preset)) == (evaluations > 1)


@pytest.mark.parametrize(
    ("sizes", "num_examples", "l2"),
    [
        # 60,000 examples x 2 fields / 524 features = 229 of a feature.
        ((500, 24), 60_000, 3 / (60_000 * 2 / 524)),
        ((20_000, 30_000), 50_000, 0.05),  # 2 of a feature
        ((2, 2), 1_000_000, 5e-4),
        ((400_000, 40_000), 2_000_000, 0.0025),  # 5,000 over all examples
        ((2, 2), 10**9, 5e-6),
    ],
)
def test_rare_features_are_held_back_more(sizes, num_examples, l2):
    preset = choose_preset("DeepFM", schema_of(*sizes), num_examples)
    assert preset.batch_l2 == pytest.approx(l2)


@pytest.mark.parametrize(
    ("num_examples", "size", "is_gentle"),
    [
        (3_000, 10, True),
        (5_000, 10, False),  # 500 of a feature
        (10_000, 100, True),  # 100 of a feature
        (10_000, 50, False),
        (40_000, 1_600, True),  # 25 of a feature
        (40_000, 1_000, False),
        (150_000, 10_000, False),  # 15 of a feature
    ],
)
def test_few_examples_get_the_gentle_preset(num_examples, size, is_gentle):
    schema = schema_of(size)
    usual = choose_preset("DeepFM", schema, num_examples)
    gentle = choose_preset("DeepFM", schema, num_examples, "gentle")
    assert (usual == gentle) is is_gentle
    strong = choose_preset("DeepFM", schema, num_examples, "strong")
    for preset in (usual, strong):
        assert preset.batch_normalization is not is_gentle
        assert preset.learning_rate == (0.001 if is_gentle else 0.003)
    assert not gentle.batch_normalization


@pytest.mark.parametrize(
    ("num_examples", "size", "name", "chosen"),
    [
        (5_000, 10, "default", "default"),
        (
            3_999,
            10,
            "default",
            "gentle, because there are only 3,999 training rows (below 4,000)",
        ),
        (
            10_000,
            100,
            "default",
            "gentle, because there are only 10,000 training rows, and 100 "
            "per value on average (the product is below 1,300,000)",
        ),
        (3_000, 10, "gentle", "gentle"),
        (5_000, 10, "strong", "strong"),
        (
            3_000,
            10,
            "strong",
            "strong, without batch normalization, because there are only 3,000 "
            "training rows (below 4,000)",
        ),
        (3_000, 10, "seed", "seed"),
    ],
)
def test_a_preset_says_which_it_is_and_why(num_examples, size, name, chosen):
    preset = choose_preset("DeepFM", schema_of(size), num_examples, name)
    assert preset.chosen == chosen
    assert "chosen" not in repr(preset)  # which tells trainings apart


@pytest.mark.parametrize(
    ("sizes", "num_examples", "l2", "of_fm"),
    [
        # 60,000 examples x 2 fields / 524 features = 229 of a feature.
        ((500, 24), 60_000, 0.001 / 229.0, 0.03 / 229.0),
        ((20_000, 30_000), 50_000, 2e-5, 0.015),  # 2 of a feature
        # 5 and 5,000 over all examples.
        ((400_000, 40_000), 2_000_000, 2.5e-6, 2.5e-3),
    ],
)
def test_first_order_weights_are_held_back_less(sizes, num_examples, l2, of_fm):
    schema = schema_of(*sizes)
    arguments = {
        model: choose_preset(model, schema, num_examples).compile_arguments()
        for model in ("DeepFM", "FM", "LogisticRegression")
    }
    for model in ("DeepFM", "FM"):
        assert arguments[model]["first_order_l2"] == pytest.approx(l2, rel=1e-4)
    assert arguments["FM"]["batch_l2"] == pytest.approx(of_fm, rel=1e-4)
    alone = arguments["LogisticRegression"]
    assert alone["batch_l2"] == pytest.approx(l2, rel=1e-4)
    assert alone["first_order_l2"] is None


@pytest.mark.parametrize("model", ["DeepFM", "LogisticRegression"])
def test_training_starts_from_the_share_of_positives(model):
    schema = schema_of(10)
    weighted = dataclasses.replace(schema, example_weight="weight")

    def base_rate(name, schema, num_positives):
        preset = choose_preset(
            model, schema, 50_000, name, num_positives=num_positives
        )
        return preset.model_arguments().get("base_rate")

    for name in ("default", "gentle", "strong"):
        assert base_rate(name, schema, 10_000) == 0.2
    # The textbook does not; of weighted rows it may be another share; and
    # none and all have no log odds.
    assert base_rate("seed", schema, 10_000) is None
    assert base_rate("default", weighted, 10_000) is None
    assert base_rate("default", schema, None) is None
    assert base_rate("default", schema, 0) is None
    assert base_rate("default", schema, 50_000) is None


@pytest.mark.parametrize(
    ("num_examples", "num_positives", "patience"),
    [
        (50_000, None, 2),
        (50_000, 499, 7),
        (50_000, 500, 2),
        (50_000, 49_500, 2),
        (50_000, 49_501, 7),
        (1_000, 50, 2),
        (1_000, 49, 7),
    ],
)
def test_few_and_rare_labels_need_patience(
    num_examples, num_positives, patience
):
    preset = choose_preset(
        *("DeepFM", schema_of(10), num_examples), num_positives=num_positives
    )
    assert preset.patience == patience
    # Few labels do not tell the best epoch from the next one either.
    assert preset.callback_arguments()["average_weights"] == (patience == 7)


@pytest.mark.parametrize(
    ("num_positives", "bits"),
    # Of entropy: log2(2) for a coin, 2 - 0.75 log2(3) for one in four.
    [(None, 1.0), (25_000, 1.0), (12_500, 2 - 0.75 * math.log2(3))],
)
def test_a_ten_thousandth_of_the_entropy_is_no_gain(num_positives, bits):
    preset = choose_preset(
        *("FM", schema_of(10), 50_000), num_positives=num_positives
    )
    assert preset.min_delta == pytest.approx(1e-4 * math.log(2) * bits)
    assert preset.callback_arguments()["min_delta"] == preset.min_delta


@pytest.mark.parametrize(
    ("num_positives", "chosen"),
    [
        (None, "default"),
        (20_000, "default"),
        # 4 x .01 x .99 x 40,000, at one end and at the other.
        *(
            (
                positives,
                "gentle, because there are only 40,000 training rows, which "
                "are worth 1,584 rows with equal numbers of positives and "
                "negatives (below 4,000)",
            )
            for positives in (400, 39_600)
        ),
    ],
)
def test_rows_with_rare_labels_count_for_less(num_positives, chosen):
    preset = choose_preset(
        *("DeepFM", schema_of(10), 40_000), num_positives=num_positives
    )
    assert preset.chosen == chosen


def test_the_seed_is_the_textbook_whatever_the_data():
    for num_examples in (100, 10**7):
        preset = choose_preset("DeepFM", schema_of(9), num_examples, "seed")
        assert preset.hidden_units == (30, 20, 10)
        assert preset.dropout == 0.1
        assert preset.embedding_dim == 10
        assert preset.learning_rate == 0.01
        assert preset.batch_size == 2048
        assert preset.embeddings_initializer == "glorot_uniform"
        assert preset.batch_l2 is None
        assert preset.first_order_l2 is None
        assert not preset.batch_normalization
        assert not preset.reduce_lr


@pytest.mark.parametrize("model", ["DeepFM", "WideAndDeep", "NFM"])
def test_presets_differ(model):
    schema = schema_of(10, 20)
    found = [choose_preset(model, schema, 50_000, name) for name in PRESETS]
    assert len(set(map(repr, found))) == len(PRESETS)


@pytest.mark.parametrize(
    ("model", "name", "text"),
    [
        ("DeepFm", "default", "Did you mean 'DeepFM'?"),
        ("DeepFM", "stong", "Did you mean 'strong'?"),
    ],
)
def test_an_unknown_name_is_refused(model, name, text):
    with pytest.raises(UserError, match="must be one of") as error:
        choose_preset(model, schema_of(9), 100, name)
    assert text in str(error.value)
