"""What functions that take a model and a data set ask of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from deepfm_tf.errors import UserTypeError

_HOW = (
    "Make one with `dataset_from_memory`, `dataset_from_ids`, "
    "`dataset_from_text` or `PreparedData.dataset`."
)


def check_model(model: Any, with_schema: bool = False) -> None:
    """Raise UserTypeError unless a model gives probabilities as ours do.

    Args:
        model: what came.
        with_schema: bool. Whether it must have a `schema`, as only ours have.
    """
    outputs = getattr(model, "output", None)
    if (
        not isinstance(model, keras.Model)
        or not isinstance(outputs, Mapping)
        or "probability" not in outputs
        or (with_schema and not hasattr(model, "schema"))
    ):
        raise UserTypeError(
            "`model` must be a model of deepfm_tf"
            + (
                ", to find a field by its name. "
                if with_schema
                else ", or a Keras model with the output {'probability': "
                "(batch, 1)}. "
            )
            + f"Received: {type(model).__name__}.",
            argument="model",
        )


def check_dataset(dataset: Any, name: str = "dataset") -> None:
    """Raise UserTypeError for what cannot be a data set, without reading it.

    Args:
        dataset: what came.
        name: str. The argument.
    """
    if (
        isinstance(dataset, (Mapping, str, bytes))
        or hasattr(dataset, "shape")
        or not hasattr(dataset, "__iter__")
    ):
        raise UserTypeError(
            f"`{name}` must be a tf.data.Dataset of (inputs, label). "
            f"Received: {type(dataset).__name__}. {_HOW}",
            argument=name,
        )


def labelled_batches(dataset: Any, name: str = "dataset") -> Iterator[Any]:
    """The batches of a data set, each found to have inputs and a label.

    Args:
        dataset: a `tf.data.Dataset`, or any iterable of batches.
        name: str. The argument.
    """
    check_dataset(dataset, name)
    for batch in dataset:
        if (
            not isinstance(batch, (tuple, list))
            or len(batch) not in (2, 3)
            or not isinstance(batch[0], Mapping)
        ):
            raise UserTypeError(
                f"`{name}` must hold batches of (inputs, label) or (inputs, "
                "label, weight), the inputs a mapping. Received: "
                f"{type(batch).__name__}. {_HOW}",
                argument=name,
            )
        yield batch
