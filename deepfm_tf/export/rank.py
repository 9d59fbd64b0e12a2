"""The signature that scores many candidates in one context."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from deepfm_tf.export.signatures import (
    PREDICT,
    Defaults,
    Signature,
    Tensors,
    column_specification,
    fill_rows,
)
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.models import CTRModel, FieldTerms


def rank_signature(
    model: CTRModel,
    lookup: GraphLookup,
    context_fields: Sequence[str],
    defaults: Defaults,
    table: Any = None,
) -> Signature:
    """`rank`: context fields `[1]`, candidate fields `[N]` -> `[N]`.

    What the context fields contribute (look-up, embeddings, their part of
    the sums and of the first hidden layer) is computed once a request.

    Args:
        model: a trained model.
        lookup: raw values to packed inputs.
        context_fields: names of the fields of the context; the others are
            the candidates'.
        defaults: field name -> value where a request leaves the field out.
        table: see `FieldTerms`.
    """
    schema = model.schema
    names = schema.signature_names
    context = [f for f in schema.fields if f.name in context_fields]
    candidates = [f for f in schema.fields if f.name not in context_fields]
    context_terms = FieldTerms(model, [f.name for f in context], table)
    candidate_terms = FieldTerms(model, [f.name for f in candidates], table)

    @tf.function(
        input_signature=[
            column_specification(context, names, rows=1)
            | column_specification(candidates, names)
        ],
        autograph=False,
    )
    def rank(raw: Tensors) -> Tensors:
        shared = context_terms(
            lookup({f.name: raw[names[f.name]] for f in context})
        )
        columns = {f.name: raw[names[f.name]] for f in candidates}
        terms = candidate_terms(lookup(fill_rows(columns, defaults)))
        # (1, ...) + (N, ...)
        terms = {name: term + shared[name] for name, term in terms.items()}
        logits = tf.reshape(model.from_terms(terms), [-1])
        return {"probability": keras.ops.sigmoid(logits)}

    named = {names[name]: value for name, value in defaults.items()}
    return Signature("rank", PREDICT, rank, named)
