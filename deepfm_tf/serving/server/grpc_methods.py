"""The methods of the two services: what each is sent, and who answers."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from google.protobuf import message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from deepfm_tf.serving.engine import handlers
from deepfm_tf.serving.engine.servable import LoadedVersion
from deepfm_tf.serving.errors import ServingError, invalid_argument
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.metrics import Metrics
from deepfm_tf.serving.versions.store import ModelStore

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
_FOREVER_SECONDS = 1e9  # "no deadline" arrives as some centuries


@dataclasses.dataclass(frozen=True)
class Method:
    """A method of a service.

    Args:
        name: str. As in the service's definition.
        request_type: message class. What it is sent.
        respond: callable. From the request and its `ServicerContext` to the
            response.
        api: str. The label of its metrics; empty where, as in TensorFlow
            Serving, none are kept.
        takes_turn: bool. Whether it runs a model, and so waits its turn.
    """

    name: str
    request_type: type[message.Message]
    respond: Callable[[Any, grpc.ServicerContext], message.Message]
    api: str = ""
    takes_turn: bool = False


def methods(
    store: ModelStore, options: Options, metrics: Metrics
) -> dict[str, list[Method]]:
    """Both services' methods.

    Args:
        store: `ModelStore`. Lends the models.
        options: `Options`. How to answer.
        metrics: `Metrics`. Told how long models were at work.

    Returns:
        Full name of a service to its methods.
    """
    check = options.enable_signature_method_name_check
    content = options.enable_serialization_as_tensor_content

    def inference(
        name: str, api: str, request_type: Any, answer: Any
    ) -> Method:
        models = _MeasuredModels(store, metrics, name)
        return Method(
            name,
            request_type,
            lambda request, context: answer(
                models,
                request,
                remaining(context),
                signature_method_name_check=check,
            ),
            api,
            takes_turn=True,
        )

    predict = functools.partial(handlers.predict, tensor_content=content)
    return {
        PREDICTION_SERVICE: [
            inference(
                "Predict", "predict", predict_pb2.PredictRequest, predict
            ),
            inference(
                "Classify",
                "classify",
                classification_pb2.ClassificationRequest,
                handlers.classify,
            ),
            inference(
                "Regress",
                "regress",
                regression_pb2.RegressionRequest,
                handlers.regress,
            ),
            inference(
                "MultiInference",
                "multi_inference",
                inference_pb2.MultiInferenceRequest,
                handlers.multi_inference,
            ),
            Method(
                "GetModelMetadata",
                get_model_metadata_pb2.GetModelMetadataRequest,
                lambda request, _: handlers.get_model_metadata(store, request),
            ),
        ],
        MODEL_SERVICE: [
            Method(
                "GetModelStatus",
                get_model_status_pb2.GetModelStatusRequest,
                lambda request, _: get_model_status(store, request),
            ),
            Method(
                "HandleReloadConfigRequest",
                model_management_pb2.ReloadConfigRequest,
                lambda request, context: reload_config(
                    store, request, lambda: not context.is_active()
                ),
            ),
        ],
    }


def get_model_status(
    store: ModelStore, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """The states of a model's versions, the highest version first.

    Args:
        store: `ModelStore`.
        request: `GetModelStatusRequest`. Its label is ignored, as
            TensorFlow Serving does.

    Raises:
        ServingError: INVALID_ARGUMENT without a model_spec, NOT_FOUND for a
            model or version that was never seen.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    return get_model_status_pb2.GetModelStatusResponse(
        model_version_status=store.status(request.model_spec)
    )


def reload_config(
    store: ModelStore,
    request: model_management_pb2.ReloadConfigRequest,
    is_given_up: Callable[[], bool] = lambda: False,
) -> model_management_pb2.ReloadConfigResponse:
    """Serve the models of the request; answers once new ones are available.

    Args:
        store: `ModelStore`.
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
    store.reload(request.config, is_given_up)
    response = model_management_pb2.ReloadConfigResponse()
    response.status.error_code = 0
    return response


def remaining(context: grpc.ServicerContext) -> float | None:
    """Seconds to the client's deadline; None where it has none.

    Raises:
        ServingError: DEADLINE_EXCEEDED where it has passed.
    """
    seconds: float | None = context.time_remaining()
    if seconds is None or seconds > _FOREVER_SECONDS:
        return None
    if seconds <= 0:
        raise too_late()
    return seconds


def too_late() -> ServingError:
    """What a request is told that nobody waits for any more."""
    return ServingError(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "The deadline passed before the request was worked on.",
    )


def model_name(request: Any) -> str:
    """The model that a request is about, for the log and the metrics."""
    if isinstance(request, inference_pb2.MultiInferenceRequest):
        return request.tasks[0].model_spec.name if request.tasks else ""
    spec = getattr(request, "model_spec", None)
    return spec.name if spec else ""


def num_examples(request: Any) -> int | None:
    """The tensorflow.Examples in a request; None for one of tensors."""
    sent = getattr(request, "input", None)
    if sent is None:
        return None
    kind = sent.WhichOneof("kind")
    return len(getattr(sent, kind).examples) if kind else 0


class _MeasuredModels:
    """The store, for the handlers; tells the time that a model was held."""

    def __init__(self, store: ModelStore, metrics: Metrics, api: str) -> None:
        self._store = store
        self._metrics = metrics
        self._api = api

    @contextlib.contextmanager
    def acquire(
        self, model_spec: model_pb2.ModelSpec
    ) -> Iterator[LoadedVersion]:
        """As `ModelStore.acquire`."""
        with self._store.acquire(model_spec) as loaded:
            begin = time.perf_counter()
            yield loaded
            seconds = time.perf_counter() - begin
        self._metrics.add_run(loaded.name, self._api, seconds)
