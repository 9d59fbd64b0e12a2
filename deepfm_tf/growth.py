"""Yesterday's model with tomorrow's vocabulary."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from keras import ops

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.export.kept_model import read_model
from deepfm_tf.fields import Field
from deepfm_tf.models import CTRModel
from deepfm_tf.models.other_rows import has_rows, with_rows
from deepfm_tf.optimizers import LazyOptimizer
from deepfm_tf.vocabulary import OOV_ID, Vocabulary
from deepfm_tf.vocabulary.growing import EARLIER_SIZES, check_same_fields

# Not a row: a new value has none yet.
_NO_ROW = -1


def grow_model(
    model: CTRModel | str | Path,
    vocabulary: Vocabulary,
    previous: Vocabulary | None = None,
) -> CTRModel:
    """The same model for a vocabulary of a further day, to go on training.

    A value that the model knows keeps its row, whatever its id is now; a new
    one starts as a copy of the row that it had until now, its field's OOV row,
    and without a history in the optimizer. So all predictions stay what they
    were, bit for bit, until the model is trained on. Compiled as it was, with
    the state of its optimizer and the number of its step.

    Args:
        model: a trained model; or the folder of an exported version, such as
            `"saved_models/clicks/3"`, whose own vocabulary is `previous` then
            (`Vocabulary.load` of that folder). An export has no optimizer:
            the model is not compiled.
        vocabulary: what yesterday's vocabulary has become:
            `prepare(data, extends=yesterday).vocabulary`, or that of
            `Vocabulary.extended`.
        previous: the Vocabulary that the model was made for. Needed where
            values were evicted, so that ids have moved; without it, the ids
            of `vocabulary` must begin with those of the model. Defaults to
            None.

    Returns:
        A new model; the old one is left as it is.

    Raises:
        ValueError: the vocabulary is not one that grew from the model's.

    Example:

    >>> from deepfm_tf import CategoricalField, FM, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site"),), "click")
    >>> day = {"site": ["b", "b", "a"], "click": [1, 0, 0]}
    >>> monday = fit_vocabulary(day, schema)
    >>> model = FM(monday.schema, embedding_dim=2)
    >>> day = {"site": ["c", "c", "a"], "click": [1, 0, 0]}
    >>> tuesday = monday.extended(fit_vocabulary(day, schema))
    >>> grown = grow_model(model, tuesday)
    >>> model.count_params(), grown.count_params()
    (10, 16)
    """
    if isinstance(model, (str, Path)):
        previous = previous or Vocabulary.load(model)
        model = read_model(Path(model))
    if not isinstance(model, CTRModel):
        raise UserTypeError(
            "`model` must be a model of this package. Received: "
            f"{type(model).__name__}.",
            argument="model",
        )
    if not isinstance(vocabulary, Vocabulary):
        raise UserTypeError(
            "`vocabulary` must be a Vocabulary, such as "
            "`prepared.vocabulary`. Received: "
            f"{type(vocabulary).__name__}.",
            argument="vocabulary",
        )
    check_same_fields(model.schema, vocabulary.schema)
    rows = _rows(model, vocabulary, previous)
    is_new = rows == _NO_ROW
    first_rows = _first_rows(model.schema.vocabulary_sizes)
    sizes = vocabulary.schema.vocabulary_sizes
    # A new value starts as what it was until now.
    sources = np.where(is_new, np.repeat(first_rows + OOV_ID, sizes), rows)
    grown = with_rows(model, vocabulary.schema, sources)
    if model.compiled:
        with grown.distribute_strategy.scope():
            grown.compile_from_config(model.get_compile_config())
            _carry_state(model, grown, sources, is_new)
    return grown


def _rows(
    model: CTRModel, vocabulary: Vocabulary, previous: Vocabulary | None
) -> Array:
    """For each row of the new table, its row in the model's, or `_NO_ROW`."""
    schema = model.schema
    if previous is not None:
        _check_previous(schema, vocabulary, previous)
    parts = []
    first_rows = _first_rows(schema.vocabulary_sizes)
    for owner, first_row in zip(schema.table_fields, first_rows, strict=True):
        if previous is None:
            ids = _same_ids(owner, vocabulary)
        else:
            ids = _ids_by_value(owner, vocabulary, previous)
        parts.append(np.where(ids == _NO_ROW, ids, first_row + ids))
    return np.concatenate(parts)


def _same_ids(owner: Field, vocabulary: Vocabulary) -> Array:
    """Where the vocabulary begins with the model's ids."""
    before = owner.vocabulary_size or 0
    now = vocabulary.schema.field(owner.name).vocabulary_size or 0
    statistics = vocabulary.statistics.get(owner.name, {})
    if before not in statistics.get(EARLIER_SIZES, [now]):
        raise UserError(
            "`vocabulary` must be the vocabulary of the model, with the "
            f"values of later days appended. Received: {now} ids of "
            f"'{owner.name}', where the model has {before}, and the first "
            f"{before} of them differ. Prepare the new data with "
            "`prepare(extends=vocabulary of the model)`; where values were "
            "evicted, pass `previous`, the vocabulary that the model was "
            "made for.",
            argument="vocabulary",
        )
    ids = np.arange(now)
    return np.where(ids < before, ids, _NO_ROW)


def _ids_by_value(
    owner: Field, vocabulary: Vocabulary, previous: Vocabulary
) -> Array:
    if not owner.is_counted:
        return np.arange(owner.vocabulary_size or 0)
    before, now = (
        pa.array(each.values[owner.name], pa.large_string())
        for each in (previous, vocabulary)
    )
    # OOV, missing.
    first = vocabulary.first_id(vocabulary.schema.field(owner.name))
    found = pc.index_in(now, value_set=before)
    places = pc.fill_null(found, _NO_ROW - first).to_numpy() + first
    return np.concatenate([np.arange(first), places])


def _check_previous(
    schema: Any, vocabulary: Vocabulary, previous: Vocabulary
) -> None:
    if previous.schema.to_dict() != schema.to_dict():
        raise UserError(
            "`previous` must be the vocabulary that the model was made for. "
            "Received one whose schema differs from the model's.",
            argument="previous",
        )
    for field in schema.fields:
        for name in field.needed_statistics:
            old, new = (
                each.statistics[field.name].get(name)
                for each in (previous, vocabulary)
            )
            if old != new:
                raise UserError(
                    f"`vocabulary` must keep the {name} of '{field.name}', "
                    f"with which the model was trained: {old}. Received: "
                    f"{new}. Make it with `Vocabulary.extended`.",
                    argument="vocabulary",
                )


def _first_rows(sizes: Any) -> Array:
    return np.array([0, *accumulate(sizes)][:-1])


def _carry_state(
    model: CTRModel, grown: CTRModel, sources: Array, is_new: Array
) -> None:
    """Let the grown model's optimizer go on where the model's stopped."""
    before, now = model.optimizer, grown.optimizer
    added = _state_of_added(model, grown, is_new)
    for source, target in zip(before.variables, now.variables, strict=True):
        value = ops.convert_to_numpy(source)
        if has_rows(source, model):
            value = value[sources]
            if id(target) in added:
                value[is_new] = added[id(target)]
            elif "average" not in target.path:
                # As a new optimizer has it; averages are weights themselves.
                value[is_new] = ops.convert_to_numpy(target)[is_new]
        target.assign(value)


def _state_of_added(
    model: CTRModel, grown: CTRModel, is_new: Array
) -> dict[int, Array]:
    """By the variable of the state, what lazy rules want of new rows."""
    # keras.optimizers.LossScaleOptimizer stands around another.
    before, now = (
        getattr(each.optimizer, "inner_optimizer", each.optimizer)
        for each in (model, grown)
    )
    if not (
        isinstance(before, LazyOptimizer) and isinstance(now, LazyOptimizer)
    ):
        return {}
    tables = [
        pair
        for pair in zip(
            model.trainable_variables, grown.trainable_variables, strict=True
        )
        if has_rows(pair[0], model)
    ]
    return {
        id(now.state_of(new)): _of_blocks(
            model,
            grown,
            is_new,
            (ops.convert_to_numpy(before.state_of(old)), new, now),
        )
        for old, new in tables
    }


def _of_blocks(
    model: CTRModel,
    grown: CTRModel,
    is_new: Array,
    of_table: tuple[Array, Any, LazyOptimizer],
) -> Array:
    """(new rows, state columns), block after block."""
    known, table, optimizer = of_table
    values = ops.convert_to_numpy(table)
    parts = [known[:0]]
    begin = start = 0
    for size, other_size in zip(
        model.schema.vocabulary_sizes,
        grown.schema.vocabulary_sizes,
        strict=True,
    ):
        own, stop = known[begin : begin + size], start + other_size
        added = values[start:stop][is_new[start:stop]]
        if len(added):
            parts.append(optimizer.state_of_added(table, added, own))
        begin, start = begin + size, stop
    return np.concatenate(parts)
