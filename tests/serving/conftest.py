"""The toy model on disk and loaded, once a session."""

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from deepfm_tf.serving.client import channel, predict_command
from deepfm_tf.serving.engine.servable import LoadedVersion, Servable
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from tests.serving.toy_model import ToyModels, copy_with_bias, toy_model


@pytest.fixture(scope="session", autouse=True)
def short_pauses() -> Iterator[None]:
    """Clients ask a server that is away as often as ever, but sooner."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(channel.RETRY_POLICY, "initialBackoff", "0.01s")
        yield


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
def toy_models(toy_servable: Servable) -> LoadedVersion:
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


@pytest.fixture(scope="session")
def toy_versions(toy_path: Path) -> Callable[..., None]:
    """`toy_versions(directory, 1, 2)` puts versions of the toy there.

    The bias of a version is its number over ten. Each appears at once, by
    rename.
    """

    def publish(directory: Path, *versions: int) -> None:
        for version in versions:
            hidden = Path(directory, f"{version}.tmp")
            copy_with_bias(toy_path, hidden, version / 10)
            hidden.rename(Path(directory, str(version)))

    return publish


@pytest.fixture
def run_predict(
    toy_server: Server, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`predict` against the toy; gives status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        status = predict_command.main(
            [
                f"--address=localhost:{toy_server.port}",
                "--model_name=toy",
                *map(str, arguments),
            ]
        )
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
