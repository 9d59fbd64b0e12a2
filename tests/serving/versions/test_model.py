"""Which versions there are, which are chosen, and which may go."""

import logging
import os
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.model import (
    Model,
    ModelVersion,
    State,
    choose_versions,
    find_versions,
    parse_version,
)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("1", 1),
        ("00000123", 123),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", None),
        ("-1", -1),
        ("+1", None),
        ("1_000", None),
        ("1.tmp", None),
        ("\N{ARABIC-INDIC DIGIT ONE}", None),
        ("", None),
        ("temp-1", None),
    ],
)
def test_names_that_are_int64_are_versions(name, version):
    assert parse_version(name) == version


def test_only_version_directories_are_found(tmp_path):
    for name in ("1", "0002", "10", "7.tmp", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").write_text("a file")

    assert find_versions(tmp_path) == {
        10: tmp_path / "10",
        2: tmp_path / "0002",
        1: tmp_path / "1",
    }
    assert list(find_versions(tmp_path)) == [10, 2, 1]


def test_of_two_names_of_one_version_the_first_counts(tmp_path, caplog):
    (tmp_path / "1").mkdir()
    (tmp_path / "01").mkdir()

    with caplog.at_level(logging.WARNING):
        found = find_versions(tmp_path)

    assert found == {1: tmp_path / "01"}
    assert "Version 1 is in both" in caplog.text


def test_what_vanishes_during_the_look_is_skipped(
    tmp_path, monkeypatch, caplog
):
    (tmp_path / "2").mkdir()
    monkeypatch.setattr(os, "listdir", lambda path: ["1", "2"])

    assert find_versions(tmp_path) == {2: tmp_path / "2"}
    assert "Version directory skipped" in caplog.text


def test_a_missing_base_path_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        find_versions(tmp_path / "absent")


@pytest.mark.parametrize(
    ("policy", "chosen"),
    [
        ("", [9]),
        ("latest {}", [9]),
        ("latest { num_versions: 2 }", [9, 4]),
        ("latest { num_versions: 9 }", [9, 4, 1]),
        ("all {}", [9, 4, 1]),
        ("specific { versions: 1 versions: 9 }", [9, 1]),
        ("specific { versions: 5 }", []),
    ],
)
def test_policies_choose_versions(policy, chosen):
    found = {version: Path(str(version)) for version in (9, 4, 1)}
    message = text_format.Parse(
        policy, FileSystemStoragePathSourceConfig.ServableVersionPolicy()
    )

    assert list(choose_versions(message, found)) == chosen


def model(wanted, available):
    """A model with these versions."""
    made = Model(wanted={v: Path(str(v)) for v in wanted})
    for version in available:
        made.set_available(ModelVersion("m", version, Path("p")), True)
    return made


@pytest.mark.parametrize(
    ("wanted", "available", "leaving"),
    [
        ([3], [3], []),
        ([3], [1, 2], [1]),  # 2 serves until 3 does
        ([3], [1, 2, 3], [1, 2]),
        ([], [1, 2], [1, 2]),
        ([1], [1, 2], [2]),
        ([4, 3], [3, 1], [1]),
    ],
)
def test_availability_comes_before_memory(wanted, available, leaving):
    versions = model(wanted, available).no_longer_needed()

    assert [version.version for version in versions] == leaving


def test_the_newest_is_the_highest_available():
    made = model([1, 2], [1, 2])
    assert made.newest.version == 2

    made.set_available(made.versions.get(2) or made.available[2], False)

    assert made.newest.version == 1


def test_a_model_has_failed_when_all_its_versions_have():
    made = model([1, 2], [])
    error = ServingError(grpc.StatusCode.NOT_FOUND, "gone")
    for number in (1, 2):
        assert not made.has_failed()
        made.versions[number] = ModelVersion(
            "m", number, Path("p"), failed=True, error=error
        )

    assert made.has_failed()
    assert made.failures() == (
        "{name: m version: 1 due to error: NOT_FOUND: gone} "
        "{name: m version: 2 due to error: NOT_FOUND: gone} "
    )


@pytest.mark.parametrize(("state", "code"), [("LOADING", 0), ("END", 5)])
def test_the_error_is_shown_once_there_are_no_more_tries(state, code):
    version = ModelVersion(
        "m",
        1,
        Path("p"),
        state=getattr(State, state),
        error=ServingError(grpc.StatusCode.NOT_FOUND, "gone"),
    )

    assert version.status().status.error_code == code
