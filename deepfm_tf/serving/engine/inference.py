"""Answers to Classify, Regress and MultiInference."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import grpc
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from deepfm_tf.arrays import Array
from deepfm_tf.serving.engine.classification import (
    CLASSIFY,
    INPUTS,
    METHODS,
    REGRESS,
    examples_tensor,
)
from deepfm_tf.serving.engine.models import (
    DEFAULT_SIGNATURE,
    Models,
    acquire,
    answered_spec,
    require_model_spec,
)
from deepfm_tf.serving.errors import ServingError, invalid_argument

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable


def classify(
    models: Models,
    request: classification_pb2.ClassificationRequest,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
) -> classification_pb2.ClassificationResponse:
    """Labels and scores of examples; arguments as for `predict`.

    Raises:
        ServingError: code and text are TensorFlow Serving's.
    """
    spec, result = _run_examples(
        models, request, CLASSIFY, timeout, signature_method_name_check
    )
    return classification_pb2.ClassificationResponse(
        model_spec=spec, result=result
    )


def regress(
    models: Models,
    request: regression_pb2.RegressionRequest,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
) -> regression_pb2.RegressionResponse:
    """One number for each example; arguments as for `predict`.

    Raises:
        ServingError: code and text are TensorFlow Serving's.
    """
    spec, result = _run_examples(
        models, request, REGRESS, timeout, signature_method_name_check
    )
    return regression_pb2.RegressionResponse(model_spec=spec, result=result)


def multi_inference(
    models: Models,
    request: inference_pb2.MultiInferenceRequest,
    timeout: float | None = None,
    *,
    signature_method_name_check: bool = False,
) -> inference_pb2.MultiInferenceResponse:
    """Several signatures of one model on the same examples, in one run.

    Arguments as for `predict`.

    Raises:
        ServingError: code and text are TensorFlow Serving's.
    """
    spec = model_pb2.ModelSpec()
    if request.tasks:
        spec = request.tasks[0].model_spec
    with acquire(models, spec) as loaded:
        servable = loaded.servable
        signatures: dict[str, meta_graph_pb2.SignatureDef] = {}
        outputs: dict[str, list[str]] = {}
        for task in request.tasks:
            name = task.model_spec.signature_name or DEFAULT_SIGNATURE
            _check_task(task, spec, signatures)
            if name not in servable.signature_defs:
                raise invalid_argument(
                    f"Requested signature not found in model graph: {name}"
                )
            if task.method_name not in METHODS:
                raise ServingError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"Unsupported signature method_name: {task.method_name}",
                )
            signatures[name] = servable.signature_defs[name]
            outputs[name] = METHODS[task.method_name].outputs(
                signatures[name], signature_method_name_check
            )
        arrays, num_examples = _run_on_examples(
            servable, request.input, signatures, outputs, timeout
        )
        response = inference_pb2.MultiInferenceResponse()
        for task, name in zip(request.tasks, signatures, strict=True):
            method = METHODS[task.method_name]
            answer = {method.field: method.result(arrays[name], num_examples)}
            response.results.add(
                model_spec=answered_spec(loaded, name), **answer
            )
    return response


def _run_examples(
    models: Models,
    request: Any,
    method_name: str,
    timeout: float | None,
    method_name_check: bool,
) -> tuple[model_pb2.ModelSpec, Any]:
    """`model_spec` and `result` of an answer to Classify or Regress."""
    method = METHODS[method_name]
    spec = require_model_spec(request)
    with acquire(models, spec) as loaded:
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = loaded.servable.signature_defs.get(name)
        if signature is None:
            raise invalid_argument(
                f"No signature was found with the name: {name}"
            )
        outputs = method.outputs(signature, method_name_check)
        arrays, num_examples = _run_on_examples(
            loaded.servable,
            request.input,
            {name: signature},
            {name: outputs},
            timeout,
        )
        result = method.result(arrays[name], num_examples)
        return answered_spec(loaded, name), result


def _run_on_examples(
    servable: Servable,
    inputs: input_pb2.Input,
    signatures: Mapping[str, meta_graph_pb2.SignatureDef],
    outputs: Mapping[str, Sequence[str]],
    timeout: float | None,
) -> tuple[dict[str, dict[str, Array]], int]:
    """The outputs of each signature, and the number of examples."""
    examples = examples_tensor(inputs)
    feeds = {INPUTS: examples}
    names = {
        name: {alias: signature.outputs[alias].name for alias in outputs[name]}
        for name, signature in signatures.items()
    }
    fetches = [tensor for found in names.values() for tensor in found.values()]
    tasks = [(signature, feeds) for signature in signatures.values()]
    arrays = servable.run_union(tasks, fetches, timeout)
    answers = {
        name: {alias: arrays[tensor] for alias, tensor in found.items()}
        for name, found in names.items()
    }
    return answers, len(examples.string_val)


def _check_task(
    task: inference_pb2.InferenceTask,
    first: model_pb2.ModelSpec,
    seen: Container[str],
) -> None:
    """One model for all tasks, and each signature once."""
    name = task.model_spec.signature_name or DEFAULT_SIGNATURE
    if not task.model_spec.name:
        raise invalid_argument("Found ModelSpec with an empty model name.")
    if task.model_spec.name != first.name:
        raise invalid_argument(
            "All ModelSpecs in a MultiInferenceRequest must access the same "
            "model name."
        )
    if name in seen:
        raise invalid_argument(f"Duplicate evaluation of signature: {name}")
