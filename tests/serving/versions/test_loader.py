"""Loading, retrying and closing, and which versions may go."""

import ctypes
import logging
import os
import threading
import weakref
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions import loader as version_loader
from deepfm_tf.serving.versions.loader import (
    Model,
    ModelVersion,
    State,
    choose_versions,
    find_versions,
    return_memory,
)
from tests.serving.fake_versions import FakeModels


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Half a second a test, and nothing here takes memory."""
    monkeypatch.setattr(version_loader, "return_memory", lambda: None)


@pytest.fixture
def models(tmp_path):
    made = FakeModels(tmp_path, max_num_load_retries=2)
    yield made
    made.store.stop(timeout=0)


def test_what_a_load_failed_with_is_one_line_of_the_log(models, caplog):
    models.loader.failures.add("1")
    models.add(1)

    with pytest.raises(ServingError):
        models.start()

    assert models.loader.tries == ["1", "1", "1"]
    lines = [m for m in caplog.messages if "could not be loaded" in m]
    assert "OSError: bad 1. Next try in 0.01 s; deleting" in lines[0]
    assert lines[2].endswith("bad 1. Delete or replace the directory.")


def test_a_version_deleted_while_it_waits_its_turn_is_not_loaded(models):
    gate = models.loader.held["3"] = threading.Event()
    for version in (1, 3):
        models.add(version)
    models.configure("model_version_policy { all {} }")
    models.wait_for_states(v3="LOADING", v1="START")

    models.delete(1)
    models.wait_for_polls()
    gate.set()

    models.wait_for_states(v1="END", v3="AVAILABLE")
    assert models.loader.tries == ["3"]


def test_a_close_that_fails_is_logged_and_ends(models, caplog):
    models.add(1)
    models.start()

    def fail():
        raise RuntimeError("stuck")

    models.loader.loaded[0].close = fail
    models.delete(1)

    models.wait_for_states(v1="END")
    assert "version 1 did not close cleanly" in caplog.text


def test_a_negative_poll_wait_never_looks(tmp_path):
    models = FakeModels(tmp_path, poll_wait_seconds=-1)
    models.add(1)
    models.configure()

    models.store.stop(timeout=0)

    assert models.store.num_polls == 0
    assert models.loader.tries == []


def model(wanted, available):
    """A model with these versions."""
    made = Model(wanted={v: Path(str(v)) for v in wanted})
    for version in available:
        made.available[version] = ModelVersion("m", version, Path("p"))
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


def test_a_model_has_failed_when_all_its_versions_have():
    made = model([1, 2], [])
    error = ServingError(grpc.StatusCode.NOT_FOUND, "gone")
    for number in (1, 2):
        assert not made.failures()
        made.versions[number] = ModelVersion(
            "m", number, Path("p"), failed=True, error=error
        )

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


class Node:
    """Can be part of a cycle."""


def test_cycles_are_freed():
    node = Node()
    node.itself = node
    reference = weakref.ref(node)
    del node

    return_memory()

    assert reference() is None


def test_an_allocator_without_trim_is_left_alone(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", lambda name: asked.append(name))

    return_memory()

    assert asked == [None]  # and what it gave has no malloc_trim


def test_only_directories_whose_names_are_int64_are_found(tmp_path):
    versions = {
        "9223372036854775807": 2**63 - 1, "10": 10, "0002": 2, "1": 1,
        "-1": -1,
    }  # fmt: skip
    others = "9223372036854775808", "+4", "1_000", "7.tmp", "notes", "temp-1"
    for name in (*versions, *others, "\N{ARABIC-INDIC DIGIT ONE}"):
        (tmp_path / name).mkdir()
    (tmp_path / "3").write_text("a file")

    found = find_versions(tmp_path)

    assert list(found.items()) == [
        (number, tmp_path / name) for name, number in versions.items()
    ]


def test_of_two_names_of_one_version_the_first_counts(tmp_path, caplog):
    (tmp_path / "1").mkdir()
    (tmp_path / "01").mkdir()

    with caplog.at_level(logging.WARNING):
        found = find_versions(tmp_path)

    assert found == {1: tmp_path / "01"}
    assert "Version 1 is in both" in caplog.text


def test_what_vanishes_during_the_look_is_skipped(tmp_path, monkeypatch):
    (tmp_path / "2").mkdir()
    monkeypatch.setattr(os, "listdir", lambda path: ["1", "2"])

    assert find_versions(tmp_path) == {2: tmp_path / "2"}


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
