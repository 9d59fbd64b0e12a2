"""Whether rows to be scored are like the training data."""

from __future__ import annotations

import collections
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.raw_values import cell_text
from deepfm_tf.serving.signature import ModelMetadata, ServedField
from deepfm_tf.shares import (
    LEAST_G,
    LEAST_G_OF_FAULTS,
    LEAST_GAP,
    LEAST_GAP_OF_FAULTS,
    is_far_above,
    percent,
    ratio,
)

# The signature that tells, its outputs, and rows of a block that it is asked
# about: enough for a share, and little beside the predictions.
SIGNATURE = "unseen"
_VALUES, _UNSEEN = "values", "unseen"
SAMPLE_ROWS = 1000
# Unseen texts that are kept of a field, and those that are shown.
_MOST_TEXTS, _SHOWN = 1000, 3
# Of the unseen values, if blanks are to be what is wrong.
_MOST_OF_THEM = 0.8


class Likeness:
    """Shares of missing and unseen values, against those of training.

    They are compared as `prepare` compares them: see `drift.compare_counts`.

    Args:
        metadata: of the model, which tells what training leads one to expect.
        signature: str. The one that scores the rows.
    """

    def __init__(self, metadata: ModelMetadata, signature: str) -> None:
        self._fields = metadata.fields.fields
        told = metadata.signatures.get(SIGNATURE)
        # Of another input the columns may mean something else.
        self.can_tell = (
            told is not None
            and set(told.outputs) == {_VALUES, _UNSEEN}
            and bool(self._fields)
            and told.inputs == metadata.signature(signature).inputs
        )
        count = len(self._fields)
        self._rows = 0
        self._missing = np.zeros(count, np.int64)
        self._values = np.zeros(count, np.int64)
        self._unseen = np.zeros(count, np.int64)
        self._texts: list[collections.Counter[str]] = [
            collections.Counter() for _ in self._fields
        ]

    def add(self, rows: pa.Table, answer: dict[str, Array]) -> None:
        """Count some rows.

        Args:
            rows: as they were sent.
            answer: what the signature `unseen` says of them.
        """
        values, unseen = answer[_VALUES], answer[_UNSEEN]
        self._rows += len(values)
        self._missing += (values == 0).sum(axis=0)
        self._values += values.sum(axis=0)
        self._unseen += unseen.sum(axis=0)
        for number, field in enumerate(self._fields):
            name = field.name
            if name not in rows.column_names:
                name = field.input
            if name not in rows.column_names:  # it has a default
                continue
            texts, column = self._texts[number], rows.column(name)
            for row in np.flatnonzero(unseen[:, number]).tolist():
                text = cell_text(column[row])
                if text in texts or len(texts) < _MOST_TEXTS:
                    texts[text] += 1

    def differences(self) -> list[str]:
        """A sentence on each field that is not as training was."""
        found = [
            (field.name, text)
            for number, field in enumerate(self._fields)
            for text in (
                self._missing_of(number, field),
                self._unseen_of(number, field),
            )
        ]
        return [f"Field '{name}': {text}" for name, text in found if text]

    def _missing_of(self, number: int, field: ServedField) -> str | None:
        training = field.training
        now = int(self._missing[number]), self._rows
        before = training.get("missing", 0), training.get("rows", 0)
        if not is_far_above(now, before):
            return None
        return (
            f"{percent(ratio(*now))} of the rows have no value, but only "
            f"{percent(ratio(*before))} in training."
        )

    def _unseen_of(self, number: int, field: ServedField) -> str | None:
        training = field.training
        now = int(self._unseen[number]), int(self._values[number])
        before = training.get("unseen", 0), training.get("values", 0)
        texts = self._texts[number]
        padded = sum(n for text, n in texts.items() if text != text.strip())
        have_blanks = padded >= _MOST_OF_THEM * max(1, texts.total())
        least = (LEAST_GAP, LEAST_G)
        if have_blanks:  # a fault at any share
            least = (LEAST_GAP_OF_FAULTS, LEAST_G_OF_FAULTS)
        if not is_far_above(now, before, *least):
            return None
        shown = ", ".join(repr(t) for t, _ in texts.most_common(_SHOWN))
        return (
            f"{percent(ratio(*now))} of the values are {_unlike(training)}"
            + f", such as {shown}" * bool(shown)
            + f"; {percent(ratio(*before))} are expected from training."
            + " They have blanks around them: remove the blanks." * have_blanks
        )


def _unlike(training: Mapping[str, float]) -> str:
    """What values are that training has not: numbers are no names."""
    if "minimum" not in training:
        return "unseen in training"
    low, high = training["minimum"], training["maximum"]
    return f"outside the range seen in training, {low:g} to {high:g}"
