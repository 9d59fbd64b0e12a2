"""Options, and what a model is trained with by them."""

import types

import pytest

import deepfm_tf
from deepfm_tf.experiment.command_line import CommandLine


@pytest.mark.parametrize(
    ("num_positives", "words", "is_averaged"),
    [
        (5_000, [], False),
        (400, [], True),
        (400, ["--no-average-weights"], False),
        (5_000, ["--average-weights"], True),
    ],
)
def test_weights_are_averaged_where_labels_are_rare_or_it_is_said(
    num_positives, words, is_averaged
):
    field = deepfm_tf.CategoricalField("site", vocabulary_size=9)
    train = types.SimpleNamespace(
        schema=deepfm_tf.Schema((field,), "y"),
        num_rows=50_000,
        num_positives=num_positives,
    )
    settings = CommandLine().settings(
        ["--train", "a.csv", "--label", "y", *words]
    )

    preset = settings.preset_for("deepfm", train)

    assert preset.callback_arguments()["average_weights"] is is_averaged
