"""The signatures that score many candidates in one context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from deepfm_tf.calibration import Calibration
from deepfm_tf.export.scoring import is_always_present, to_probability
from deepfm_tf.export.signatures import (
    PREDICT,
    Defaults,
    Signature,
    Tensors,
    column_specification,
    fill_rows,
    matrix_specification,
    to_matrices,
    traced,
)
from deepfm_tf.fields import Field
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.models import CTRModel, FieldTerms, JoinedTerms, add_terms
from deepfm_tf.schema import Schema

# Before the names of the context's matrices in `packed_rank`.
CONTEXT_PREFIX = "context_"


def rank_signatures(
    model: CTRModel,
    lookup: GraphLookup,
    context_fields: Sequence[str],
    defaults: Defaults,
    table: Any = None,
    calibration: Calibration | None = None,
) -> list[Signature]:
    """`rank` takes columns, `packed_rank` matrices; both give `(N,)`.

    What the context fields contribute (look-up, embeddings, their part of
    the sums and of the first hidden layer) is computed once a request.

    Args:
        model: a trained model.
        lookup: raw values to packed inputs.
        context_fields: names of the fields of the context; the others are
            the candidates'.
        defaults: field name -> value where a request leaves the field out.
        table: see `FieldTerms`.
        calibration: what all probabilities go through. Optional.
    """
    schema = model.schema
    names = schema.signature_names
    context, candidates = split_fields(schema, context_fields)
    context_terms, candidate_terms = (
        FieldTerms(
            model,
            [f.name for f in fields],
            table,
            is_always_present(schema, [f.name for f in fields]),
        )
        for fields in (context, candidates)
    )
    joined = JoinedTerms(model)
    matrices = matrix_specification(candidates) | {
        f"{CONTEXT_PREFIX}{name}": tf.TensorSpec(
            (1, spec.shape[1]), spec.dtype, name=f"{CONTEXT_PREFIX}{name}"
        )
        for name, spec in matrix_specification(context).items()
    }

    @traced([matrices])
    def score(raw: Tensors) -> tf.Tensor:
        shared = context_terms(
            lookup.encode(
                raw.get(f"{CONTEXT_PREFIX}texts"),
                raw.get(f"{CONTEXT_PREFIX}numbers"),
                context,
            )
        )
        terms = candidate_terms(
            lookup.encode(raw.get("texts"), raw.get("numbers"), candidates)
        )
        # (N, ...) + (1, ...)
        return to_probability(joined(add_terms(terms, shared)), calibration)

    @tf.function(
        input_signature=[
            column_specification(context, names, rows=1)
            | column_specification(candidates, names)
        ],
        autograph=False,
    )
    def rank(raw: Tensors) -> Tensors:
        columns = {f.name: raw[names[f.name]] for f in schema.fields}
        shared = to_matrices(columns, context)
        rows = {f.name: columns[f.name] for f in candidates}
        rows = to_matrices(fill_rows(rows, defaults), candidates)
        shared = {f"{CONTEXT_PREFIX}{k}": v for k, v in shared.items()}
        return {"probability": score(rows | shared)}

    @tf.function(input_signature=[matrices], autograph=False)
    def packed_rank(raw: Tensors) -> Tensors:
        return {"probability": score(raw)}

    named = {names[name]: value for name, value in defaults.items()}
    return [
        Signature("rank", PREDICT, rank, named),
        Signature("packed_rank", PREDICT, packed_rank),
    ]


def split_fields(
    schema: Schema, context_fields: Sequence[str]
) -> tuple[list[Field], list[Field]]:
    """The fields of the context and those of the candidates, in order."""
    return (
        [f for f in schema.fields if f.name in context_fields],
        [f for f in schema.fields if f.name not in context_fields],
    )
