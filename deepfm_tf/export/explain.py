"""The signature that says what each field added to a prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.calibration import Calibration
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.explain import Explainer
from deepfm_tf.export.requests import Request
from deepfm_tf.export.scoring import to_probability
from deepfm_tf.export.signatures import (
    PREDICT,
    Defaults,
    Encode,
    Signature,
    Tensors,
    column_specification,
    fill_rows,
    matrix_specification,
    to_matrices,
    traced,
)

# Terms of fields or pairs in an answer, as far as the model has them.
_TERMS = ("contributions", "first_order", "deep", "pairs")
# What sums in another order make of a term, of its size.
_ROUNDING = 1e-4

_NOTE = (
    "bias, baseline and the contributions of all fields add up to logit, the "
    "model's own; probability is its sigmoid or, where there is a calibration, "
    "what that makes of it."
)


def explain_signature(
    encode: Encode,
    explainer: Explainer,
    defaults: Defaults,
    calibration: Calibration | None = None,
) -> Signature:
    """`explain`: what `serving_default` takes to the terms of its logit.

    Args:
        encode: see `traced_encode`.
        explainer: of the model that is exported.
        defaults: field name -> value where a request leaves the field out.
        calibration: what the probability goes through, unlike the logit.
    """
    model_terms = explainer.model_terms
    schema = model_terms.schema
    names = schema.signature_names

    @traced([matrix_specification(schema.fields)])
    def terms_of(raw: Tensors) -> Tensors:
        terms = explainer(encode(raw))
        if not explainer.pair_names:
            terms.pop("pairs")
        if not model_terms.has_deep:
            terms.pop("deep")
        probability = to_probability(terms["logit"], calibration)
        return {"probability": probability, **terms}

    @tf.function(
        input_signature=[column_specification(schema.fields, names)],
        autograph=False,
    )
    def explain(raw: Tensors) -> Tensors:
        columns = {f.name: raw[names[f.name]] for f in schema.fields}
        columns = fill_rows(columns, defaults)
        terms: dict[str, Any] = terms_of(to_matrices(columns, schema.fields))
        return terms

    named = {names[name]: value for name, value in defaults.items()}
    return Signature("explain", PREDICT, explain, named)


def columns_of_terms(explainer: Explainer) -> dict[str, Any]:
    """The columns of the terms in order, for the model card."""
    return {
        "note": _NOTE,
        "fields": list(explainer.model_terms.fields),
        "pairs": [list(pair) for pair in explainer.pair_names],
    }


def check_terms(
    explainer: Explainer, request: Request, outputs: Mapping[str, Array]
) -> None:
    """Raise RuntimeError unless the terms are the Explainer's own.

    Args:
        explainer: of the model.
        request: one to `explain`.
        outputs: what the signature answered.
    """
    expected = explainer.explain(request.rows.packed)
    for name in _TERMS:
        if name not in outputs:
            continue
        terms = getattr(expected, name)
        # Rows that end just within the tolerance in one of the two may take
        # shorter steps in the other.
        allowed = 2 * explainer.tolerance + _ROUNDING * np.abs(terms).max()
        difference = np.abs(outputs[name] - terms).max()
        if not difference <= allowed:
            raise RuntimeError(
                "The SavedModel must explain as the Explainer does; nothing "
                f"was published. Received from the signature 'explain': "
                f"`{name}` that differ by {difference}, where {allowed:.1e} "
                "would be rounding. Please report this."
            )


def check_explainer(
    explainer: Explainer | None, model: Any, table_dtype: str | None
) -> None:
    """Raise for an explainer that does not fit the export."""
    if explainer is None:
        return
    if not isinstance(explainer, Explainer):
        raise UserTypeError(
            "`explainer` must be a deepfm_tf.Explainer of the model, or None. "
            f"Received: {type(explainer).__name__}."
        )
    if explainer.model_terms.model is not model:
        raise UserError(
            "`explainer` must explain the model that is exported, but was "
            "made for another one. Pass deepfm_tf.Explainer(model, "
            "background)."
        )
    if table_dtype is not None:
        raise UserError(
            "`explainer` explains the model with its table as trained, so "
            "the terms would not add up to what a table in 16 bits gives. "
            f"Leave one of the two out. Received: table_dtype={table_dtype!r}."
        )
