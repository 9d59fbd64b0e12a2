"""The signatures of an export, all from one Schema."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from deepfm_tf.calibration import Calibration
from deepfm_tf.export.scoring import is_always_present, make_score
from deepfm_tf.fields import Field
from deepfm_tf.lookup import (
    GraphLookup,
    number_fields,
    raw_dtype,
    text_fields,
)
from deepfm_tf.models import CTRModel
from deepfm_tf.schema import Schema

PREDICT, CLASSIFY, REGRESS = (
    f"tensorflow/serving/{method}"
    for method in ("predict", "classify", "regress")
)
# The classes of `classify`: no click, click.
CLASSES = ("0", "1")
# The collection of variables in a SavedModel that holds the table alone.
TABLE = "table_of_model"

Tensors = dict[str, tf.Tensor]
# Field name -> the value that stands in where a request leaves it out.
Defaults = Mapping[str, Any]
# Raw `texts` and `numbers` -> the packed inputs of a model.
Encode = Callable[[Mapping[str, Any]], Tensors]


@dataclasses.dataclass(frozen=True)
class Signature:
    """One entry of the SavedModel's signature map.

    Args:
        name: its key.
        method_name: what TensorFlow Serving knows it as.
        function: `tf.function` with an input signature.
        defaults: input name -> value of one row, for inputs that a request
            may leave out.
    """

    name: str
    method_name: str
    function: Any
    defaults: Defaults = dataclasses.field(default_factory=dict)


def signatures(
    model: CTRModel,
    encode: Encode,
    defaults: Defaults,
    table: Any = None,
    calibration: Calibration | None = None,
) -> list[Signature]:
    """All signatures whose rows are independent of each other.

    Args:
        model: a trained model.
        encode: see `traced_encode`.
        defaults: field name -> value where a request leaves the field out.
        table: Variable to read instead of the model's table.
        calibration: what all probabilities go through. Optional.
    """
    schema = model.schema
    names = schema.signature_names
    packed_specification = {
        name: tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for name, tensor in model.input.items()
    }
    score = traced([packed_specification])(
        make_score(model, table, calibration=calibration)
    )
    score_looked_up = score
    if is_always_present(schema):
        score_looked_up = make_score(model, table, True, calibration)
    matrices = matrix_specification(schema.fields)

    examples = [tf.TensorSpec((None,), tf.string, name="inputs")]

    @traced([matrices])
    def score_raw(raw: Tensors) -> tf.Tensor:
        return score_looked_up(encode(raw))

    @tf.function(
        input_signature=[column_specification(schema.fields, names)],
        autograph=False,
    )
    def serving_default(raw: Tensors) -> Tensors:
        columns = {f.name: raw[names[f.name]] for f in schema.fields}
        columns = fill_rows(columns, defaults)
        return {"probability": score_raw(to_matrices(columns, schema.fields))}

    @tf.function(input_signature=[matrices], autograph=False)
    def packed(raw: Tensors) -> Tensors:
        return {"probability": score_raw(raw)}

    @tf.function(input_signature=[packed_specification], autograph=False)
    def ids(packed: Tensors) -> Tensors:
        return {"probability": score(packed)}

    @traced(examples)
    def score_examples(inputs: tf.Tensor) -> tf.Tensor:
        parsed = tf.io.parse_example(
            inputs, example_features(schema.fields, names, defaults)
        )
        columns = {f.name: _of_example(f, names, parsed) for f in schema.fields}
        return score_raw(to_matrices(columns, schema.fields))

    @tf.function(input_signature=examples, autograph=False)
    def classify(inputs: tf.Tensor) -> Tensors:
        probability = score_examples(inputs)
        return {
            "classes": tf.tile(
                tf.constant([CLASSES]), [tf.shape(probability)[0], 1]
            ),
            "scores": tf.stack([1.0 - probability, probability], axis=1),
        }

    @tf.function(input_signature=examples, autograph=False)
    def regress(inputs: tf.Tensor) -> Tensors:
        return {"outputs": score_examples(inputs)}

    named = {names[name]: value for name, value in defaults.items()}
    return [
        Signature("serving_default", PREDICT, serving_default, named),
        Signature("packed", PREDICT, packed),
        Signature("ids", PREDICT, ids),
        Signature("classify", CLASSIFY, classify),
        Signature("regress", REGRESS, regress),
    ]


def traced(input_signature: Sequence[Any]) -> Callable[..., Any]:
    """A decorator: a function traced once, however many signatures call it.

    A `tf.function` would be traced again when it is saved.
    """

    def trace(function: Callable[..., Any]) -> Callable[..., Any]:
        concrete = tf.function(
            function, input_signature=input_signature, autograph=False
        ).get_concrete_function()

        # Holds on to `function`, and so to the variables that it reads: a
        # concrete function does not.
        @functools.wraps(function)
        def call(inputs: Any) -> Any:
            return concrete(inputs)

        return call

    return trace


def traced_encode(lookup: GraphLookup, schema: Schema) -> Encode:
    """`lookup.encode`, traced once for all signatures that look up all fields.

    Args:
        lookup: raw values to packed inputs.
        schema: of the model.
    """

    encode: Encode = traced([matrix_specification(schema.fields)])(
        lambda raw: lookup.encode(raw.get("texts"), raw.get("numbers"))
    )
    return encode


def column_specification(
    fields: Iterable[Field], names: Mapping[str, str], rows: int | None = None
) -> dict[str, tf.TensorSpec]:
    """An input of shape `(rows,)` for each field, under its own name."""
    return {
        names[field.name]: tf.TensorSpec(
            (rows,), raw_dtype(field), name=names[field.name]
        )
        for field in fields
    }


def matrix_specification(fields: Iterable[Field]) -> dict[str, tf.TensorSpec]:
    """Inputs `texts` and `numbers`, each only if it has columns."""
    fields = list(fields)
    return {
        name: tf.TensorSpec((None, len(chosen)), dtype, name=name)
        for name, chosen, dtype in (
            ("texts", text_fields(fields), tf.string),
            ("numbers", number_fields(fields), tf.float32),
        )
        if chosen
    }


def to_matrices(columns: Mapping[str, Any], fields: Iterable[Field]) -> Tensors:
    """Columns by field name to `texts` and `numbers`."""
    fields = list(fields)
    return {
        name: tf.stack([columns[f.name] for f in chosen], axis=1)
        for name, chosen in (
            ("texts", text_fields(fields)),
            ("numbers", number_fields(fields)),
        )
        if chosen
    }


def fill_rows(columns: Tensors, defaults: Defaults) -> Tensors:
    """Repeats the one value of a default for all rows of the request."""
    if not defaults.keys() & columns.keys():
        return columns
    # Of one: a size of each column is three operations a field in the export.
    given = next(name for name in columns if name not in defaults)
    size = tf.shape(columns[given])[:1]
    return {
        name: tf.broadcast_to(column, size) if name in defaults else column
        for name, column in columns.items()
    }


def example_features(
    fields: Iterable[Field], names: Mapping[str, str], defaults: Defaults
) -> dict[str, Any]:
    """How `classify` and `regress` read a `tf.train.Example`.

    A feature may be called like its field or, where that has another name,
    like the input: left unread it would be missing without a word.
    """
    features: dict[str, Any] = {}
    for field in fields:
        dtype = raw_dtype(field)
        features[field.name] = tf.io.FixedLenFeature(
            [], dtype, defaults.get(field.name, _missing(field))
        )
        if names[field.name] != field.name:
            features[names[field.name]] = tf.io.RaggedFeature(dtype)
    return features


def _of_example(
    field: Field, names: Mapping[str, str], parsed: Mapping[str, Any]
) -> tf.Tensor:
    """(batch,) values, of whichever of its two features there is."""
    value = parsed[field.name]
    if names[field.name] == field.name:
        return value
    other = parsed[names[field.name]]
    count = tf.reshape(other.row_lengths(), [-1])
    tf.debugging.assert_less_equal(
        count,
        tf.ones_like(count),
        message=f"Feature {names[field.name]} must have one value.",
    )
    padded = other.to_tensor(_missing(field), shape=(None, 1))
    return tf.where(count > 0, padded[:, 0], value)


def _missing(field: Field) -> Any:
    return "" if raw_dtype(field) == tf.string else np.nan


def write(
    chosen: Iterable[Signature],
    lookup: GraphLookup,
    path: Path,
    table: Any = None,
) -> None:
    """Write a SavedModel.

    Args:
        chosen: its signatures, `serving_default` first.
        lookup: the one that they use.
        path: a new directory.
        table: the variable that `read_model` is to find again. Optional.
    """
    archive = keras.export.ExportArchive()
    archive.track(lookup)
    # What the signatures read, and no more: not the float32 table where they
    # read a copy in 16 bits.
    read: dict[int, Any] = {}
    for signature in chosen:
        archive.add_endpoint(signature.name, signature.function)
        traced = signature.function.get_concrete_function()
        read |= {id(variable): variable for variable in traced.variables}
    parameters = tf.Module(name="parameters")
    parameters.read = list(read.values())
    archive.track(parameters)
    if table is not None:
        is_of_keras = isinstance(table, keras.Variable)
        variable = table.value if is_of_keras else table
        archive.add_variable_collection(TABLE, [variable])
    archive.write_out(str(path), verbose=False)
    # Neither Keras nor TensorFlow takes method names, nor defaults of inputs
    # that come as one dict.
    file = path / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    definitions = saved_model.meta_graphs[0].signature_def
    for signature in chosen:
        definition = definitions[signature.name]
        definition.method_name = signature.method_name
        for name, value in signature.defaults.items():
            dtype = tf.as_dtype(definition.inputs[name].dtype)
            definition.defaults[name].CopyFrom(
                tf.make_tensor_proto([value], dtype)
            )
    file.write_bytes(saved_model.SerializeToString(deterministic=True))
