"""Which versions may go, and what is shown of them."""

from pathlib import Path

import grpc
import pytest

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.states import Model, ModelVersion, State


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
