"""What a served model takes and returns, as its server tells it."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, model_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, did_you_mean

# The signature that tells the fields, its only input and its only output.
SIGNATURE, ROWS, FIELDS = "fields", "rows", "fields"
# Runs once when a model is loaded; nobody calls it.
_INIT_OP = "__saved_model_init_op"
# What a value takes in an answer whose size the signature does not tell.
_UNKNOWN_BYTES = 64


@dataclasses.dataclass(frozen=True)
class Target:
    """The signature and the version that a call asks for."""

    signature: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise UserError(
                "Only one of `version` and `label` can be given. Received: "
                f"version={self.version}, label='{self.label}'."
            )

    def spec(self, model_name: str) -> model_pb2.ModelSpec:
        """How a request names them."""
        spec = model_pb2.ModelSpec(
            name=model_name, signature_name=self.signature
        )
        if self.version is not None:
            spec.version.value = self.version
        if self.label is not None:
            spec.version_label = self.label
        return spec


class Classes(NamedTuple):
    """What `classify` returns.

    `labels`: object array (N, classes) of `str`; `scores`: float32 array
    (N, classes).
    """

    labels: Array
    scores: Array


class VersionStatus(NamedTuple):
    """A version of a model: its state (`"AVAILABLE"`, …) and any error."""

    version: int
    state: str
    error: str


@dataclasses.dataclass(frozen=True)
class TensorInfo:
    """What an input takes, or an output gives.

    Args:
        dtype: str. Such as `"string"` or `"float32"`.
        shape: a length for each dimension, None for any; None altogether
            where even the number of dimensions is open.

    >>> TensorInfo("float32", (None,)).is_batched
    True
    """

    dtype: str
    shape: tuple[int | None, ...] | None

    @functools.cached_property
    def is_batched(self) -> bool:
        """Whether the first dimension counts rows."""
        return self.shape is None or self.shape[:1] == (None,)

    @functools.cached_property
    def is_context(self) -> bool:
        """Whether the first dimension is one, whatever the rows."""
        return self.shape is not None and self.shape[:1] == (1,)

    @functools.cached_property
    def numpy_dtype(self) -> np.dtype[Any]:
        """The dtype in numpy; `object` for text."""
        found: np.dtype[Any] = np.dtype(tf.as_dtype(self.dtype).as_numpy_dtype)
        return found

    @functools.cached_property
    def answer_bytes(self) -> int:
        """What a row of an output takes in an answer, as far as is known."""
        inner = [None] if self.shape is None else self.shape[1:]
        size = _UNKNOWN_BYTES
        if self.dtype != "string" and None not in inner:
            is_float = self.numpy_dtype.kind == "f"
            # As typed values an integer takes up to ten bytes.
            size = self.numpy_dtype.itemsize if is_float else 10
        return size * math.prod(n or 1 for n in inner)

    def allows(self, shape: tuple[int, ...]) -> bool:
        """Whether an array may have this shape."""
        return self.shape is None or (
            len(shape) == len(self.shape)
            and all(n in (None, k) for n, k in zip(self.shape, shape))  # noqa: B905
        )


@dataclasses.dataclass(frozen=True)
class Signature:
    """One way to call a model.

    Args:
        method_name: str. TF Serving's name for the kind of call.
        inputs, outputs: name -> TensorInfo.
        defaults: inputs that may be left out. Recent servers do not say.
    """

    method_name: str
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    defaults: frozenset[str] = frozenset()

    @property
    def context(self) -> list[str]:
        """Inputs of shape `(1, …)`: one value, whatever the rows."""
        return [n for n, s in self.inputs.items() if s.is_context]

    def chosen(self, names: Sequence[str] | None) -> dict[str, TensorInfo]:
        """The outputs of these names; None means all."""
        for name in names or ():
            if name not in self.outputs:
                raise UserError(
                    f"The model has no output '{name}'."
                    f"{did_you_mean(name, self.outputs)} Its outputs are: "
                    f"{shown(self.outputs)}."
                )
        return {n: self.outputs[n] for n in names or self.outputs}

    @property
    def can_be_split(self) -> bool:
        """Whether rows may be sent apart, and the answers joined."""
        return any(s.is_batched for s in self.inputs.values()) and all(
            s.is_batched for s in self.outputs.values()
        )


@dataclasses.dataclass(frozen=True)
class ServedField:
    """A field and its input.

    Args:
        name, input: str. What the column is called in the data, and the input
            in the signatures.
        separator: str or None. What stands between the values of a row,
            where a row has several.
        missing_values: texts that stand for a missing number.
        has_default: bool. Whether requests may leave it out.
        training: what its data lead one to expect: `missing` of `rows`,
            `unseen` of `values`; of numbers, `minimum` and `maximum`.
    """

    name: str
    input: str
    separator: str | None = None
    missing_values: tuple[str, ...] = ()
    has_default: bool = False
    # Whether requests are right does not depend on it.
    training: Mapping[str, float] = dataclasses.field(
        default_factory=dict, compare=False
    )


@dataclasses.dataclass(frozen=True)
class ServedFields:
    """The fields of a model; none, where the model does not tell.

    Args:
        fields: ServedFields, in the order of the schema.

    >>> fields = ServedFields((ServedField("home-town", "home_town"),))
    >>> fields.column("home_town"), fields.column("site")
    ('home-town', 'site')
    """

    fields: tuple[ServedField, ...] = ()

    @classmethod
    def from_json(cls, text: str | bytes) -> ServedFields:
        """Read the answer of the signature; another model's tells nothing."""
        try:
            fields = tuple(
                ServedField(
                    str(entry["name"]),
                    str(entry["input"]),
                    entry.get("separator"),
                    tuple(entry.get("missing_values", ())),
                    "default" in entry,
                    dict(entry.get("training", {})),
                )
                for entry in json.loads(text)["fields"]
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()
        return cls(fields)

    def __bool__(self) -> bool:
        return bool(self.fields)

    @functools.cached_property
    def by_input(self) -> dict[str, ServedField]:
        """Input name -> field."""
        return {field.input: field for field in self.fields}

    def field(
        self, name: str, shape: Sequence[int | None] | None
    ) -> ServedField | None:
        """The field whose column an input takes.

        A matrix is no field's, whatever it is called.
        """
        is_column = shape is not None and len(shape) == 1
        return self.by_input.get(name) if is_column else None

    def column(self, name: str) -> str:
        """What the column for an input is called."""
        return self.by_input[name].name if name in self.by_input else name

    def may_lack(self, inputs: Collection[str]) -> bool:
        """Whether requests may leave all of these inputs out."""
        return all(
            name in self.by_input and self.by_input[name].has_default
            for name in inputs
        )


# Of a model that does not tell.
NO_FIELDS = ServedFields()


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """A version of a model, and what it tells of itself.

    Args:
        name, version: the model's name, and the version that the server took.
        signatures: signature name -> Signature.
        fields: the fields and their inputs, as far as the model tells them.
    """

    name: str
    version: int
    signatures: Mapping[str, Signature]
    fields: ServedFields = NO_FIELDS

    @classmethod
    def from_response(
        cls, response: get_model_metadata_pb2.GetModelMetadataResponse
    ) -> ModelMetadata:
        """Read a server's answer."""
        found = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(found)
        signatures = {
            name: Signature(
                definition.method_name,
                _specs(definition.inputs),
                _specs(definition.outputs),
                frozenset(definition.defaults),
            )
            for name, definition in sorted(found.signature_def.items())
            if name != _INIT_OP
        }
        spec = response.model_spec
        return cls(spec.name, spec.version.value, signatures)

    @property
    def can_tell_fields(self) -> bool:
        """Whether there is a signature that tells the fields."""
        signature = self.signatures.get(SIGNATURE)
        text = TensorInfo("string", (None,))
        return (
            signature is not None
            and dict(signature.inputs) == {ROWS: text}
            and dict(signature.outputs) == {FIELDS: text}
        )

    def is_called_like(self, other: ModelMetadata) -> bool:
        """Whether requests that are right for one are right for the other."""
        return (
            self.signatures == other.signatures and self.fields == other.fields
        )

    def signature(self, name: str) -> Signature:
        """The signature called `name`; a ValueError lists those there are."""
        if name not in self.signatures:
            raise UserError(
                f"Version {self.version} of the model '{self.name}' has no "
                f"signature '{name}'.{did_you_mean(name, self.signatures)} "
                f"Its signatures are: {shown(self.signatures)}."
            )
        return self.signatures[name]


def _specs(infos: Mapping[str, Any]) -> dict[str, TensorInfo]:
    result = {}
    for name, info in sorted(infos.items()):
        shape = info.tensor_shape
        dims = tuple(d.size if d.size >= 0 else None for d in shape.dim)
        result[name] = TensorInfo(
            tf.as_dtype(info.dtype).name, None if shape.unknown_rank else dims
        )
    return result


def shown(names: Iterable[str], limit: int = 20) -> str:
    """Names for a message: quoted, the first `limit` of them."""
    quoted = [f"'{name}'" for name in names]
    more = len(quoted) - limit
    text = ", ".join(quoted[:limit]) or "none"
    return f"{text} and {more} more" if more > 0 else text
