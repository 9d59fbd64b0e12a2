"""TensorFlow Serving's API: a local server and a client for any server."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepfm_tf.serving.client.channel import PredictError
    from deepfm_tf.serving.client.client import (
        AsyncPredictClient,
        PredictClient,
    )

# Opened when asked for: the server's packages are an extra, and the client
# must not need them.
_MODULES = {
    "AsyncPredictClient": "deepfm_tf.serving.client.client",
    "PredictClient": "deepfm_tf.serving.client.client",
    "PredictError": "deepfm_tf.serving.client.channel",
}

__all__ = ["AsyncPredictClient", "PredictClient", "PredictError"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
