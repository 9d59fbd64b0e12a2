"""The same model over a table of other rows."""

from __future__ import annotations

from typing import Any

from keras import ops

from deepfm_tf.arrays import Array
from deepfm_tf.models.ctr_model import CTRModel
from deepfm_tf.schema import Schema


def with_rows(model: CTRModel, schema: Schema, rows: Array) -> CTRModel:
    """A copy of a model, whose table has other rows.

    Args:
        model: a built model.
        schema: the same, but for the sizes of vocabularies.
        rows: (new rows,) int. The row of the model's table that each row of
            the new table is a copy of.

    Returns:
        A model that is not compiled.
    """
    config = model.get_config() | {"schema": schema.to_dict()}
    with model.distribute_strategy.scope():
        other = type(model).from_config(config)
    for source, target in zip(model.weights, other.weights, strict=True):
        value = ops.convert_to_numpy(source)
        target.assign(value[rows] if has_rows(source, model) else value)
    return other


def has_rows(variable: Any, model: CTRModel) -> bool:
    """Whether a variable has a row for each row of the model's table.

    So have tables, and what an optimizer keeps of them.
    """
    name = str(getattr(variable, "path", variable.name))
    shape = tuple(variable.shape)
    num_rows = sum(model.schema.vocabulary_sizes)
    return len(shape) == 2 and shape[0] == num_rows and "embeddings" in name
