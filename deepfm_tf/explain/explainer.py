"""Predictions taken apart: what each field and pair adds to the logit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.explain.attributions import Attributions
from deepfm_tf.explain.model_terms import ModelTerms
from deepfm_tf.explain.names import FeatureNames
from deepfm_tf.models import CTRModel

# Rows that `explain` takes at a time.
BATCH_ROWS = 256
# Pieces of the line that are computed at a time, so that one row alone is a
# batch; and points, so that many rows still fit into memory.
_PIECES, MAX_POINTS = 16, 2**14
# The steps of a row may double five times.
_MOST_STEPS = 32


class Explainer:
    """Splits a model's logits into the terms that they are the sum of.

        logit = bias + sum_i w_i x_i + sum_{i<j} <v_i, v_j> x_i x_j
                + deep(mean vectors) + sum_i deep_i

    The terms of first and second order are the model's own. The pyramid's
    part has no closed form per field: it is its value at the `baseline`, all
    fields at their mean vectors over the background data, and for each field
    the integrated gradient along the straight line from there to the
    example's vectors `e`,

        deep_i = (e_i - m_i) . integral_0^1 d deep / d e_i (m + t (e - m)) dt

    NFM has no pair terms: its pairs go through the pyramid, where no pair has
    a term of its own; they are part of `deep_i`.

    The integral is a sum over `steps` pieces. In each, the mean of the
    gradients at both ends is weighted such that the piece adds up to what the
    pyramid changes by, if any mean does. That is exact where a piece has one
    kink of a ReLU at most, and closer than equal weights elsewhere. Rows that
    are off by more than `tolerance` go again in pieces half as long, up to
    five times. What then is left over stands in `completeness_error`.

    Args:
        model: a model of this package, or one of your own that declares how it
            is taken apart (see `CTRModel`).
        background: `tf.data.Dataset` of packed inputs, with or without
            labels; some thousand training rows do. Models with a pyramid
            need it, others do not look at it. The mean vectors are taken
            now: make an Explainer of a trained model.
        steps: int. Pieces of the line, for a start. Defaults to 64.
        tolerance: float. What the terms of the pyramid may miss its value by,
            in logits. Defaults to 1e-4. Float32 cannot keep less than 1e-5.

    Call arguments:
        packed: the packed inputs, see `CTRModel`. A graph function: usable
            in `tf.function`; `export_saved_model(explainer=…)` makes it a
            signature.

    Returns:
        A dict of float32 tensors: `"logit"` (batch,), the model's own, after
        the correction for sampled negatives (its sigmoid is the model's
        probability);
        a `Calibration` of the export comes after it, and its `probability` is
        no longer that sigmoid;
        `"bias"` and `"baseline"` (batch,), the same for all rows;
        `"first_order"` (batch, fields);
        `"pairs"` (batch, pairs), in the order of `itertools.combinations` of
        the fields, none if the model has no such terms; `"deep"` (batch,
        fields); `"contributions"` (batch, fields), all terms of a field with
        half of those of its pairs; `"completeness_error"` (batch,), the logit
        less the sum of all terms. Fields are those of
        `schema.embedded_fields`.

    Raises:
        ValueError: a model with a pyramid gets no `background`.

    Example:

    >>> import numpy as np
    >>> from deepfm_tf import FM, CategoricalField, Explainer, Schema
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=5),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> model = FM(Schema(fields, label="click"), embedding_dim=4)
    >>> explainer = Explainer(model)
    >>> terms = explainer({"ids": np.array([[2, 23], [4, -1]])})
    >>> {name: tuple(term.shape) for name, term in terms.items()}["pairs"]
    (2, 1)
    >>> explanation = explainer.explain({"ids": np.array([[2, 23]])})
    >>> explanation.labels
    (('site=#2', 'hour=#23'),)

    Reference:
        [Sundararajan et al., 2017](https://arxiv.org/abs/1703.01365),
        equations 1 and 3.
    """

    def __init__(
        self,
        model: CTRModel,
        background: Any = None,
        steps: int = 64,
        tolerance: float = 1e-4,
    ) -> None:
        if not isinstance(steps, int) or steps < 1:
            raise UserError(
                f"`steps` must be a positive integer. Received: steps={steps}."
            )
        if not tolerance > 0:
            raise UserError(
                "`tolerance` must be positive. Received: "
                f"tolerance={tolerance}."
            )
        self.model_terms = ModelTerms(model)
        self.steps = steps
        self.tolerance = tolerance
        self.mean_vectors: Array | None = None
        if self.model_terms.has_deep:
            if background is None:
                raise UserError(
                    "`background` must be given for a model with a pyramid: "
                    "its contribution is explained relative to the mean "
                    "embeddings of these data. Pass a tf.data.Dataset of "
                    "training rows."
                )
            self.mean_vectors = _mean_vectors(self.model_terms, background)
        self._function = self.model_terms.traced(self.__call__)

    def explain(
        self, packed: Mapping[str, Any], vocabulary: Any = None
    ) -> Attributions:
        """Explain some rows, in memory and with names.

        Args:
            packed: the packed inputs of the rows, such as `deepfm_tf.encode`
                gives.
            vocabulary: names of the ids: a Vocabulary, or a mapping of field
                names to sequences, where position i names id i.

        Raises:
            ValueError: other columns than the packed inputs, or no rows.
        """
        self._check_packed(packed)
        packed = {name: np.asarray(value) for name, value in packed.items()}
        num_rows = len(next(iter(packed.values())))
        if not num_rows:
            raise UserError("`packed` must hold at least one row to explain.")
        blocks = []
        for start in range(0, num_rows, BATCH_ROWS):
            terms = self._function(
                {k: v[start : start + BATCH_ROWS] for k, v in packed.items()}
            )
            blocks.append(
                {name: np.array(term) for name, term in terms.items()}
            )
        terms = {
            name: np.concatenate([block[name] for block in blocks])
            for name in blocks[0]
            if name != "contributions"
        }
        names = FeatureNames(self.model_terms.schema, vocabulary)
        return Attributions(
            fields=self.model_terms.fields,
            labels=names.examples(packed),
            bias=float(terms.pop("bias")[0]),
            baseline=float(terms.pop("baseline")[0]),
            **terms,
        )

    def _check_packed(self, packed: Any) -> None:
        wanted = list(self.model_terms.model.input)
        # A DataFrame has keys, too: its columns.
        keys = list(packed.keys()) if hasattr(packed, "keys") else None
        if keys is not None and set(wanted) <= set(keys):
            return
        received = type(packed).__name__
        if keys is not None:
            received += f" with {', '.join(map(str, keys[:8]))}"
            received += ", …" * (len(keys) > 8)
        raise UserError(
            "`packed` must hold the packed inputs of the model, "
            f"{', '.join(wanted)}. Received: {received}. Make them of raw "
            "rows with deepfm_tf.encode(rows, vocabulary)."
        )

    # It has no Python control flow of tensors to convert, which would take a
    # `tf.function` of yours longer than the rest of its trace.
    @tf.autograph.experimental.do_not_convert
    def __call__(self, packed: Mapping[str, Any]) -> dict[str, tf.Tensor]:
        model_terms = self.model_terms
        vectors, first_order = model_terms.pooled(packed)
        batch = tf.shape(first_order)[0]
        pairs = tf.zeros((batch, 0))
        if self.pair_names:
            pairs = model_terms.pairs(vectors)
        baseline, deep = tf.zeros(()), tf.zeros_like(first_order)
        if model_terms.has_deep:
            baseline, deep = self._integrated_gradients(vectors)
        contributions = first_order + deep
        if pairs.shape[1]:
            contributions += 0.5 * tf.matmul(pairs, self._pair_ends())
        logit = model_terms.logits(packed)
        # One a row, as a server's row format asks for.
        bias, baseline = (
            tf.fill(tf.shape(logit), x) for x in (model_terms.bias, baseline)
        )
        total = bias + baseline + tf.reduce_sum(first_order + deep, 1)
        return {
            "logit": logit,
            "bias": bias,
            "baseline": baseline,
            "first_order": first_order,
            "pairs": pairs,
            "deep": deep,
            "contributions": contributions,
            "completeness_error": logit - total - tf.reduce_sum(pairs, 1),
        }

    @property
    def pair_names(self) -> list[tuple[str, str]]:
        """The fields of each column of `"pairs"`."""
        fields, model_terms = self.model_terms.fields, self.model_terms
        return [
            (fields[i], fields[j])
            for i, j in model_terms.pair_fields
            if model_terms.has_pairs
        ]

    def _pair_ends(self) -> Array:
        """(pairs, fields): 1 where a field is one of the pair."""
        ends = np.zeros(
            (len(self.model_terms.pair_fields), len(self.model_terms.fields)),
            np.float32,
        )
        for number, pair in enumerate(self.model_terms.pair_fields):
            ends[number, list(pair)] = 1
        return ends

    def _integrated_gradients(
        self, vectors: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The pyramid at the mean vectors, and (batch, fields) the rest."""
        # One point for all rows, and there also if there are no rows.
        mean_vectors = tf.constant(self.mean_vectors)[None]
        baseline = self.model_terms.deep(mean_vectors)[0]
        target = self.model_terms.deep(vectors) - baseline

        def take_pieces(
            steps: Any, deep: Any, is_off: Any
        ) -> tuple[Any, Any, Any]:
            rows = tf.where(is_off)
            chosen = tf.gather(vectors, rows[:, 0])
            better = self._sum_of_pieces(chosen, steps)
            deep = tf.tensor_scatter_nd_update(deep, rows, better)
            error = tf.abs(target - tf.reduce_sum(deep, axis=1))
            return 2 * steps, deep, error > self.tolerance

        limit = _MOST_STEPS * self.steps
        _, deep, _ = tf.while_loop(
            lambda steps, _, is_off: (steps <= limit) & tf.reduce_any(is_off),
            take_pieces,
            (
                tf.constant(self.steps),
                tf.zeros_like(vectors[:, :, 0]),
                tf.ones_like(target, tf.bool),
            ),
        )
        return baseline, deep

    def _sum_of_pieces(self, vectors: tf.Tensor, steps: Any) -> tf.Tensor:
        """The integrated gradients of (batch, fields, k), (batch, fields)."""
        # (batch, fields, k)
        way = vectors - self.mean_vectors
        rows = tf.maximum(tf.shape(vectors)[0], 1)
        pieces = tf.clip_by_value(MAX_POINTS // rows, 1, _PIECES)

        def add_pieces(start: Any, total: Any) -> tuple[Any, Any]:
            ends = tf.minimum(start + tf.range(pieces + 1), steps)
            # (ends,): where on the line, from 0 to 1
            where = tf.cast(ends, tf.float32) / tf.cast(steps, tf.float32)
            # (batch * ends, fields, k)
            points = vectors[:, None] + way[:, None] * (
                where[:, None, None] - 1.0
            )
            points = tf.reshape(points, (-1, *vectors.shape[1:]))
            with tf.GradientTape() as tape:
                tape.watch(points)
                values = self.model_terms.deep(points)
            slopes = tape.gradient(values, points)
            # (batch, ends), then (batch, ends, fields)
            values = tf.reshape(values, (-1, pieces + 1))
            slopes = tf.reshape(slopes, (-1, pieces + 1, *vectors.shape[1:]))
            slopes = tf.reduce_sum(slopes * way[:, None], axis=3)
            # Past the end of the line pieces have no length and add nothing.
            lengths = (where[1:] - where[:-1])[:, None]
            left, right = slopes[:, :-1] * lengths, slopes[:, 1:] * lengths
            left_sum, right_sum = (tf.reduce_sum(x, 2) for x in (left, right))
            change = values[:, 1:] - values[:, :-1]
            share = tf.math.divide_no_nan(
                change - right_sum, left_sum - right_sum
            )
            share = tf.clip_by_value(share, 0.0, 1.0)[:, :, None]
            total += tf.reduce_sum(share * left + (1.0 - share) * right, axis=1)
            return start + pieces, total

        _, total = tf.while_loop(
            lambda start, _: start < steps,
            add_pieces,
            (tf.constant(0), tf.zeros_like(way[:, :, 0])),
        )
        return total


def _mean_vectors(model_terms: ModelTerms, background: Any) -> Array:
    """(fields, k) float32: the mean embedding of each field."""
    pool = model_terms.traced(lambda packed: model_terms.pooled(packed)[0])
    total, num_rows = 0.0, 0
    for packed in model_terms.batches(background):
        vectors = pool(packed).numpy()
        total = total + vectors.sum(axis=0, dtype=np.float64)
        num_rows += len(vectors)
    return np.asarray(total / num_rows, np.float32)
