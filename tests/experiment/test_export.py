"""What the options of a recipe become in its export."""

from types import SimpleNamespace

import pytest

import deepfm_tf
from deepfm_tf.experiment.export import export


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
        explain=False,
        warm_up_rows=warm_up_rows,
        no_rank_warm_up=no_rank_warm_up,
    )
    train = SimpleNamespace(vocabulary=None, fingerprint="f00d")
    result = {"model": "deepfm", "test": {}}

    export(settings, None, {"train": train, "valid": None}, result)

    found = {key: given[key] for key in given if key.startswith("warm_up")}
    assert found == expected
