"""What all models share: packed inputs, one sigmoid, the config round trip."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common import global_state

from deepfm_tf.arrays import Array
from deepfm_tf.errors import (
    UserError,
    UserTypeError,
    arguments_of,
    refuse_unknown,
)
from deepfm_tf.layers import DensePyramid, SamplingOffset, SharedEmbedding
from deepfm_tf.schema import Schema

# Keras's own arguments of a model.
_KERAS_ARGUMENTS = {"name", "trainable", "dtype"}
_HDF5 = (".h5", ".hdf5")


class CTRModel(keras.Model):
    """A functional Keras model from packed inputs to a click probability.

    The inputs are `"ids"` (batch, slots) int32, `"values"` (batch, numeric
    fields) float32 and `"weights"` (batch, weighted slots) float32, each only
    where the schema needs it; `Vocabulary.encode` says what they hold. The
    output is `{"probability": (batch, 1)}`. The sigmoid comes last and in
    float32, so that Keras computes the loss from the logits.

    Args:
        schema: the Schema of a fitted vocabulary.
        inputs: what `packed_inputs` gave.
        logits: (batch, 1), a Keras tensor.
        negative_sampling: float in (0, 1]. The share `w` of the negatives
            that the training data keeps (see `Part`). The model learns from
            them, yet its probabilities are those of all the data: `p / (p +
            (1 - p) / w)`, where `p` is what it would say of the data it was
            given. To that end `log w` is subtracted from the logits in
            training, and only there; evaluation and export need no further
            correction. Defaults to 1.0: all of them.
        **kwargs: `name`, `trainable` and `dtype` (a dtype policy; by default
            the one that `set_precision` set), as for every Keras model.

    Raises:
        TypeError: an argument that the model does not have.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let each model refuse what it does not know, and take a dtype."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _checked(cls, cls.__init__)  # type: ignore[method-assign]

    def __init__(
        self,
        schema: Schema,
        inputs: dict,
        logits: Any,
        negative_sampling: float = 1.0,
        **kwargs: Any,
    ) -> None:
        if not 0 < negative_sampling <= 1:
            raise UserError(
                "`negative_sampling` must be the share of the negatives that "
                "the training data keeps, above 0 and at most 1. Received: "
                f"negative_sampling={negative_sampling}."
            )
        if negative_sampling < 1:
            shift = math.log(negative_sampling)
            logits = SamplingOffset(
                -shift, dtype="float32", name="sampling_offset"
            )(logits)
        probability = keras.layers.Activation(
            "sigmoid", dtype="float32", name="probability"
        )(logits)
        super().__init__(
            inputs=inputs, outputs={"probability": probability}, **kwargs
        )
        self.schema = schema
        layer = getattr(self, "embedding_layer", None)
        if layer is not None:  # a model of one's own may have none
            layer.field_names = tuple(f.name for f in schema.embedded_fields)
        self.negative_sampling = negative_sampling
        if negative_sampling < 1:
            # So that training starts from even odds, as it does without.
            self.linear_term.bias.assign(shift)

    @property
    def embedding_layer(self) -> SharedEmbedding:
        """The layer that holds the table."""
        return self.shared_embedding

    def first_kernel(self, fields: Sequence[int]) -> Any:
        """The first hidden layer's rows for the columns of some fields.

        Args:
            fields: positions in `schema.embedded_fields`.

        Returns:
            (len(fields) * columns, units), the columns being those of the
            table; None if no hidden layer reads the fields one by one.
        """
        return None

    def terms(self, columns: Any, kernel: Any) -> dict[str, Any]:
        """What some of the fields contribute, before anything joins them.

        The terms of two groups of fields add up, each on its own, to those of
        both: what many examples have in common need be computed only once.
        See `FieldTerms`.

        Args:
            columns: (batch, fields, columns), `SharedEmbedding.columns`.
            kernel: `first_kernel` of the same fields.

        Returns:
            Name -> (batch, ...) tensor.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define `terms` and `from_terms` to "
            "be computed for some of its fields at a time."
        )

    def from_terms(self, terms: Mapping[str, Any]) -> Any:
        """(batch, 1) logits in inference, from the terms of all fields."""
        raise NotImplementedError

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Keras's `save`, but for HDF5, which it could not load again."""
        if str(filepath).endswith(_HDF5):
            _refuse_hdf5(filepath)
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, and the precision, JSON-ready."""
        # Set by Keras while it writes HDF5: `keras.saving.save_model` comes by
        # no method of the model but this one.
        if global_state.get_global_attribute("use_legacy_config", False):
            _refuse_hdf5("an HDF5 file")
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy.name,
            "schema": self.schema.to_dict(),
            "negative_sampling": self.negative_sampling,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> CTRModel:
        """The model that `get_config` describes, with fresh weights."""
        config = dict(config)
        config["schema"] = Schema.from_dict(config["schema"])
        trainable = config.pop("trainable", True)
        model = cls(**config)
        model.trainable = trainable
        return model


def _checked(cls: type, construct: Callable[..., None]) -> Callable[..., None]:
    """The constructor of a model, which knows all of its arguments."""

    @functools.wraps(construct)
    def check_and_construct(self: Any, *args: Any, **kwargs: Any) -> None:
        known = arguments_of(cls, CTRModel) - {"inputs", "logits"}
        refuse_unknown(cls, kwargs, known | _KERAS_ARGUMENTS)
        with _policy(kwargs.pop("dtype", None)):
            construct(self, *args, **kwargs)

    return check_and_construct


def _refuse_hdf5(filepath: Any) -> None:
    raise UserError(
        "A model must be saved as a .keras file, as Keras cannot load it from "
        f"HDF5. Received: {filepath}. Write model.save('model.keras').",
        argument="filepath",
    )


@contextlib.contextmanager
def _policy(policy: Any) -> Iterator[None]:
    """Layers are made with this dtype policy; None: with that of now."""
    now = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or now)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(now)


def table_arguments(schema: Schema) -> dict[str, Any]:
    """How the schema's fields lie in a shared table (for the layers)."""
    _check_schema(schema)
    return {
        "vocabulary_sizes": schema.vocabulary_sizes,
        "slots_per_field": schema.slots_per_field,
        "field_tables": schema.field_tables,
    }


def shared_embedding(
    schema: Schema,
    embedding_dim: int,
    embeddings_initializer: Any,
    embeddings_regularizer: Any,
    factored: bool = False,
) -> SharedEmbedding:
    """The one table that all parts of a model read, first order included.

    Its last column is the first-order weight: one read of a row costs less
    than one of each of two tables (see tests/benchmarks/README.md).
    """
    return SharedEmbedding(
        embedding_dim=embedding_dim,
        embeddings_initializer=embeddings_initializer,
        embeddings_regularizer=embeddings_regularizer,
        first_order=True,
        factored=factored,
        dtype="float32",
        name="shared_embedding",
        **table_arguments(schema),
    )


def embedding_config(layer: SharedEmbedding) -> dict[str, Any]:
    """What a model's config says of how its table starts and is kept small."""
    config = layer.get_config()
    return {
        name: config[name]
        for name in ("embeddings_initializer", "embeddings_regularizer")
    }


def flatten_fields(columns: Any) -> Any:
    """(batch, fields, columns) to (batch, fields * columns)."""
    return ops.reshape(columns, (-1, columns.shape[1] * columns.shape[2]))


def field_kernel(
    pyramid: DensePyramid, embedding_dim: int, fields: Sequence[int]
) -> Any:
    """`DensePyramid.first_kernel` for the columns of a `shared_embedding`.

    Args:
        pyramid: its input is the embeddings of all fields, flattened.
        embedding_dim: int.
        fields: positions of the fields.
    """
    features = []
    for field in fields:
        start = field * embedding_dim
        # The pyramid does not see the first-order weight.
        features += [*range(start, start + embedding_dim), -1]
    return pyramid.first_kernel(features)


def numeric_parts(schema: Schema) -> list[int]:
    """`parts_of_vectors` of a pyramid over a factored `SharedEmbedding`."""
    _check_schema(schema)
    missing = [
        number
        for number, field in enumerate(schema.numeric_fields)
        if (schema.owner(field).vocabulary_size or 0) > 1
    ]
    return [*range(len(schema.numeric_fields)), *missing]


def packed_inputs(schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """The model's inputs, and what the embedding layers take of them.

    Returns:
        The dict of Keras inputs; and the call arguments of `SharedEmbedding`
        and `LinearTerm`: `ids` (batch, slots) int32, -1 where nothing is
        contributed, `weights` (batch, slots) float32 unless all are 1, and
        `values` (batch, numeric fields) float32, each where there are any.
    """
    inputs = {}
    num_slots = sum(getattr(f, "max_length", 1) for f in schema.id_fields)
    if num_slots:
        inputs["ids"] = keras.Input((num_slots,), dtype="int32", name="ids")
    num_weights = sum(f.max_length for f in schema.weighted_fields)
    if num_weights:
        inputs["weights"] = keras.Input(
            (num_weights,), dtype="float32", name="weights"
        )
    num_values = len(schema.numeric_fields)
    if num_values:
        inputs["values"] = keras.Input(
            (num_values,), dtype="float32", name="values"
        )
    return inputs, embedding_arguments(schema, inputs)


def embedding_arguments(
    schema: Schema, packed: Mapping[str, Any]
) -> dict[str, Any]:
    """The call arguments of `SharedEmbedding` and `LinearTerm`.

    Args:
        schema: the Schema of a fitted vocabulary.
        packed: the packed inputs of its fields.
    """
    arguments = {k: v for k, v in packed.items() if k != "weights"}
    if "ids" in packed and ("weights" in packed or _mean_slots(schema).any()):
        arguments["weights"] = _slot_weights(schema, packed)
    return arguments


def _check_schema(schema: Schema) -> None:
    if not isinstance(schema, Schema):
        raise UserTypeError(
            "`schema` must be a Schema: the one of a fitted vocabulary. "
            f"Received: {schema!r}."
        )


def _slot_weights(schema: Schema, inputs: Mapping[str, Any]) -> Any:
    """(batch, slots of id fields): given weights, means divided out."""
    present = ops.greater_equal(inputs["ids"], 0)
    weights = 1.0
    if "weights" in inputs:
        # Slots without a weight take the column of ones at the end.
        ones = ops.ones_like(inputs["weights"][:, :1])
        columns = ops.concatenate([inputs["weights"], ones], axis=1)
        weights = ops.take(columns, _weight_columns(schema), axis=1)
    # A selection, not a product: the weight of an absent value may be NaN.
    weights = ops.where(present, weights, np.float32(0))
    in_mean = _mean_slots(schema)
    if in_mean.any():
        lengths = [getattr(f, "max_length", 1) for f in schema.id_fields]
        fields = np.repeat(np.arange(len(lengths)), lengths)
        # Not a 0/1 matrix product, which rounds to TF32 on a GPU.
        # (fields, batch)
        totals = ops.segment_sum(ops.transpose(weights), fields, len(lengths))
        # (batch, slots): in each slot of a mean field, its sum of weights.
        totals = ops.transpose(ops.take(totals, fields, axis=0))
        totals = ops.where(in_mean, totals, np.float32(1))
        weights = ops.divide_no_nan(weights, totals)
    return weights


def _weight_columns(schema: Schema) -> Array:
    columns: list[int] = []
    total = sum(f.max_length for f in schema.weighted_fields)
    start = 0
    for field in schema.id_fields:
        length = getattr(field, "max_length", 1)
        if field in schema.weighted_fields:
            columns += range(start, start + length)
            start += length
        else:
            columns += [total] * length
    return np.array(columns, dtype=np.int32)


def _mean_slots(schema: Schema) -> Array:
    """(slots of id fields,) bool: whether a slot's field is pooled by mean."""
    return np.concatenate(
        [
            np.full(
                getattr(f, "max_length", 1),
                getattr(f, "pooling", "sum") == "mean",
            )
            for f in schema.id_fields
        ]
        or [np.empty(0, dtype=bool)]
    )
