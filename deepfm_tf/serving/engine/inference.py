"""Signatures of Classify and Regress: examples in, a fixed form back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    input_pb2,
    regression_pb2,
)

from deepfm_tf.arrays import Array
from deepfm_tf.serving.errors import ServingError, invalid_argument

if TYPE_CHECKING:
    from deepfm_tf.serving.engine.servable import Servable

INPUTS, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"
CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"


@dataclass(frozen=True)
class Method:
    """What Classify or Regress asks of a signature, and how it answers.

    Args:
        name: str. As `method_name` says it.
        noun: str. What TensorFlow Serving's texts, and the fields of an
            InferenceResult, call it.
        keys: the outputs that it takes, of which one must be there.
        number: str. How many there may be, in words.
        result: callable. From the arrays by key, and the number of
            examples, to the answer.
    """

    name: str
    noun: str
    keys: tuple[str, ...]
    number: str
    result: Callable[[Mapping[str, Array], int], object]

    def outputs(
        self, signature: meta_graph_pb2.SignatureDef, method_name_check: bool
    ) -> list[str]:
        """Which of the outputs the signature has.

        Raises:
            ServingError: when it is no signature for this method.
        """
        if method_name_check and signature.method_name != self.name:
            raise invalid_argument(
                f"Expected {self.noun} signature method_name to be "
                f"{self.name}. Was: {signature.method_name}"
            )
        if len(signature.inputs) != 1:
            raise invalid_argument("Expected one input Tensor.")
        if not 1 <= len(signature.outputs) <= len(self.keys):
            raise invalid_argument(f"Expected {self.number}.")
        if INPUTS not in signature.inputs:
            raise self._absent("inputs", signature)
        found = [key for key in self.keys if key in signature.outputs]
        if not found and len(self.keys) > 1:
            raise invalid_argument(
                f"Expected {self.noun} signature outputs to contain at least "
                f"one of {' or '.join(map(_quoted, self.keys))}. Signature "
                f"was: {signature}"
            )
        if not found:
            raise self._absent("outputs", signature)
        return found

    def _absent(
        self, what: str, signature: meta_graph_pb2.SignatureDef
    ) -> ServingError:
        return ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"No {self.noun} {what} found in SignatureDef: {signature}",
        )


def infer(
    servable: Servable,
    methods: Mapping[str, str],
    inputs: input_pb2.Input,
    timeout: float | None,
    method_name_check: bool,
) -> dict[str, object]:
    """What each signature answers for the same examples, in one run.

    Args:
        servable: Servable.
        methods: dict. From a signature's name to its method's.
        inputs: Input. The examples.
        timeout: float or None. Seconds left for the run.
        method_name_check: bool. Refuse signatures of other methods.
    """
    signatures = {name: servable.signature_defs[name] for name in methods}
    tensors = {
        name: {
            key: signature.outputs[key].name
            for key in METHODS[methods[name]].outputs(
                signature, method_name_check
            )
        }
        for name, signature in signatures.items()
    }
    examples = examples_tensor(inputs)
    arrays = servable.run_union(
        [(signature, {INPUTS: examples}) for signature in signatures.values()],
        [tensor for found in tensors.values() for tensor in found.values()],
        timeout,
    )
    return {
        name: METHODS[methods[name]].result(
            {key: arrays[tensor] for key, tensor in found.items()},
            len(examples.string_val),
        )
        for name, found in tensors.items()
    }


def examples_tensor(inputs: input_pb2.Input) -> tensor_pb2.TensorProto:
    """The request's examples, serialized: DT_STRING of shape (examples,).

    The bytes of the context come before those of each example, which merges
    the two; where both have a feature, the example's counts.

    Raises:
        ServingError: INVALID_ARGUMENT, when there is none.
    """
    kind = inputs.WhichOneof("kind")
    given = getattr(inputs, kind) if kind else inputs.example_list
    if not given.examples:
        raise invalid_argument("Input is empty.")
    prefix = b""
    if kind == "example_list_with_context":
        prefix = given.context.SerializeToString()
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING)
    proto.tensor_shape.dim.add(size=len(given.examples))
    proto.string_val.extend(
        prefix + example.SerializeToString() for example in given.examples
    )
    return proto


def classification_result(
    arrays: Mapping[str, Array], num_examples: int
) -> classification_pb2.ClassificationResult:
    """The answer from "classes" and "scores", each (examples, classes).

    Raises:
        ServingError: INVALID_ARGUMENT, when the model's outputs are not so.
    """
    for key, array in arrays.items():
        if array.ndim != 2:
            raise invalid_argument(
                "Expected Tensor shape: [batch_size num_classes] but got "
                f"{_shape(array)}"
            )
        wanted = "DT_STRING" if key == CLASSES else "DT_FLOAT"
        _check(array, f"{key} ", wanted, num_examples)
    labels = arrays.get(CLASSES)
    scores = arrays.get(SCORES)
    if labels is None:
        labels = np.full_like(scores, b"", object)
    if scores is None:
        scores = np.zeros(labels.shape, np.float32)
    if labels.shape != scores.shape:
        raise invalid_argument(
            "Tensors class and score should match in dim_size(1). Got "
            f"{labels.shape[1]} vs. {scores.shape[1]}"
        )
    result = classification_pb2.ClassificationResult()
    for names, numbers in zip(labels, scores.tolist(), strict=True):
        classes = result.classifications.add().classes
        for name, number in zip(names, numbers, strict=True):
            # A label is text: what is no UTF-8 cannot be sent.
            classes.add(label=name.decode(errors="replace"), score=number)
    return result


def regression_result(
    arrays: Mapping[str, Array], num_examples: int
) -> regression_pb2.RegressionResult:
    """The answer from "outputs", (examples,) or (examples, 1).

    Raises:
        ServingError: INVALID_ARGUMENT, when the model's output is not so.
    """
    array = arrays[OUTPUTS]
    if array.shape[1:] not in ((), (1,)) or not array.ndim:
        raise invalid_argument(
            "Expected output Tensor shape to be either [batch_size] or "
            f"[batch_size, 1] but got {_shape(array)}"
        )
    _check(array, "output ", "DT_FLOAT", num_examples)
    result = regression_pb2.RegressionResult()
    for value in array.ravel().tolist():
        result.regressions.add(value=value)
    return result


METHODS = {
    CLASSIFY: Method(
        CLASSIFY,
        "classification",
        (CLASSES, SCORES),
        "one or two output Tensors",
        classification_result,
    ),
    REGRESS: Method(
        REGRESS,
        "regression",
        (OUTPUTS,),
        "one output Tensor",
        regression_result,
    ),
}


def _check(array: Array, what: str, wanted: str, num_examples: int) -> None:
    given = types_pb2.DataType.Name(tf.as_dtype(array.dtype).as_datatype_enum)
    if given != wanted:
        raise invalid_argument(
            f"Expected {what}Tensor of {wanted}. Got: {given}"
        )
    if len(array) != num_examples:
        raise invalid_argument(
            f"Expected {what}batch size of {num_examples}. Got: {len(array)}"
        )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _shape(array: Array) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"
