"""Versions without TensorFlow, whose loads a test can hold or fail."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from google.protobuf import text_format
from tensorflow_serving.apis import get_model_status_pb2, model_pb2
from tensorflow_serving.config.model_server_config_pb2 import (
    ModelServerConfig,
)

from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.store import ModelStore

_SECONDS = 20.0


class FakeServable:
    """Knows where it came from and whether it was closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.is_closed = threading.Event()

    def close(self) -> None:
        """As `Servable.close`."""
        self.is_closed.set()


class FakeLoader:
    """Loads `FakeServable`s; `failures` and `held` name versions."""

    def __init__(self) -> None:
        self.failures: set[str] = set()
        self.held: dict[str, threading.Event] = {}
        self.loaded: list[FakeServable] = []
        self.tries: list[str] = []

    def __call__(self, path: Path) -> FakeServable:
        self.tries.append(path.name)
        if path.name in self.held:
            assert self.held[path.name].wait(_SECONDS)
        if path.name in self.failures:
            raise OSError(f"bad {path.name}")
        servable = FakeServable(path)
        self.loaded.append(servable)
        return servable


class FakeModels:
    """A store over version directories below a folder of its own."""

    def __init__(self, root: Path, **options) -> None:
        self.root = root
        self.loader = FakeLoader()
        options = {
            "poll_wait_seconds": 0.01,
            "load_retry_interval_seconds": 0.01,
            **options,
        }
        self.store = ModelStore(self.loader, **options)

    def add(self, version: int | str, name: str = "toy") -> Path:
        """Make a version's directory."""
        path = self.root / name / str(version)
        path.mkdir(parents=True)
        return path

    def delete(self, version: int | str, name: str = "toy") -> None:
        """Remove a version's directory."""
        shutil.rmtree(self.root / name / str(version))

    def config(self, extra: str = "", *names: str) -> ModelServerConfig:
        """A configuration of models below the root, "toy" by default."""
        config = ModelServerConfig()
        for name in names or ("toy",):
            text_format.Parse(
                f'config {{ name: "{name}" model_platform: "tensorflow" '
                f'base_path: "{self.root / name}" {extra} }}',
                config.model_config_list,
            )
        return config

    def configure(self, extra: str = "") -> None:
        """Serve that; back at once."""
        with contextlib.suppress(ServingError):
            self.store.reload(self.config(extra), lambda: True)

    def start(self, extra: str = "", *names: str) -> ModelStore:
        """Serve that; back when it is available."""
        self.store.reload(self.config(extra, *names))
        return self.store

    def states(self, name: str = "toy") -> dict[int, str]:
        """Version to the name of its state."""
        statuses = self.store.status(model_pb2.ModelSpec(name=name))
        return {s.version: state_name(s.state) for s in statuses}

    def wait_for_states(self, name: str = "toy", **states: str) -> None:
        """Wait until versions `v1`, `v2`, ... are in these states."""
        wanted = {int(key[1:]): value for key, value in states.items()}

        def is_reached() -> bool:
            versions = self.store.loader.models[name].versions
            return all(
                number in versions
                and state_name(versions[number].state) == state
                for number, state in wanted.items()
            )

        self.wait_for(is_reached)

    def wait_for_polls(self, count: int = 2) -> None:
        """Wait until the base paths were looked at so often."""
        end = self.store.num_polls + count
        self.wait_for(lambda: self.store.num_polls >= end)

    def wait_for(self, predicate: Callable[[], bool]) -> None:
        """Wait for it; called with the loader's lock held."""
        with self.store.loader.changed:
            assert self.store.loader.changed.wait_for(predicate, _SECONDS)


def state_name(state: int) -> str:
    """`AVAILABLE` and so on."""
    return get_model_status_pb2.ModelVersionStatus.State.Name(state)


def spec(
    name: str = "toy", version: int | None = None, label: str | None = None
) -> model_pb2.ModelSpec:
    """The `model_spec` of a request."""
    model_spec = model_pb2.ModelSpec(name=name)
    if version is not None:
        model_spec.version.value = version
    if label is not None:
        model_spec.version_label = label
    return model_spec
