"""Answers to ModelService's two requests, whatever carries them."""

from __future__ import annotations

from collections.abc import Callable

from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
)

from deepfm_tf.serving.errors import invalid_argument
from deepfm_tf.serving.versions.store import ModelStore


def get_model_status(
    manager: ModelStore, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """The states of a model's versions, the highest version first.

    Args:
        manager: `ModelStore`.
        request: `GetModelStatusRequest`. Its label is ignored, as
            TensorFlow Serving does.

    Raises:
        ServingError: INVALID_ARGUMENT without a model_spec, NOT_FOUND for a
            model or version that was never seen.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return get_model_status_pb2.GetModelStatusResponse(
        model_version_status=manager.status(request.model_spec)
    )


def reload_config(
    manager: ModelStore,
    request: model_management_pb2.ReloadConfigRequest,
    is_given_up: Callable[[], bool] = lambda: False,
) -> model_management_pb2.ReloadConfigResponse:
    """Serve the models of the request; answers once new ones are available.

    Args:
        manager: `ModelStore`.
        request: `ReloadConfigRequest`.
        is_given_up: callable. Polled while waiting; True ends the wait.

    Raises:
        ServingError: see `ModelStore.reload`.
    """
    if request.config.WhichOneof("config") != "model_config_list":
        raise invalid_argument(
            "ServerModelConfig type not supported by "
            "HandleReloadConfigRequest. Only ModelConfigList is currently "
            "supported"
        )
    manager.reload(request.config, is_given_up)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.error_code = 0
    return response
