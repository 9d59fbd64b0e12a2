"""A model and its preprocessing as one SavedModel for TensorFlow Serving."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.calibration import Calibration
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.explain import Explainer
from deepfm_tf.explain.model_terms import ModelTerms, missing_declarations
from deepfm_tf.export.check import (
    Reference,
    check,
    compare,
    probabilities,
)
from deepfm_tf.export.explain import check_explainer, explain_signature
from deepfm_tf.export.fields import fields_signature, make_fields_request
from deepfm_tf.export.kept_model import keep_model, table_of
from deepfm_tf.export.model_card import write_model_card
from deepfm_tf.export.publish import prune, publish, unpublished
from deepfm_tf.export.rank import rank_signatures
from deepfm_tf.export.requests import (
    Rows,
    make_explain_request,
    make_rank_requests,
    make_requests,
    make_unseen_request,
)
from deepfm_tf.export.scoring import Score, make_score
from deepfm_tf.export.signatures import signatures, traced_encode, write
from deepfm_tf.export.table_dtype import (
    check_table_dtype,
    cost_of_rounding,
    rounded_table,
)
from deepfm_tf.export.unseen import unseen_signature
from deepfm_tf.export.warm_up import (
    WARM_UP_ROWS,
    check_warm_up_rows,
    chosen_for_warm_up,
    write_warm_up,
)
from deepfm_tf.kernels import on_cpu
from deepfm_tf.lookup import GraphLookup, raw_dtype
from deepfm_tf.models import CTRModel
from deepfm_tf.pruning import prune_untrained as without_untrained
from deepfm_tf.schema import Schema
from deepfm_tf.vocabulary import Vocabulary

_CHECKED_ROWS = (1, 10, 100)


def export_saved_model(
    model: CTRModel,
    vocabulary: Vocabulary,
    directory: str | Path,
    *,
    context_fields: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    keep_versions: int | None = None,
    table_dtype: str | None = None,
    calibration: Calibration | None = None,
    explainer: Explainer | None = None,
    warm_up_rows: Sequence[int] = WARM_UP_ROWS,
    warm_up_rank: bool = True,
    prune_untrained: bool = False,
    evaluation_data: Any = None,
    metrics: Mapping[str, Any] | None = None,
    data_fingerprint: str | None = None,
    trained_files: Sequence[str] = (),
) -> Path:
    """Write the next version of a servable that takes raw values.

    Its signatures, all but the last two of which give the model's probability
    of a click:

    - `serving_default` takes each field under its own name (or what
      `schema.signature_names` makes of it, where TensorFlow does not allow
      the name), shape `(batch,)`: strings for categorical and multi-valued
      fields, float32 for numeric and bucketized ones; the empty string, NaN
      and infinities are missing. It returns `probability`, shape `(batch,)`,
      float32.
    - `packed` takes the same values as two matrices, which costs a server
      much less than an input for each field: `texts` (batch, categorical and
      multi-valued fields) string and `numbers` (batch, numeric and bucketized
      fields) float32, columns in schema order, each input only if it has
      columns. It returns `probability`, shape `(batch,)`.
    - `ids` takes what the model takes (`Vocabulary.encode`), for callers who
      look up values themselves: `ids`, `values` and `weights`. It returns
      `probability`, shape `(batch,)`.
    - `classify` and `regress` take serialized `tf.train.Example`s, features
      called like the fields or their inputs: a bytes list of one text, or a
      float list of one number; an absent feature is missing. They return
      `classes` (batch, 2), "0" and "1", with their `scores` (batch, 2); and
      `outputs` (batch,).
    - `rank`, only with `context_fields`, takes what `serving_default` takes,
      but one value, shape `(1,)`, for each field of the context, and one for
      each of N candidates, shape `(N,)`, for the other fields. It returns
      `probability`, shape `(N,)`. What depends on the context alone is
      computed once. `packed_rank` is the same from matrices: `texts` and
      `numbers` of the candidates, `context_texts` and `context_numbers` of
      one row, each only if it has columns.
    - `explain`, only with `explainer`, takes what `serving_default` takes. It
      returns, all float32, `probability`, `logit`, `bias`, `baseline` and
      `completeness_error`, shape `(batch,)`, `contributions`, `first_order`
      and `deep` (batch, fields), `pairs` (batch, pairs): see `Explainer`; the
      last two only if the model has such terms. `bias + baseline +
      sum(contributions) + completeness_error = logit`, and the probability is
      the logit's sigmoid, or what a calibration makes of that. The model card
      names the columns, under `explain`.
    - `unseen` takes what `serving_default` takes. It returns `values`, how
      many values a row has of each field, 0 where it is missing, and `unseen`,
      how many of these training never saw: outside the vocabulary, or beyond
      the range of its numbers. Both (batch, fields) int32, in schema order.
    - `fields` takes anything, `rows`, shape `(batch,)` string, and returns
      `fields`, shape `(batch,)` string: JSON that says for each field which
      input it has, how its values are read, and how many are missing and
      unseen by training. `PredictClient` asks it once for each version.

    Before anything is published, the SavedModel is loaded again, and every
    signature is compared with the model, both on the CPU, on rows with known,
    unseen and missing values, in batches of 1, 10 and 100. Requests that were
    checked lie beside it for TensorFlow Serving to warm up with. It appears
    under its version number all at once, so that a server that polls the
    directory never sees half of it.

    `assets.extra/model_card.json` says what is in a version, and where it
    comes from.

    Args:
        model: a trained model.
        vocabulary: the Vocabulary that its training data was prepared with.
        directory: TF Serving's `model_base_path`, such as
            `saved_models/deepfm`.
        context_fields: names of the fields that describe the context of a
            request (the user, the page, the hour) and not the candidate.
            Defaults to none: there is no signature `rank`.
        defaults: field name -> value (text or number) where a request to
            `serving_default` or `rank` leaves the field out, or an Example
            does; so that clients which do not know a new field yet keep
            working. Defaults to none.
        keep_versions: int. After publishing, remove the oldest versions so
            that this many are left. Defaults to None: remove none.
        table_dtype: `"bfloat16"` or `"float16"`, to store the shared table
            in 16 bits: half the size, and somewhat other probabilities. The
            model card says how far they move. Defaults to None: as trained.
        calibration: what `fit_calibration` made of this model's probabilities
            of held-out rows. It becomes part of the graph, behind the
            correction for sampled negatives: every signature then gives
            calibrated probabilities. It lies in the model card too. Defaults
            to None: the model's own.
        explainer: an `Explainer` of this model, for the signature `explain`.
            With a pyramid 100 rows take about ten times as long as their
            predictions. Not with `table_dtype`. Defaults to None: no such
            signature.
        warm_up_rows: numbers of rows of the requests that a server replays
            before it serves the version; none means no such requests. A
            server with `--enable_batching` never serves a version of which
            one has more rows than its `max_batch_size`. Defaults to
            `(1, 10, 100)`.
        warm_up_rank: bool. Whether requests to `rank` and `packed_rank` are
            among them. A server with `--enable_batching` refuses their inputs
            of unequal numbers of rows, and so the version: give False for it.
            Defaults to True.
        prune_untrained: bool. Whether values whose rows training has never
            touched become OOV, so that the table is smaller: see
            `deepfm_tf.pruning`. Not with `explainer`. Defaults to False.
        evaluation_data: `tf.data.Dataset` of `(inputs, label)`, to measure
            what `table_dtype` costs, log loss included. Defaults to the rows
            of the comparison, without the log loss.
        metrics: name -> number, for the model card.
        data_fingerprint: of the training data (`PreparedData.fingerprint`),
            for the model card.
        trained_files: digests of the files of all days that it was trained on
            (`PreparedData.sources`), for the model card.

    Returns:
        Path of the new version, `<directory>/<version>`.

    Raises:
        ValueError: the vocabulary is not the model's, a weight is NaN, or an
            option does not fit the schema.
        RuntimeError: the SavedModel does not agree with the model.

    Example:

    >>> import tempfile
    >>> from deepfm_tf import CategoricalField, DeepFM, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> vocabulary = fit_vocabulary(data, schema)
    >>> model = DeepFM(vocabulary.schema)
    >>> export_saved_model(model, vocabulary, tempfile.mkdtemp()).name
    '1'
    """
    defaults = dict(defaults or {})
    context_fields = tuple(context_fields)
    _check_arguments(model, vocabulary)
    _check_context_fields(context_fields, vocabulary.schema)
    _check_defaults(defaults, context_fields, vocabulary.schema)
    _check_keep_versions(keep_versions)
    check_table_dtype(table_dtype, evaluation_data)
    if not isinstance(calibration, Calibration | None):
        raise UserTypeError(
            "`calibration` must be what `fit_calibration` gave, or None. "
            f"Received: {type(calibration).__name__}."
        )
    check_explainer(explainer, model, table_dtype)
    pruned = None
    if prune_untrained:
        _check_not_explained(explainer)
        pruned = without_untrained(model, vocabulary)
        model, vocabulary = pruned.model, pruned.vocabulary
    warm_up_rows = check_warm_up_rows(warm_up_rows)
    if (table_dtype or context_fields) and not model.can_be_taken_apart:
        raise UserError(
            "`table_dtype` and `context_fields` need a model that declares "
            "the terms of its logits (see CTRModel). Received: "
            f"{type(model).__name__}{missing_declarations(model)}."
        )
    if model.can_be_taken_apart and explainer is None:
        # Refuses one whose declared terms are not those of its logits, as the
        # explainer did.
        ModelTerms(model)
    directory = Path(directory)
    schema = vocabulary.schema
    table = None if table_dtype is None else rounded_table(model, table_dtype)
    with on_cpu(), unpublished(directory) as temporary:
        saved_model = temporary / "saved_model"
        lookup = GraphLookup(vocabulary, temporary / "vocabulary.txt")
        encode = traced_encode(lookup, schema)
        chosen = signatures(model, encode, defaults, table, calibration)
        if context_fields:
            chosen += rank_signatures(
                model, lookup, context_fields, defaults, table, calibration
            )
        if explainer is not None:
            chosen.append(
                explain_signature(encode, explainer, defaults, calibration)
            )
        chosen += [
            unseen_signature(encode, vocabulary, defaults),
            fields_signature(vocabulary, defaults),
        ]
        kept = table_of(model) if table is None else table
        write(chosen, lookup, saved_model, kept)
        keep_model(model, vocabulary, saved_model)
        sizes = sorted({*_CHECKED_ROWS, *warm_up_rows})
        rows = Rows.make(vocabulary, max(sizes))
        requests = [make_fields_request(rows)]
        for size in sizes:
            requests += make_requests(rows, schema, defaults, size)
            requests.append(make_unseen_request(rows, schema, size))
            if context_fields:
                requests += make_rank_requests(vocabulary, context_fields, size)
            if explainer is not None:
                requests.append(make_explain_request(rows, schema, size))
        write_warm_up(requests, directory.name, saved_model)
        reference: Reference = functools.partial(probabilities, model)
        card_of_table: dict[str, Any] = {"dtype": table_dtype or "float32"}
        if table is not None:
            # The same sums from the exact table must be the model's.
            exact = _eager(make_score(model))
            last = requests[-1]
            compare(reference, last, exact(last.rows.packed))
            reference = _eager(make_score(model, table))
            batches = evaluation_data
            if batches is None:
                batches = [(rows.packed, None)]
            elif pruned is not None:
                batches = pruned.encoded(batches)
            card_of_table |= cost_of_rounding(
                exact, reference, batches, calibration
            )
        check(
            *(reference, requests, saved_model),
            *(calibration, explainer, vocabulary),
        )
        warm_up = chosen_for_warm_up(requests, warm_up_rows, warm_up_rank)
        write_warm_up(warm_up, directory.name, saved_model)
        write_model_card(
            model,
            vocabulary,
            saved_model,
            defaults=defaults,
            context_fields=context_fields,
            table=card_of_table,
            warm_up=warm_up,
            calibration=calibration,
            metrics=metrics,
            data_fingerprint=data_fingerprint,
            trained_files=trained_files,
            explainer=explainer,
        )
        path = publish(saved_model, directory)
        if keep_versions is not None:
            prune(path, keep_versions, temporary)
    return path


def _eager(score: Score) -> Reference:
    """A score for arrays, compiled."""
    compiled = tf.function(score, autograph=False, reduce_retracing=True)
    return lambda packed: compiled(
        {name: tf.convert_to_tensor(array) for name, array in packed.items()}
    ).numpy()


def _check_arguments(model: CTRModel, vocabulary: Vocabulary) -> None:
    if not isinstance(model, CTRModel):
        raise UserTypeError(
            "`model` must be a model of this package. Received: "
            f"{type(model).__name__}."
        )
    if not isinstance(vocabulary, Vocabulary):
        raise UserTypeError(
            "`vocabulary` must be the Vocabulary of the prepared training data "
            "(`prepared.vocabulary`). Received: "
            f"{type(vocabulary).__name__}."
        )
    if model.schema.to_dict() != vocabulary.schema.to_dict():
        raise UserError(
            "`vocabulary` must be the one the model was built for: "
            "`vocabulary.schema` and `model.schema` differ. Pass the "
            "vocabulary of the prepared training data."
        )
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise UserError(
                f"The weight '{weight.path}' must be finite to be served, but "
                "holds NaN or infinity: the model has diverged. Train with a "
                "smaller learning rate."
            )


def _check_not_explained(explainer: Explainer | None) -> None:
    if explainer is not None:
        raise UserError(
            "`prune_untrained` makes another model than the one that "
            "`explainer` explains. Leave one of the two out. Received: both."
        )


def _check_context_fields(
    context_fields: tuple[str, ...], schema: Schema
) -> None:
    names = {schema.field(name).name for name in context_fields}
    if len(names) == len(schema.fields):
        raise UserError(
            "`context_fields` must leave at least one field to the "
            f"candidates. Received: all of {list(context_fields)}."
        )


def _check_defaults(
    defaults: Mapping[str, Any],
    context_fields: tuple[str, ...],
    schema: Schema,
) -> None:
    for name, value in defaults.items():
        is_text = raw_dtype(schema.field(name)) == tf.string
        kinds = (str,) if is_text else (int, float, np.integer, np.floating)
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise UserError(
                f"The default of the field '{name}' must be "
                f"{'text' if is_text else 'a number'}, as its values are. "
                f"Received: {value!r}."
            )
    rows = {f.name for f in schema.fields} - {*context_fields}
    if rows <= defaults.keys():
        raise UserError(
            "At least one field of the candidates (without `context_fields`, "
            "one of all) must have no default: it says how many rows a "
            f"request has. Received: `defaults` for all of {sorted(rows)}."
        )


def _check_keep_versions(keep_versions: int | None) -> None:
    if keep_versions is not None and (
        not isinstance(keep_versions, int)
        or isinstance(keep_versions, bool)
        or keep_versions < 1
    ):
        raise UserError(
            "`keep_versions` must be a whole number of at least 1, or None to "
            f"keep all. Received: keep_versions={keep_versions!r}."
        )
