"""What a vocabulary becomes from day to day: new values, and fewer old ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.fields import Field
from deepfm_tf.raw_values import drop_point_zero
from deepfm_tf.schema import Schema
from deepfm_tf.text_arrays import as_texts
from deepfm_tf.vocabulary.seen_values import (
    DECAY,
    SeenValues,
    rounded_at_least,
)

# The entry of a field's statistics that says that `7.0` is read as `7`.
WHOLE_NUMBERS = "whole_numbers"
# The same of the rows whose label is 0, where a share of them was `kept`.
NEGATIVES = "negatives"
# The same of the sizes that it had, with the same ids, on earlier days; none
# of a vocabulary that has never changed.
EARLIER_SIZES = "earlier_sizes"
_DAYS = 400

_Vocabulary = TypeVar("_Vocabulary", bound="GrowingVocabulary")


class GrowingVocabulary:
    """The part of a Vocabulary that knows of yesterday and tomorrow.

    Attributes:
        seen: how often, and when, each value was seen; None if nobody kept
            it, such as of a vocabulary that an export holds.
        files_of_days: for each day, digests of the files that it was counted
            on; those of an export are of all days together.
    """

    schema: Schema
    values: Mapping[str, Any]
    statistics: dict[str, dict[str, Any]]
    seen: SeenValues | None
    files_of_days: Sequence[Sequence[str]] = ()

    def extended(
        self: _Vocabulary, today: _Vocabulary, decay: float = DECAY
    ) -> _Vocabulary:
        """The same ids and, behind them, ids for new values of a further day.

        A value is new if its count, of today and of the days before, is at
        least its field's `min_count`: so one that is seen once a day gets an
        id too. Counts of earlier days are worth less (`decay`), and the sum
        is rounded. Within `max_vocabulary_size` the most frequent come first;
        once it is reached no value is added: `evict` makes room.

        Hashed values, times and the buckets of given or found boundaries are
        a fixed set. Scalings, boundaries and how a number is read stay too,
        so that what is encoded stays what it was. All other statistics are
        today's, for data to be compared with.

        Args:
            today: the Vocabulary of the new data alone: `fit_vocabulary(data,
                vocabulary.schema)`. `prepare(data, extends=vocabulary)` does
                both at once.
            decay: float in (0, 1]. What the counts until yesterday are
                multiplied by. Defaults to 0.9: half of it after a week.

        Raises:
            ValueError: the fields are others, or have `encodings`: these are
                numbers of all training data, and would be other ones for the
                values that the model knows.

        Example:

        >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
        >>> schema = Schema((CategoricalField("site"),), "click")
        >>> day = {"site": ["b", "b", "a"], "click": [1, 0, 0]}
        >>> monday = fit_vocabulary(day, schema)
        >>> day = {"site": ["c", "c", "a"], "click": [1, 0, 0]}
        >>> tuesday = monday.extended(fit_vocabulary(day, schema))
        >>> monday.values["site"].tolist(), tuesday.values["site"].tolist()
        (['b'], ['b', 'c', 'a'])
        """
        if not 0 < decay <= 1:
            raise UserError(
                "`decay` must be above 0 and at most 1, which forgets "
                f"nothing. Received: decay={decay}.",
                argument="decay",
            )
        self.check_fields(today.schema)
        self.check_may_change()
        counted_today = self._read_alike(today)
        seen = _seen(self).followed_by(counted_today, decay)
        values = _texts(self)
        statistics = {
            field.name: _statistics(
                field,
                self.statistics[field.name],
                today.statistics[field.name],
            )
            for field in self.schema.fields
        }
        for owner in _counted(self.schema):
            known = values[owner.name]
            new = _new_values(owner, seen.tables[owner.name], known)
            values[owner.name] = pa.concat_arrays([known, new])
            entry = statistics[owner.name]
            sizes = self.statistics[owner.name].get(EARLIER_SIZES, [])
            entry[EARLIER_SIZES] = [*sizes[-_DAYS:], owner.vocabulary_size]
            if (
                sum(self.schema.owner(f) == owner for f in self.schema.fields)
                == 1
            ):
                entry |= _unseen(
                    owner,
                    counted_today.tables[owner.name],
                    seen,
                    (known, values[owner.name]),
                )
        seen = seen.without_forgotten(values)
        grown = self._changed(values, statistics, seen)
        days = [*self.files_of_days, *today.files_of_days]
        grown.files_of_days = days[-_DAYS:]
        return grown

    def evict(
        self: _Vocabulary, min_count: int = 1, last_seen: int | None = None
    ) -> _Vocabulary:
        """Without the values that are rare by now, or long gone.

        Ids move up: give `grow_model` this vocabulary as `previous`. What is
        counted of a value that leaves is kept, so that it comes back when it
        is seen often enough.

        Args:
            min_count: int. A value leaves if its count, decayed and rounded
                (see `extended`), is less. Defaults to 1.
            last_seen: int or None. A value leaves if none of this many last
                days has it; 1 is the last day alone. Defaults to None: however
                long ago it was.
        """
        for name, given in (("min_count", min_count), ("last_seen", last_seen)):
            if given is not None and (not isinstance(given, int) or given < 1):
                raise UserError(
                    f"`{name}` must be a whole number of at least 1. "
                    f"Received: {name}={given!r}.",
                    argument=name,
                )
        self.check_may_change()
        seen, stays = _seen(self), {}
        for owner in _counted(self.schema):
            counts, days = seen.find(owner.name, self.values[owner.name])
            stays[owner.name] = rounded_at_least(counts, min_count)
            if last_seen is not None:
                stays[owner.name] &= days < last_seen
        return self.reduced(stays)

    def reduced(self: _Vocabulary, stays: Mapping[str, Array]) -> _Vocabulary:
        """With only some of the values; their ids move up.

        Args:
            stays: owner of a counted vocabulary -> for each of its values,
                bool: whether it stays.
        """
        values = _texts(self)
        statistics = {n: dict(entry) for n, entry in self.statistics.items()}
        for name, own in stays.items():
            values[name] = values[name].filter(pa.array(own))
            # Ids have moved: no earlier vocabulary begins with them.
            statistics[name][EARLIER_SIZES] = []
        smaller = self._changed(values, statistics, _seen(self))
        smaller.files_of_days = self.files_of_days
        return smaller

    def check_fields(self, other: Schema) -> None:
        """Raise UserError unless a schema has the fields of this one.

        Args:
            other: a Schema, with or without vocabulary sizes.
        """
        check_same_fields(self.schema, other)

    def check_may_change(self) -> None:
        """Raise UserError unless values may be added and evicted."""
        names = [f.name for f in self.schema.fields if f.encodings]
        if names:
            raise UserError(
                "A vocabulary that is to grow or shrink must have no field "
                "with `encodings`: they are computed from all training data, "
                "and a new day would change them for known values too. "
                f"Received: '{names[0]}', which has some. Train from "
                "scratch, or without `encodings`."
            )

    def _read_alike(self: _Vocabulary, today: _Vocabulary) -> SeenValues:
        """What today counted, with `7.0` read as this vocabulary reads it."""
        seen = _seen(today)
        tables = dict(seen.tables)
        for owner in _counted(self.schema):
            is_whole, is_done = (
                bool(each.statistics[owner.name].get(WHOLE_NUMBERS))
                for each in (self, today)
            )
            if is_whole and not is_done:
                table = tables[owner.name]
                texts = drop_point_zero(as_texts(table["value"]))
                marks = pa.array(self.schema.missing_values, texts.type)
                tables[owner.name] = table.set_column(0, "value", texts).filter(
                    pc.invert(pc.is_in(texts, value_set=marks))
                )
        return SeenValues(tables, seen.day)

    def _changed(
        self: _Vocabulary,
        values: Mapping[str, Any],
        statistics: Mapping[str, Any],
        seen: SeenValues,
    ) -> _Vocabulary:
        make: Any = type(self)
        changed: _Vocabulary = make(self.schema, values, statistics, seen=seen)
        return changed


def check_same_fields(known: Schema, given: Schema) -> None:
    """Raise UserError unless two schemas have the same fields.

    Args:
        known: the one that a model was trained with.
        given: another, with or without vocabulary sizes.
    """
    ours, theirs = _unsized(known), _unsized(given)
    if ours == theirs:
        return
    own = {field.name: field for field in ours.fields}
    other = {field.name: field for field in theirs.fields}
    different = [n for n in own if n in other and own[n] != other[n]]
    told = [
        f"{name} {', '.join(map(repr, names))}"
        for name, names in (
            ("without", [n for n in own if n not in other]),
            ("new", [n for n in other if n not in own]),
            ("otherwise read", different),
        )
        if names
    ]
    what = "; ".join(told) or (
        "the same ones in another order, or another label, labels or "
        "missing values"
    )
    raise UserError(
        "The fields must be those that the model was trained with. Received: "
        f"{what}. Give the same fields, or train from scratch."
    )


def _counted(schema: Schema) -> list[Field]:
    """The owners of vocabularies that may grow."""
    return [field for field in schema.table_fields if field.is_counted]


def _unsized(schema: Schema) -> Schema:
    no_size: dict[str, Any] = {"vocabulary_size": None}
    fields: list[Any] = [
        field if field.is_numeric else dataclasses.replace(field, **no_size)
        for field in schema.fields
    ]
    return dataclasses.replace(schema, fields=tuple(fields), notes=())


def _seen(vocabulary: GrowingVocabulary) -> SeenValues:
    """What was kept; else that each value came as often as it had to."""
    if vocabulary.seen is not None:
        return vocabulary.seen
    owners = _counted(vocabulary.schema)
    return SeenValues.presumed(
        {f.name: vocabulary.values[f.name] for f in owners},
        {f.name: f.min_count for f in owners},
    )


def _texts(vocabulary: GrowingVocabulary) -> dict[str, pa.LargeStringArray]:
    return {name: as_texts(own) for name, own in vocabulary.values.items()}


def _new_values(
    owner: Field, seen: pa.Table, known: pa.LargeStringArray
) -> pa.LargeStringArray:
    """Those that get an id now, by descending count, then by text."""
    is_frequent = rounded_at_least(seen["count"].to_numpy(), owner.min_count)
    frequent = seen.filter(pa.array(is_frequent))
    # As in `ValueCounts.kept`: files of values are line by line.
    cannot = pc.or_(
        pc.is_in(frequent["value"], value_set=known),
        pc.match_substring_regex(frequent["value"], "[\r\n]"),
    )
    new = frequent.filter(pc.invert(cannot)).sort_by(
        [("count", "descending"), ("value", "ascending")]
    )
    if owner.max_vocabulary_size is not None:
        room = owner.max_vocabulary_size - (owner.vocabulary_size or 0)
        new = new.slice(0, max(0, room))
    return as_texts(new["value"])


def _statistics(
    field: Field, before: Mapping[str, Any], today: Mapping[str, Any]
) -> dict[str, Any]:
    """Today's, but for what decides how values are encoded."""
    deciding = ("mean", "std", "boundaries", WHOLE_NUMBERS)
    entry = {k: v for k, v in today.items() if k not in deciding}
    entry |= {k: before[k] for k in deciding if k in before}
    for name, choose in (("minimum", min), ("maximum", max)):
        if name in before and name in entry:
            entry[name] = choose(before[name], entry[name])
    return entry


def _unseen(
    owner: Field,
    today: pa.Table,
    seen: SeenValues,
    values: tuple[pa.LargeStringArray, pa.LargeStringArray],
) -> dict[str, int]:
    """As `drift.expected_unseen`, for a vocabulary of several days.

    Args:
        owner: a field that shares its vocabulary with no other one.
        today: `value` and `count` of today alone.
        seen: of all days.
        values: those known before today, and those known now.
    """
    counts = today["count"].to_numpy()
    before, now = (
        pc.is_in(today["value"], value_set=own).to_numpy() for own in values
    )
    total, _ = seen.find(owner.name, today["value"])
    # A new value that it would not be without one of its occurrences.
    safe = before | (now & rounded_at_least(total, owner.min_count + 1))
    return {
        "values": int(counts.sum()),
        "oov": int(counts[~now].sum()),
        "oov_expected": int(counts[~safe].sum()),
    }
