"""What the options of a recipe become in its export."""

from types import SimpleNamespace

import pytest

import deepfm_tf
from deepfm_tf.experiment.command_line import CommandLine
from deepfm_tf.experiment.export import check_options, export


@pytest.mark.parametrize(
    ("warm_up_rows", "no_rank_warm_up", "expected"),
    [
        (None, False, {"warm_up_rank": True}),
        ((1, 64), True, {"warm_up_rows": (1, 64), "warm_up_rank": False}),
    ],
)
def test_the_export_warms_up_as_asked(
    tmp_path, monkeypatch, warm_up_rows, no_rank_warm_up, expected
):
    given = {}
    monkeypatch.setattr(
        deepfm_tf,
        "export_saved_model",
        lambda *_, **keywords: given.update(keywords) or tmp_path,
    )
    settings = SimpleNamespace(
        export=tmp_path,
        model=["deepfm"],
        context_fields=("site",),
        keep_versions=None,
        table_dtype=None,
        prune_untrained=False,
        explain=False,
        warm_up_rows=warm_up_rows,
        no_rank_warm_up=no_rank_warm_up,
        origin=None,
    )
    train = SimpleNamespace(vocabulary=None, fingerprint="f00d", sources={})
    result = {"model": "deepfm", "test": {}}

    export(settings, None, {"train": train, "valid": None}, result)

    found = {key: given[key] for key in given if key.startswith("warm_up")}
    assert found == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--explain"], "--explain explains the model with all of its rows"),
        (["--encodings", "count"], "cannot be combined with --encodings"),
        (["--optimizer", "adam"], "rows it has updated: lazy_adam, .*adam"),
    ],
)
def test_what_cannot_be_pruned_is_told_before_training(words, told):
    line = ["--train", "a.csv", "--label", "y", "--export", "models/a"]
    settings = CommandLine().settings([*line, "--prune-untrained", *words])

    with pytest.raises(deepfm_tf.UserError, match=told):
        check_options(settings)


def test_numbers_of_values_of_a_schema_are_not_pruned(tmp_path):
    field = deepfm_tf.CategoricalField("a", encodings=("count",))
    deepfm_tf.Schema((field,), "y").save(tmp_path / "schema.json")
    line = ["--train", "a.csv", "--label", "y", "--export", "models/a"]
    line += ["--schema", str(tmp_path / "schema.json"), "--prune-untrained"]

    with pytest.raises(
        deepfm_tf.UserError, match="cannot be combined with --encodings"
    ):
        check_options(CommandLine().settings(line))
