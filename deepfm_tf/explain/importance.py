"""What a model loses when a field's values are dealt out anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tqdm

from deepfm_tf.arrays import Array
from deepfm_tf.cpus import num_cpus
from deepfm_tf.errors import UserError
from deepfm_tf.explain.model_terms import ModelTerms
from deepfm_tf.html_table import html_table
from deepfm_tf.metrics import log_loss
from deepfm_tf.metrics.influence import auc_influence, variance_of_sum
from deepfm_tf.metrics.likelihood import row_losses
from deepfm_tf.metrics.logits import sigmoid
from deepfm_tf.metrics.rows import check_weight
from deepfm_tf.models import CTRModel
from deepfm_tf.models.batches import labelled_batches
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.seeds import check_seed
from deepfm_tf.text_table import text_table

# Half the width of a 95 % interval, in standard errors.
_MARGIN = 1.96
# Fields that a table shows.
_TOP = 20
# Fields measured at a time. TensorFlow spreads a wide pyramid over the cores by
# itself; threads fill them where it does not, and while ranks are counted.
_MOST_WORKERS = 4


@dataclasses.dataclass(frozen=True)
class Importance:
    """What `permutation_importance` gives. Drops are positive if it hurts.

    Args:
        fields: tuple of str. Names of the fields.
        auc, log_loss: float. Of the model on the rows as they are. These
            and all below are weighted, where the data set has weights.
        auc_drop: (fields,). AUC less the AUC with the field shuffled.
        auc_margin: (fields,). Half the width of its 95 % interval.
        log_loss_rise: (fields,). In nats: the log loss with the field
            shuffled less the log loss.
        log_loss_margin: (fields,). Half the width of its 95 % interval.
    """

    fields: tuple[str, ...]
    auc: float
    log_loss: float
    auc_drop: Array
    auc_margin: Array
    log_loss_rise: Array
    log_loss_margin: Array

    def ranking(self) -> list[dict[str, Any]]:
        """One dict a field, by log loss, the most important first."""
        order = np.argsort(-self.log_loss_rise, kind="stable")
        names = [f.name for f in dataclasses.fields(self)[3:]]
        return [
            {
                "field": self.fields[number],
                **{name: float(getattr(self, name)[number]) for name in names},
            }
            for number in order
        ]

    def table(self, top: int = _TOP) -> str:
        """The `top` most important fields as text."""
        return text_table(self._shown(top), decimals=4)

    def _repr_html_(self) -> str:
        """The table, for notebooks."""
        return html_table(self._shown(_TOP), decimals=4)

    def _shown(self, top: int) -> list[dict[str, Any]]:
        return [
            {
                "field": row["field"],
                "log loss rise": row["log_loss_rise"],
                "± log loss": row["log_loss_margin"],
                "AUC drop": row["auc_drop"],
                "± AUC": row["auc_margin"],
            }
            for row in self.ranking()[:top]
        ]


def permutation_importance(
    model: CTRModel,
    dataset: Any,
    *,
    repeats: int = 5,
    seed: int = 0,
    batch_size: int = 4096,
) -> Importance:
    """How much worse a model predicts without what one field says.

    Shuffles the values of a field among the rows, `repeats` times, and
    measures the mean loss of AUC and log loss. All ids of a
    multi-valued field move together, and its weights with them. Unlike the
    terms of the logit this sees all of a model, the pyramid too. Fields that
    say the same share the work: each alone may look unimportant.

    The intervals hold both the chance of the rows that were drawn (DeLong's
    variance of the paired AUCs, the variance of the paired losses) and that
    of the permutations, not the chance of training.

    The rows are held in memory, packed: four bytes a column. Each field is one
    pass of `repeats` times the rows through the model; fields go in parallel.

    Args:
        model: a model of this package.
        dataset: `tf.data.Dataset` of `(packed inputs, label)`, or of
            `(packed inputs, label, weight)` with example weights, that the
            model was not trained on. Weights stay with their rows: what is
            dealt out are the values of a field alone.
        repeats: int. Permutations of each field. Defaults to 5.
        seed: int. Decides the permutations, for each field by itself.
        batch_size: int. Rows that go through the model at a time.

    Raises:
        ValueError: `repeats` is not positive, or there are no rows.

    Example:

    >>> from deepfm_tf import CategoricalField, LogisticRegression, Schema
    >>> from deepfm_tf import dataset_from_ids
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=3),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> model = LogisticRegression(Schema(fields, label="click"))
    >>> _ = model.linear_term.first_order.embeddings.assign(
    ...     np.array([[0], [-3], [3]] + 24 * [[0]], "float32")
    ... )
    >>> ids = np.array([[1, 5], [2, 7]] * 50)
    >>> data = dataset_from_ids({"ids": ids}, [0, 1] * 50, model.schema)
    >>> importance = permutation_importance(model, data)
    >>> importance.auc, importance.auc_drop.round(1).tolist()
    (1.0, [0.5, 0.0])

    Reference:
        [Fisher et al., 2019](https://jmlr.org/papers/v20/18-760.html),
        section 3; [Breiman, 2001](https://doi.org/10.1023/A:1010933404324).
    """
    for name, value in (("repeats", repeats), ("batch_size", batch_size)):
        if not isinstance(value, int) or value < 1:
            raise UserError(
                f"`{name}` must be a positive integer. Received: "
                f"{name}={value!r}."
            )
    seed = check_seed(seed)
    model_terms = ModelTerms(model)
    rows, label, weight = _read(dataset)
    mass = np.ones(len(label)) if weight is None else weight
    mass = mass / mass.sum()
    predict = _Predictor(model_terms, batch_size)
    base = predict(rows)
    base_auc, base_parts = auc_influence(label, base, weight)
    base_losses = row_losses(label, sigmoid(base))
    layout = PackedLayout(model_terms.schema.fields)
    moving = [layout.columns(name) for name in model_terms.fields]

    def measure(number: int) -> list[float]:
        random = np.random.default_rng([seed, number])
        auc_drop = Drops(label, weight)
        # Each row is a group of its own, whatever its class.
        loss_rise = Drops(label, weight, np.arange(len(label)))
        for _ in range(repeats):
            order = random.permutation(len(label))
            logits = predict(rows, moving[number], order)
            area, parts = auc_influence(label, logits, weight)
            auc_drop.add(base_auc - area, base_parts - parts)
            rises = row_losses(label, sigmoid(logits)) - base_losses
            rise = float(mass @ rises)
            loss_rise.add(rise, mass * (rises - rise))
        return [*auc_drop.result(), *loss_rise.result()]

    results = []
    bar = tqdm.tqdm(
        total=len(moving),
        desc="Permuting",
        unit="field",
        delay=0.5,
        disable=None,
        leave=False,
    )
    workers = min(_MOST_WORKERS, num_cpus())
    with bar, ThreadPoolExecutor(workers) as pool:
        for result in pool.map(measure, range(len(moving))):
            results.append(result)
            bar.update()
    return Importance(
        model_terms.fields,
        base_auc,
        log_loss(label, sigmoid(base), weight),
        *np.transpose(results),
    )


class Drops:
    """Mean and margin of what a metric loses over some permutations.

    Args:
        label: (rows,).
        weight: (rows,), or None if all rows count alike.
        groups: see `variance_of_sum`; None for DeLong's variance of the AUC.
    """

    def __init__(
        self,
        label: Array,
        weight: Array | None = None,
        groups: Array | None = None,
    ) -> None:
        self._label, self._weight, self._groups = label, weight, groups
        self._parts = np.zeros(len(label))
        self._means: list[float] = []

    def add(self, drop: float, parts: Array) -> None:
        """What was lost, and each row's part in its deviation."""
        self._means.append(drop)
        self._parts += parts

    def result(self) -> tuple[float, float]:
        repeats = len(self._means)
        variance = variance_of_sum(
            self._parts / repeats, self._label, self._weight, self._groups
        )
        if repeats > 1:
            variance += float(np.var(self._means, ddof=1)) / repeats
        return float(np.mean(self._means)), _MARGIN * variance**0.5


class _Predictor:
    """Logits (rows,) float64 of packed rows in memory, batch by batch."""

    def __init__(self, model_terms: ModelTerms, batch_size: int) -> None:
        self._logits = model_terms.traced(model_terms.logits)
        self._batch_size = batch_size

    def __call__(
        self,
        rows: Mapping[str, Array],
        columns: Mapping[str, slice] | None = None,
        order: Array | None = None,
    ) -> Array:
        """With `columns`, these are taken from the rows that `order` names."""
        num_rows = len(next(iter(rows.values())))
        logits = np.empty(num_rows)
        for start in range(0, num_rows, self._batch_size):
            part = slice(start, start + self._batch_size)
            batch = {name: array[part] for name, array in rows.items()}
            if order is not None:
                for name, where in (columns or {}).items():
                    batch[name] = batch[name].copy()
                    batch[name][:, where] = rows[name][order[part], where]
            logits[part] = self._logits(batch).numpy()
        return logits


def _read(
    dataset: Any,
) -> tuple[dict[str, Array], Array, Array | None]:
    """Packed rows, labels and, where there are some, weights."""
    packed, labels, weights = [], [], []
    for inputs, label, *weight in labelled_batches(dataset):
        packed.append({name: x.numpy() for name, x in inputs.items()})
        labels.append(label.numpy()[:, 0])
        weights += [part.numpy().reshape(-1) for part in weight]
    if not labels:
        raise UserError("The data set to permute has no rows.")
    rows = {
        name: np.concatenate([part[name] for part in packed])
        for name in packed[0]
    }
    label = np.concatenate(labels)
    given = np.concatenate(weights) if weights else None
    return rows, label, check_weight(given, len(label), require_positive=True)
