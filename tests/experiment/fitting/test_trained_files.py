"""The files of all days: none twice, and no older model as the newest."""

import argparse
import hashlib
import json

import pytest

import deepfm_tf
from deepfm_tf.experiment.fitting import trained_files
from deepfm_tf.experiment.run_folder.origin import Origin

CARD = {
    "model": {"class": "FM", "config": {}},
    "schema": {"label": "click"},
    "warm_up": {"rows": [1], "signatures": ["predict", "rank"]},
    "table": {"dtype": "bfloat16"},
    "calibration": {"method": "platt"},
    "context_fields": ["user"],
    "explain": None,
}


def part(*digests):
    return argparse.Namespace(sources={d: f"{d}.csv" for d in digests})


def settings_of(known, **others):
    given = {"continue_from": "runs/a", "out_of_order": False, "export": None}
    given |= {"valid": None, "test": None, **others}
    origin = argparse.Namespace(trained_files=known)
    return argparse.Namespace(origin=origin, **given)


def export(folder, number, *digests):
    extra = folder / str(number) / "assets.extra"
    extra.mkdir(parents=True)
    (extra.parent / "saved_model.pb").touch()
    card = CARD | {"training_data": {"files": digests}}
    (extra / "model_card.json").write_text(json.dumps(card))
    return extra.parent


def check(settings, *train):
    trained_files.check_newest(settings, lambda: train)


SCHEMA = deepfm_tf.Schema((deepfm_tf.CategoricalField("site"),), "click")


def write_day(directory):
    for name in ("a.csv", "again.csv"):
        (directory / name).write_text("site,click\nx,1\nx,0\ny,1\ny,0\n")


def digest(path):
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def refused_before(settings, directory):
    """Whether the second of two days, which is the first, is refused."""
    with trained_files.refusing_same_day(settings):
        write_day(directory)
        first, again = directory / "a.csv", directory / "again.csv"
        extends = deepfm_tf.fit_vocabulary(first, SCHEMA)
        extends.files_of_days = [[digest(first)]]
        deepfm_tf.prepare(again, directory / "day", extends=extends)


def test_a_day_that_comes_twice_is_refused_unless_it_is_meant(tmp_path):
    with pytest.raises(ValueError, match=r"Received: .*again\.csv alone"):
        refused_before(settings_of([]), tmp_path)
    assert not (tmp_path / "day").exists()

    refused_before(settings_of([], out_of_order=True), tmp_path)
    assert (tmp_path / "day").is_dir()


def test_an_older_model_does_not_become_the_newest_version(tmp_path):
    export(tmp_path, 9, "a", "b")
    export(tmp_path, 10, "a", "b", "c")  # the newest by number, not by text
    older = settings_of(["a"], export=tmp_path)

    with pytest.raises(ValueError, match="newest version, .*10, must not have"):
        check(older, "b")

    check(older, "c")  # the last day once more
    check(settings_of(["a"], export=tmp_path, out_of_order=True), "b")
    # Nobody need read the new files for it.
    trained_files.check_newest(
        settings_of(["a", "b", "c"], export=tmp_path), None
    )


def test_files_that_come_again_are_the_latest():
    digests = trained_files.digests_of(settings_of(["a", "b"]), part("a", "c"))

    assert digests == ["b", "a", "c"]


def test_the_next_version_is_to_be_like_the_one_it_follows(tmp_path):
    known = Origin.of(export(tmp_path / "clicks", 3)).known

    assert known == {
        "label": "click",
        "export": str(tmp_path / "clicks"),
        "context_fields": ["user"],
        "explain": False,
        "table_dtype": "bfloat16",
        "calibration": "platt",
        "warm_up_rows": [1],
        "no_rank_warm_up": False,
    }


def test_a_version_alone_is_followed_by_none(tmp_path):
    version = export(tmp_path, 3).rename(tmp_path / "best")

    assert Origin.of(version).known == {"label": "click"}
