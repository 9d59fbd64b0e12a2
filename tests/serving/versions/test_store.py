"""Models come, change version and go; loads are made up."""

import contextlib
import re
import threading
import time

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions import loader as version_loader
from deepfm_tf.serving.versions.store import check_config
from tests.serving.fake_versions import FakeModels, spec


@pytest.fixture(autouse=True)
def no_collection(monkeypatch):
    """Half a second a test, and nothing here takes memory."""
    monkeypatch.setattr(version_loader, "return_memory", lambda: None)


@pytest.fixture
def models(tmp_path):
    made = FakeModels(tmp_path)
    yield made
    made.store.stop(timeout=0)


@contextlib.contextmanager
def refused(code, message):
    """Expect a ServingError with exactly this code and message."""
    with pytest.raises(ServingError) as caught:
        yield
    assert (caught.value.code, caught.value.message) == (code, message)


def served(models, *arguments, **keywords):
    """The version that answers a request."""
    with models.store.acquire(spec(*arguments, **keywords)) as loaded:
        return loaded.version


def test_the_highest_version_answers(models):
    models.add(1)
    models.add("00000012")
    models.add(3)

    models.start()

    assert served(models) == 12
    assert models.states() == {12: "AVAILABLE"}
    assert models.store.names() == {"toy"}


def test_a_held_version_is_closed_after_its_last_request(models):
    models.add(1)
    store = models.start()

    with store.acquire(spec()) as first, store.acquire(spec()) as second:
        models.add(2)
        models.wait_for_states(v2="AVAILABLE", v1="UNLOADING")
        newer = served(models)
        still_open = not first.servable.is_closed.is_set()

    assert (newer, still_open, second.version) == (2, True, 1)
    models.wait_for_states(v1="END")
    assert first.servable.is_closed.is_set()
    assert models.states() == {2: "AVAILABLE", 1: "END"}


def test_a_version_that_fails_leaves_the_old_one_serving(tmp_path):
    models = FakeModels(tmp_path, load_retry_interval_seconds=1000)
    models.add(1)
    models.loader.failures.add("2")
    models.start()

    models.add(2)

    models.wait_for(
        lambda: (
            2 in models.store.loader.models["toy"].versions
            and models.store.loader.models["toy"].versions[2].num_tries == 1
        )
    )
    assert models.states() == {2: "LOADING", 1: "AVAILABLE"}
    assert served(models) == 1
    models.store.stop()


def test_a_version_that_keeps_failing_ends_with_its_error(models, caplog):
    models.add(1)
    models.loader.failures.add("2")
    models.start()

    models.add(2)

    models.wait_for_states(v2="END", v1="AVAILABLE")
    assert models.loader.tries.count("2") == 6
    [status] = models.store.status(spec(version=2))
    assert status.status.error_code == grpc.StatusCode.UNKNOWN.value[0]
    assert status.status.error_message == "OSError: bad 2"
    assert "version 2 could not be loaded (try 6 of 6)" in caplog.text


def test_a_version_that_was_put_back_is_tried_again(models):
    models.add(1)
    models.loader.failures.add("2")
    models.start()
    models.add(2)
    models.wait_for_states(v2="END")
    models.delete(2)
    models.wait_for(
        lambda: not models.store.loader.models["toy"].versions[2].failed
    )
    models.loader.failures.clear()

    models.add(2)

    models.wait_for_states(v2="AVAILABLE", v1="END")


def test_deleting_a_bad_version_rolls_back_between_its_tries(tmp_path):
    models = FakeModels(tmp_path, load_retry_interval_seconds=1000)
    for version in (3, 4):
        models.add(version)
    models.start()
    models.loader.failures.add("5")
    models.add(5)
    models.wait_for_states(v5="LOADING", v4="AVAILABLE")

    models.delete(5)
    models.delete(4)

    models.wait_for_states(v5="END", v4="END", v3="AVAILABLE")
    assert served(models) == 3
    models.store.stop()


def test_a_load_that_hangs_holds_up_no_other(tmp_path):
    models = FakeModels(tmp_path, num_load_threads=2)
    gate = models.loader.held["2"] = threading.Event()
    models.add(1)
    models.start()
    models.add(2)
    models.wait_for_states(v2="LOADING")

    models.delete(2)
    models.add(3)

    models.wait_for_states(v3="AVAILABLE", v1="END", v2="LOADING")
    assert served(models) == 3
    gate.set()
    models.wait_for_states(v2="END")
    assert models.loader.loaded[-1].is_closed.is_set()
    assert served(models) == 3
    models.store.stop()


def test_an_emptied_base_path_unloads_all_a_missing_one_nothing(models, caplog):
    models.add(1)
    models.start()
    (models.root / "toy").rename(models.root / "away")
    models.wait_for(lambda: bool(models.store.loader.models["toy"].complaint))
    assert served(models) == 1

    (models.root / "away").rename(models.root / "toy")
    models.delete(1)

    models.wait_for_states(v1="END")
    with refused(
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(toy)",
    ):
        served(models)


def test_a_complaint_is_logged_once(models, caplog):
    models.add(1)
    models.start()
    (models.root / "toy").rename(models.root / "away")
    models.wait_for(lambda: bool(models.store.loader.models["toy"].complaint))
    polls = models.store.num_polls

    models.wait_for(lambda: models.store.num_polls > polls + 3)

    assert caplog.text.count("Could not find base path") == 1


def test_a_specific_version_that_is_missing_is_logged(models, caplog):
    models.add(1)

    models.start(
        "model_version_policy { specific { versions: 1 versions: 4 } }"
    )

    assert served(models) == 1
    polls = models.store.num_polls
    models.wait_for(lambda: models.store.num_polls > polls)
    assert "Versions [4] of servable toy" in caplog.text


def test_the_flag_allows_new_labels_but_no_moves_to_nowhere(tmp_path):
    models = FakeModels(tmp_path, allow_unavailable_labels=True)
    models.add(1)
    models.start('version_labels { key: "stable" value: 1 }')
    assert served(models, label="stable") == 1
    models.start('version_labels { key: "next" value: 7 }')

    with refused(
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(toy, 7)",
    ):
        served(models, label="next")
    with pytest.raises(ServingError, match="label to version 8"):
        models.start('version_labels { key: "next" value: 8 }')
    models.store.stop()


def test_a_refused_configuration_changes_nothing(models):
    models.add(1)
    models.start()
    config = models.config("", "toy", "other", "other")

    with refused(
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal to list model other multiple times in config list",
    ):
        models.store.reload(config)

    assert models.store.names() == {"toy"}


def test_a_reload_tells_why_a_new_model_did_not_load(tmp_path):
    models = FakeModels(tmp_path, max_num_load_retries=0)
    models.add(1)
    models.loader.failures.add("1")

    with refused(
        grpc.StatusCode.UNKNOWN,
        "1 model(s) did not become available: {name: toy version: 1 due to "
        "error: UNKNOWN: OSError: bad 1} ",
    ):
        models.start()
    models.store.stop()


def test_a_wait_that_is_given_up_ends(models):
    begin = time.monotonic()

    with pytest.raises(ServingError, match="in time: toy") as caught:
        models.store.reload(models.config(), lambda: True)

    assert caught.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begin < 10


def test_a_model_may_come_after_the_configuration(models):
    models.configure()

    models.add(1)

    models.wait_for_states(v1="AVAILABLE")


def test_a_poll_wait_of_zero_looks_once(tmp_path):
    models = FakeModels(tmp_path, poll_wait_seconds=0)
    models.add(1)
    models.start()
    polls = models.store.num_polls

    models.add(2)

    assert served(models) == 1
    assert models.store.num_polls == polls == 1
    models.start()
    models.wait_for_states(v2="AVAILABLE")
    models.store.stop()


def test_stopping_closes_every_version(models):
    models.add(1)
    models.add(2)
    models.start("model_version_policy { all {} }")
    models.wait_for_states(v1="AVAILABLE", v2="AVAILABLE")

    models.store.stop()

    assert all(s.is_closed.is_set() for s in models.loader.loaded)
    assert models.states() == {2: "END", 1: "END"}


def test_stopping_does_not_wait_for_ever(models):
    models.add(1)
    store = models.start()

    with store.acquire(spec()) as loaded:
        store.stop(timeout=0.01)
        still_open = not loaded.servable.is_closed.is_set()

    assert still_open
    models.wait_for_states(v1="END")
    assert loaded.servable.is_closed.is_set()


@pytest.mark.parametrize(
    ("models", "error"),
    [
        (
            'config { name: "toy" base_path: "/a" model_type: TENSORFLOW } '
            'config { name: "toy" base_path: "/b" model_type: TENSORFLOW }',
            "^Illegal to list model toy multiple times in config list$",
        ),
        (
            'config { name: "toy" base_path: "s3://bucket/toy" '
            'model_platform: "tensorflow" }',
            "must be a local directory.*s3://bucket/toy",
        ),
        (
            'config { name: "toy" base_path: "/a" model_type: TENSORFLOW '
            'model_platform: "tensorflow" }',
            "^Illegal setting both ModelServerConfig::model_type ",
        ),
        (
            'config { name: "toy" base_path: "/a" model_platform: "caffe" }',
            "^Model toy requests unsupported platform caffe$",
        ),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused(models, error):
    config = text_format.Parse(
        f"model_config_list {{ {models} }}", ModelServerConfig()
    )

    with pytest.raises(ServingError) as caught:
        check_config(config)

    assert caught.value.code == grpc.StatusCode.INVALID_ARGUMENT
    assert re.search(error, caught.value.message)
