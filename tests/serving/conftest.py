"""The toy model on disk and loaded, once a session."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from deepfm_tf.serving.flags import Options
from deepfm_tf.serving.servable import Servable
from deepfm_tf.serving.server import Server
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


@pytest.fixture(scope="session")
def toy_server(toy_path: Path) -> Iterator[Server]:
    """A server of the toy: gRPC on `.port`, all flags at their defaults."""
    options = Options(
        port=0, model_name="toy", model_base_path=str(toy_path.parent)
    )
    with Server(options) as server:
        yield server


@pytest.fixture(scope="session")
def toy_channel(toy_server: Server) -> Iterator[grpc.Channel]:
    """A gRPC channel to `toy_server`."""
    with grpc.insecure_channel(f"localhost:{toy_server.port}") as channel:
        yield channel
