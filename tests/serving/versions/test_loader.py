"""Loading, retrying and closing, seen from inside the manager."""

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
def keeper(loader):
    made = VersionLoader(loader, 0.01, 1, 2, 0.0)
    yield made
    made.stop(timeout=0)


def keep(keeper, models, extra=""):
    """Configure it with the models' folder."""
    [config] = models.config(extra).model_config_list.config
    with keeper.changed:
        keeper.configure({"toy": config})


def wait_for(keeper, version, state):
    """Wait until a version of the toy is in this state."""
    with keeper.changed:
        assert keeper.changed.wait_for(
            lambda: (
                (found := keeper.models["toy"].versions.get(version))
                and state_name(found.state) == state
            ),
            SECONDS,
        )


@pytest.fixture
def models(tmp_path):
    made = FakeModels(tmp_path, poll_wait_seconds=-1)
    yield made
    made.manager.stop()


def test_a_load_is_tried_again_as_often_as_told(keeper, loader, models):
    loader.failures.add("1")
    models.add(1)

    keep(keeper, models)

    wait_for(keeper, 1, "END")
    assert loader.tries == ["1", "1", "1"]


def test_what_a_load_failed_with_is_one_line_of_the_log(models, caplog):
    def load(path):
        raise OSError("cut short:\n\t[[restore]]")

    keeper = VersionLoader(load, 0.01, 1, 0, 0.0)
    models.add(1)
    keep(keeper, models)
    wait_for(keeper, 1, "END")
    keeper.stop(timeout=0)

    (line,) = [m for m in caplog.messages if "could not be loaded" in m]
    assert line.endswith(
        "OSError: cut short: [[restore]]. Delete or replace the directory."
    )


def test_a_version_deleted_while_it_waits_its_turn_is_not_loaded(
    keeper, loader, models
):
    gate = loader.held["3"] = threading.Event()
    for version in (1, 3):
        models.add(version)
    keep(keeper, models, "model_version_policy { all {} }")
    wait_for(keeper, 3, "LOADING")
    wait_for(keeper, 1, "START")

    models.delete(1)
    polls = keeper.num_polls
    with keeper.changed:
        keeper.changed.wait_for(lambda: keeper.num_polls > polls + 1, SECONDS)
    gate.set()

    wait_for(keeper, 1, "END")
    wait_for(keeper, 3, "AVAILABLE")
    assert loader.tries == ["3"]


def test_a_close_that_fails_is_logged_and_ends(keeper, loader, models, caplog):
    models.add(1)
    keep(keeper, models)
    wait_for(keeper, 1, "AVAILABLE")

    def fail():
        raise RuntimeError("stuck")

    loader.loaded[0].close = fail
    models.delete(1)

    wait_for(keeper, 1, "END")
    assert "version 1 did not close cleanly" in caplog.text


def test_a_negative_poll_wait_never_looks(loader, models):
    keeper = VersionLoader(loader, -1, 1, 0, 0.0)
    models.add(1)

    keep(keeper, models)

    keeper.stop(timeout=0)
    assert keeper.num_polls == 0
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
