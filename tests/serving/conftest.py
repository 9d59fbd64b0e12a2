"""The toy model on disk and loaded, once a session."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deepfm_tf.serving.servable import Servable
from tests.serving.toy_model import ToyModels, toy_model


@pytest.fixture(scope="session")
def toy_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<base>/toy/1`, the toy model's first version. Do not write there."""
    return toy_model(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="session")
def toy_servable(toy_path: Path) -> Iterator[Servable]:
    """The toy model, loaded."""
    servable = Servable(toy_path)
    yield servable
    servable.close()


@pytest.fixture(scope="session")
def toy_models(toy_servable: Servable) -> ToyModels:
    """The handlers' first argument: the toy and nothing else."""
    return ToyModels(toy_servable)
