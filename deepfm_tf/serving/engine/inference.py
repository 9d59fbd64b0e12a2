"""Classify, Regress, MultiInference: examples in, a fixed form back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    regression_pb2,
)

from deepfm_tf.arrays import Array
from deepfm_tf.serving.engine.models import (
    DEFAULT_SIGNATURE,
    Models,
    answered_spec,
    require_model_spec,
)
from deepfm_tf.serving.errors import ServingError, invalid_argument

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

INPUTS = "inputs"
CLASSES = "classes"
SCORES = "scores"
OUTPUTS = "outputs"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


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
        models, request, METHODS[CLASSIFY], timeout, signature_method_name_check
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
        models, request, METHODS[REGRESS], timeout, signature_method_name_check
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
    with models.acquire(spec) as loaded:
        signatures = loaded.servable.signature_defs
        asked: dict[str, _Asked] = {}
        for task in request.tasks:
            name = task.model_spec.signature_name or DEFAULT_SIGNATURE
            if not task.model_spec.name:
                raise invalid_argument(
                    "Found ModelSpec with an empty model name."
                )
            if task.model_spec.name != spec.name:
                raise invalid_argument(
                    "All ModelSpecs in a MultiInferenceRequest must access "
                    "the same model name."
                )
            if name in asked:
                raise invalid_argument(
                    f"Duplicate evaluation of signature: {name}"
                )
            if name not in signatures:
                raise invalid_argument(
                    f"Requested signature not found in model graph: {name}"
                )
            method = METHODS.get(task.method_name)
            if method is None:
                raise ServingError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"Unsupported signature method_name: {task.method_name}",
                )
            check = signature_method_name_check
            asked[name] = method, method.outputs(signatures[name], check)
        response = inference_pb2.MultiInferenceResponse()
        results = _results(loaded.servable, request.input, asked, timeout)
        for (name, (method, _)), result in zip(
            asked.items(), results, strict=True
        ):
            response.results.add(
                model_spec=answered_spec(loaded, name), **{method.field: result}
            )
    return response


def _run_examples(
    models: Models,
    request: Any,
    method: Method,
    timeout: float | None,
    method_name_check: bool,
) -> tuple[model_pb2.ModelSpec, Any]:
    """`model_spec` and `result` of an answer to Classify or Regress."""
    spec = require_model_spec(request)
    with models.acquire(spec) as loaded:
        name = spec.signature_name or DEFAULT_SIGNATURE
        signature = loaded.servable.signature_defs.get(name)
        if signature is None:
            raise invalid_argument(
                f"No signature was found with the name: {name}"
            )
        asked = {name: (method, method.outputs(signature, method_name_check))}
        (result,) = _results(loaded.servable, request.input, asked, timeout)
        return answered_spec(loaded, name), result


def _results(
    servable: Servable,
    inputs: input_pb2.Input,
    asked: Mapping[str, _Asked],
    timeout: float | None,
) -> list[object]:
    """What each signature answers for the same examples, in one run."""
    examples = examples_tensor(inputs)
    signatures = {name: servable.signature_defs[name] for name in asked}
    tensors = {
        name: {alias: signatures[name].outputs[alias].name for alias in aliases}
        for name, (_, aliases) in asked.items()
    }
    arrays = servable.run_union(
        [(signature, {INPUTS: examples}) for signature in signatures.values()],
        [tensor for found in tensors.values() for tensor in found.values()],
        timeout,
    )
    return [
        method.result(
            {alias: arrays[tensor] for alias, tensor in tensors[name].items()},
            len(examples.string_val),
        )
        for name, (method, _) in asked.items()
    ]


def examples_tensor(inputs: input_pb2.Input) -> tensor_pb2.TensorProto:
    """The request's examples, serialized: DT_STRING of shape (examples,).

    The bytes of the context come before those of each example, which merges
    the two; where both have a feature, the example's counts.

    Raises:
        ServingError: INVALID_ARGUMENT, when there is none.
    """
    kind = inputs.WhichOneof("kind")
    prefix = b""
    examples = []
    if kind is not None:
        given = getattr(inputs, kind)
        examples = [item.SerializeToString() for item in given.examples]
        if kind == "example_list_with_context":
            prefix = given.context.SerializeToString()
    if not examples:
        raise invalid_argument("Input is empty.")
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=len(examples))
    proto.string_val.extend(prefix + example for example in examples)
    return proto


def classification_outputs(
    signature: meta_graph_pb2.SignatureDef, method_name_check: bool
) -> list[str]:
    """Which of "classes" and "scores" the signature has.

    Raises:
        ServingError: when it is no signature for Classify.
    """
    _check_signature(signature, "classification", CLASSIFY, method_name_check)
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(
            "Expected one or two output Tensors, found "
            f"{len(signature.outputs)}"
        )
    _check_inputs(signature, "classification")
    found = [key for key in (CLASSES, SCORES) if key in signature.outputs]
    if not found:
        raise invalid_argument(
            "Expected classification signature outputs to contain at least "
            f'one of "{CLASSES}" or "{SCORES}". Signature was: {signature}'
        )
    return found


def regression_outputs(
    signature: meta_graph_pb2.SignatureDef, method_name_check: bool
) -> list[str]:
    """The one output "outputs".

    Raises:
        ServingError: when it is no signature for Regress.
    """
    _check_signature(signature, "regression", REGRESS, method_name_check)
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    _check_inputs(signature, "regression")
    if OUTPUTS not in signature.outputs:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"No regression outputs found in SignatureDef: {signature}",
        )
    return [OUTPUTS]


def classification_result(
    arrays: Mapping[str, Array], num_examples: int
) -> classification_pb2.ClassificationResult:
    """The answer from "classes" and "scores", each (examples, classes).

    Raises:
        ServingError: INVALID_ARGUMENT, when the model's outputs are not so.
    """
    for key, array in arrays.items():
        expected = "DT_STRING" if key == CLASSES else "DT_FLOAT"
        if array.ndim != 2:
            raise invalid_argument(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"{_shape(array)}"
            )
        if _dtype(array) != expected:
            raise invalid_argument(
                f"Expected {key} Tensor of {expected}. Got: {_dtype(array)}"
            )
        if len(array) != num_examples:
            raise invalid_argument(
                f"Expected {key} output batch size of {num_examples}. Got: "
                f"{len(array)}"
            )
    widths = [array.shape[1] for array in arrays.values()]
    if len(set(widths)) > 1:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). Got "
            f"{widths[0]} vs. {widths[1]}"
        )
    labels, scores = arrays.get(CLASSES), arrays.get(SCORES)
    columns: dict[str, list[Any]] = {}
    if labels is not None:
        # A label is text: what is no UTF-8 cannot be sent.
        columns["label"] = [
            [label.decode(errors="replace") for label in row] for row in labels
        ]
    if scores is not None:
        columns["score"] = scores.tolist()
    result = classification_pb2.ClassificationResult()
    for row in range(num_examples):
        classes = result.classifications.add().classes
        for column in range(widths[0]):
            classes.add(
                **{key: rows[row][column] for key, rows in columns.items()}
            )
    return result


def regression_result(
    arrays: Mapping[str, Array], num_examples: int
) -> regression_pb2.RegressionResult:
    """The answer from "outputs", (examples,) or (examples, 1).

    Raises:
        ServingError: INVALID_ARGUMENT, when the model's output is not so.
    """
    array = arrays[OUTPUTS]
    if array.ndim != 1 and (array.ndim != 2 or array.shape[1] != 1):
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {_shape(array)}"
        )
    if len(array) != num_examples:
        raise invalid_argument(
            "Input batch size did not match output batch size: "
            f"{num_examples} vs. {len(array)}"
        )
    if _dtype(array) != "DT_FLOAT":
        raise invalid_argument(
            f"Expected output Tensor of DT_FLOAT.  Got: {_dtype(array)}"
        )
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


@dataclass(frozen=True)
class Method:
    """One of the two: what it asks of a signature, how it answers."""

    outputs: Callable[[meta_graph_pb2.SignatureDef, bool], list[str]]
    result: Callable[[Mapping[str, Array], int], object]
    field: str  # Of an InferenceResult.


# A method, and those of a signature's outputs that it takes.
_Asked = tuple[Method, list[str]]
METHODS = {
    CLASSIFY: Method(
        classification_outputs, classification_result, "classification_result"
    ),
    REGRESS: Method(regression_outputs, regression_result, "regression_result"),
}


def _check_signature(
    signature: meta_graph_pb2.SignatureDef,
    kind: str,
    method_name: str,
    method_name_check: bool,
) -> None:
    if method_name_check and signature.method_name != method_name:
        raise invalid_argument(
            f"Expected {kind} signature method_name to be {method_name}. "
            f"Was: {signature.method_name}"
        )
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")


def _check_inputs(signature: meta_graph_pb2.SignatureDef, kind: str) -> None:
    if INPUTS not in signature.inputs:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"No {kind} inputs found in SignatureDef: {signature}",
        )


def _dtype(array: Array) -> str:
    """The name that a DataType has for it."""
    return str(
        types_pb2.DataType.Name(tf.as_dtype(array.dtype).as_datatype_enum)
    )


def _shape(array: Array) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"
