"""Loading, retrying and closing, seen from inside the store."""

import ctypes
import threading
import weakref

import pytest

from deepfm_tf.serving.versions import loader as version_loader
from deepfm_tf.serving.versions.loader import VersionLoader, return_memory
from tests.serving.fake_versions import FakeLoader, FakeModels, state_name

SECONDS = 20.0


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Half a second a test, and nothing here takes memory."""
    monkeypatch.setattr(version_loader, "return_memory", lambda: None)


@pytest.fixture
def loader():
    return FakeLoader()


@pytest.fixture
def versions(loader):
    made = VersionLoader(loader, 0.01, 1, 2, 0.0)
    yield made
    made.stop(timeout=0)


def keep(versions, models, extra=""):
    """Configure it with the models' folder."""
    [config] = models.config(extra).model_config_list.config
    with versions.changed:
        versions.configure({"toy": config})


def wait_for(versions, version, state):
    """Wait until a version of the toy is in this state."""
    with versions.changed:
        assert versions.changed.wait_for(
            lambda: (
                (found := versions.models["toy"].versions.get(version))
                and state_name(found.state) == state
            ),
            SECONDS,
        )


@pytest.fixture
def models(tmp_path):
    made = FakeModels(tmp_path, poll_wait_seconds=-1)
    yield made
    made.store.stop()


def test_a_load_is_tried_again_as_often_as_told(versions, loader, models):
    loader.failures.add("1")
    models.add(1)

    keep(versions, models)

    wait_for(versions, 1, "END")
    assert loader.tries == ["1", "1", "1"]


def test_what_a_load_failed_with_is_one_line_of_the_log(models, caplog):
    def load(path):
        raise OSError("cut short:\n\t[[restore]]")

    versions = VersionLoader(load, 0.01, 1, 0, 0.0)
    models.add(1)
    keep(versions, models)
    wait_for(versions, 1, "END")
    versions.stop(timeout=0)

    (line,) = [m for m in caplog.messages if "could not be loaded" in m]
    assert line.endswith(
        "OSError: cut short: [[restore]]. Delete or replace the directory."
    )


def test_a_version_deleted_while_it_waits_its_turn_is_not_loaded(
    versions, loader, models
):
    gate = loader.held["3"] = threading.Event()
    for version in (1, 3):
        models.add(version)
    keep(versions, models, "model_version_policy { all {} }")
    wait_for(versions, 3, "LOADING")
    wait_for(versions, 1, "START")

    models.delete(1)
    polls = versions.num_polls
    with versions.changed:
        versions.changed.wait_for(
            lambda: versions.num_polls > polls + 1, SECONDS
        )
    gate.set()

    wait_for(versions, 1, "END")
    wait_for(versions, 3, "AVAILABLE")
    assert loader.tries == ["3"]


def test_a_close_that_fails_is_logged_and_ends(
    versions, loader, models, caplog
):
    models.add(1)
    keep(versions, models)
    wait_for(versions, 1, "AVAILABLE")

    def fail():
        raise RuntimeError("stuck")

    loader.loaded[0].close = fail
    models.delete(1)

    wait_for(versions, 1, "END")
    assert "version 1 did not close cleanly" in caplog.text


def test_a_negative_poll_wait_never_looks(loader, models):
    versions = VersionLoader(loader, -1, 1, 0, 0.0)
    models.add(1)

    keep(versions, models)

    versions.stop(timeout=0)
    assert versions.num_polls == 0
    assert loader.tries == []


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
