"""Shares of missing and unseen values, compared with training's."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, cast

import pyarrow as pa

from deepfm_tf.arrays import Array
from deepfm_tf.drift.cause import Cause, likely_cause, number_cause
from deepfm_tf.drift.clocks import ClockFault, clock_faults
from deepfm_tf.drift.counts import DataCounts, FieldCounts
from deepfm_tf.drift.expected import expected_of
from deepfm_tf.shares import (
    LEAST_G_OF_FAULTS,
    LEAST_GAP_OF_FAULTS,
    is_far_above,
    percent,
    ratio,
)
from deepfm_tf.vocabulary import OOV_ID, Vocabulary

# Many new users, say, are told although they are as many as expected.
_MANY = 0.2
# Below this the shares of single fields tell nothing.
_FEW_ROWS = 100

_NUM_EXAMPLES = 3
_MOST_TOLD = 10
_MEASURES = {
    "missing": "missing",
    "unseen": "unseen in training",
    "out_of_range": "outside the range seen in training",
}


@dataclasses.dataclass(frozen=True)
class FieldShares:
    """Shares of one field in some data, and in training.

    Where training keeps but a share of its negatives, its shares are those
    that it would have with all of them.

    Args:
        field: str.
        rows: int. Rows of the data.
        missing, missing_in_training: float. Shares of the rows.
        unseen: float or None. The share of the values outside the
            vocabulary, or outside the range of training's numbers. None of a
            field whose values are hashed: none of them is unseen.
        unseen_in_training: float or None. The OOV share of training.
        unseen_expected: float or None. The share to be expected of a fresh
            sample from training's population; see `expected_unseen`.
        is_number: bool. Whether they are numbers, and so out of range.
    """

    field: str
    rows: int
    missing: float
    missing_in_training: float
    unseen: float | None
    unseen_in_training: float | None
    unseen_expected: float | None
    is_number: bool = False


class DriftEntry(TypedDict):
    """A Drift as plain data; see there."""

    field: str
    measure: str
    share: float
    expected: float
    in_training: float
    examples: list[str]
    cause: str
    text: str


@dataclasses.dataclass(frozen=True)
class Drift:
    """A field whose values are not what training leads one to expect.

    Args:
        field: str.
        measure: `"missing"`, `"unseen"` (not in the vocabulary),
            `"out_of_range"` (numbers below training's minimum or above its
            maximum); of times `"midnight"` (without a time of day),
            `"time_of_day"` (with one, unlike training's), `"zone"`, or
            `"hour"`, `"weekday"` or `"is_weekend"` (a value of that part that
            training does not have).
        share: float. Of the rows (missing) or of the values.
        expected: float. The share to be expected by training.
        in_training: float. The share in training.
        examples: three unseen values at most, the most frequent first.
        cause: str. The likeliest, as of `Cause.kind`; `""` if the values are
            not at hand.
        text: str. All of it as a sentence.
    """

    field: str
    measure: str
    share: float
    expected: float
    in_training: float
    examples: tuple[str, ...]
    cause: str
    text: str

    def __str__(self) -> str:
        return self.text

    def to_dict(self) -> DriftEntry:
        """Plain data, as JSON holds it."""
        entry = dataclasses.asdict(self) | {"examples": list(self.examples)}
        return cast(DriftEntry, entry)

    @classmethod
    def from_dict(cls, data: DriftEntry) -> Drift:
        """What `to_dict` gave."""
        parts: dict[str, Any] = {**data, "examples": tuple(data["examples"])}
        return cls(**parts)


def compare_counts(counts: DataCounts) -> list[Drift]:
    """The fields whose shares are far above the expected.

    With a share s of n values in the data, and a share e of N values in
    training (missing: its share; unseen: that of `expected_unseen`; numbers
    out of range: 2 / N, as each row of a fresh sample is as likely as any of
    training's to be the least or the largest), s is far above e if

    - `s - e >= 0.05`;
    - the odds s / (1 - s) are at least three times e / (1 - e);
    - `G = 2 [n D(s, p) + N D(e, p)] >= 2 ln(10^6)`, with the common share
      p = (ns + Ne) / (n + N) and D the divergence of two Bernoulli
      distributions: by the likelihood-ratio test, chance does as much in
      fewer than one of a million comparisons. This keeps small data silent.

    If the unseen values are known ones in another spelling, or spellings of
    missing, a difference of 0.01 and G of 2 ln(10^3) are enough: another
    population is no explanation of that.

    Where training data keep but a share of the negatives, each of these
    counts for those that were left out (`DataCounts.training`).

    Times are compared by how they are written, and by where they lie in the
    day and the week: see `clock_faults`.

    Args:
        counts: of the data.

    Returns:
        A Drift for each field and measure, in the order of the schema.

    Reference:
        [Sokal and Rohlf, 1995](https://www.worldcat.org/oclc/30076870),
        box 17.6, the G-test of independence.
    """
    found = []
    vocabulary = counts.vocabulary
    for field in vocabulary.schema.fields:
        own = counts.fields[field.name]
        statistics = counts.training(field.name)
        before = statistics.get("missing", 0), statistics.get("rows", 0)
        if before[1] and is_far_above((own.missing, own.rows), before):
            found.append(_missing(field.name, own, before))
        unseen = _unseen(vocabulary, field, own, statistics)
        if unseen is not None:
            found.append(unseen)
        parts = getattr(field, "parts", ())
        faults = clock_faults(own.clocks, statistics, parts)
        found += [_clock_drift(field.name, fault) for fault in faults]
    return found


def field_shares(counts: DataCounts) -> list[FieldShares]:
    """The shares of every field, whether far above the expected or not."""
    table = []
    for field in counts.vocabulary.schema.fields:
        own = counts.fields[field.name]
        statistics = counts.training(field.name)
        expected = expected_of(statistics)
        known = expected is not None and expected[1] > 0
        in_training = ratio(statistics.get("oov", 0), statistics.get("values"))
        table.append(
            FieldShares(
                field.name,
                own.rows,
                ratio(own.missing, own.rows),
                ratio(statistics["missing"], statistics["rows"]),
                ratio(own.unseen, own.values) if known else None,
                in_training if known else None,
                ratio(*expected) if expected and known else None,
                "minimum" in statistics,
            )
        )
    return table


def plain_comparison(counts: DataCounts) -> dict[str, list[Any]]:
    """`drift` and `shares`, as plain data: of the two functions above."""
    return {
        "drift": [found.to_dict() for found in compare_counts(counts)],
        "shares": [dataclasses.asdict(s) for s in field_shares(counts)],
    }


def expected_notes(
    shares: Sequence[FieldShares], found: Sequence[Drift], name: str
) -> list[str]:
    """A sentence on each field with many, but not too many, unseen values.

    One on all of them, where there are too few rows for their shares to tell
    more than that.

    Args:
        shares: of `field_shares`.
        found: of `compare_counts`; of these fields nothing is said.
        name: str. What the data are called.
    """
    told = {drift.field for drift in found if drift.measure != "missing"}
    many = [
        entry
        for entry in shares
        if entry.unseen is not None
        and entry.unseen_expected is not None
        and entry.unseen >= _MANY
        and entry.field not in told
        and not entry.is_number  # which share no id
    ]
    if len(many) > 1 and many[0].rows < _FEW_ROWS:
        rows = f"{many[0].rows} row{'s' * (many[0].rows != 1)}"
        return [
            f"{len(many)} of {len(shares)} fields have many values in {name} "
            "that are unseen in training, about as many as expected from the "
            f"training data; {rows} are too few to say more. They all share "
            "one id, OOV."
        ]
    return [
        f"Field '{entry.field}': {percent(entry.unseen)} of the values of "
        f"{name} are unseen in training, about as many as expected from the "
        f"training data ({percent(entry.unseen_expected)}). They all share "
        "one id, OOV."
        for entry in many
    ]


def warn_of_drift(
    found: Sequence[Drift], name: str, stacklevel: int = 2
) -> None:
    """One warning of all that was found, if anything was.

    Args:
        found: of `compare_counts`.
        name: str. What the data are called.
        stacklevel: int. As for `warnings.warn`.
    """
    if not found:
        return
    lines = [f"  {drift}" for drift in found[:_MOST_TOLD]]
    if len(found) > _MOST_TOLD:
        rest = dict.fromkeys(drift.field for drift in found[_MOST_TOLD:])
        lines.append(f"  So are these: {', '.join(rest)}.")
    text = "\n".join(lines)
    warnings.warn(
        (
            f"The values of {name} differ from those of the training "
            f"data:\n{text}"
        ),
        stacklevel=stacklevel + 1,
    )


def _missing(name: str, own: FieldCounts, before: tuple[float, float]) -> Drift:
    share, expected = ratio(own.missing, own.rows), ratio(*before)
    text = (
        f"Field '{name}' is missing in {percent(share)} of the rows, but in "
        f"training only in {percent(expected)}. Check that the column is "
        "filled, and that its values can be read."
    )
    return Drift(name, "missing", share, expected, expected, (), "", text)


def _clock_drift(name: str, fault: ClockFault) -> Drift:
    share, expected = ratio(*fault.now), ratio(*fault.expected)
    shown = ", ".join(map(repr, fault.examples))
    text = (
        f"Field '{name}': {percent(share)} of the times are {fault.what}, "
        f"such as {shown}; {percent(expected)} are expected from the "
        "training data. Most likely cause: "
    )
    if fault.kind == "format":
        text += (
            f"another format: {fault.cause} Store the column as in training."
        )
    else:
        text += f"{fault.kind}: {fault.cause}"
    return Drift(
        *(name, fault.measure, share, expected, expected),
        *(fault.examples, fault.kind, text),
    )


def _unseen(
    vocabulary: Vocabulary,
    field: Any,
    own: FieldCounts,
    statistics: Mapping[str, Any],
) -> Drift | None:
    expected = expected_of(statistics)
    now = own.unseen, own.values
    if expected is None or not is_far_above(
        now, expected, LEAST_GAP_OF_FAULTS, LEAST_G_OF_FAULTS
    ):
        return None
    share, before = ratio(*now), ratio(*expected)
    is_number = "minimum" in statistics
    cause: Cause | None = None
    if own.texts and is_number:
        cause = number_cause(
            own.texts, statistics["minimum"], statistics["maximum"]
        )
    elif own.texts:

        def is_known(texts: Sequence[str]) -> Array:
            column = pa.array(texts, pa.string())
            is_known_text: Array = vocabulary.look_up(field, column) != OOV_ID
            return is_known_text

        owner = vocabulary.schema.owner(field).name
        values: Any = vocabulary.values[owner]
        excess = 1.0 - before / share
        cause = likely_cause(own.texts, is_known, values, excess)
    is_fault = cause is not None and cause.is_fault
    if not is_fault and not is_far_above(now, expected):
        return None
    examples = sorted(own.texts, key=lambda text: -own.texts[text])
    examples = examples[:_NUM_EXAMPLES]
    measure = "out_of_range" if is_number else "unseen"
    such = f", such as {', '.join(map(repr, examples))}" if examples else ""
    why = (
        f" Most likely cause: {cause.text}"
        if cause
        else " To see them, call `compare_with_training` on the raw data."
    )
    text = (
        f"Field '{field.name}': {percent(share)} of the values are "
        f"{_MEASURES[measure]}{such}; {percent(before)} are expected from "
        f"the training data.{why}"
    )
    in_training = 0.0
    if not is_number:
        in_training = ratio(statistics["oov"], statistics["values"])
    return Drift(
        field.name,
        measure,
        share,
        before,
        in_training,
        tuple(examples),
        cause.kind if cause else "",
        text,
    )
