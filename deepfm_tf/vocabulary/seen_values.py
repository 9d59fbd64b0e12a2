"""How often, and when last, each value of a field was seen, over days."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from deepfm_tf.arrays import Array
from deepfm_tf.errors import damaged
from deepfm_tf.text_arrays import as_texts

SUFFIX = ".seen.parquet"
# A count is that much less worth each day: half of it after a week.
DECAY = 0.9
# Of a count that is less, nothing is kept.
_LEAST = 0.1
_DAY = b"day"


class SeenValues:
    """Counts of values over days, without which a day knows only its own.

    Args:
        tables: owner of a vocabulary -> table of `value` (text), `count`
            (float64) and `last_seen` (int32, the number of a day).
        day: int. The number of the last day, from 1.
    """

    def __init__(self, tables: Mapping[str, pa.Table], day: int = 1) -> None:
        self._tables, self._day = dict(tables), day
        self._files: dict[str, Path] = {}

    @property
    def tables(self) -> dict[str, pa.Table]:
        """Owner of a vocabulary -> its table."""
        self._read()
        return self._tables

    @property
    def day(self) -> int:
        """The number of the last day."""
        self._read()
        return self._day

    @classmethod
    def of_day(cls, counts: Mapping[str, pa.Table]) -> SeenValues:
        """The first day.

        Args:
            counts: owner -> table of `value` and `count`.
        """
        return cls({name: _table(*_columns(t)) for name, t in counts.items()})

    @classmethod
    def presumed(
        cls, values: Mapping[str, Array], counts: Mapping[str, int]
    ) -> SeenValues:
        """What is known of values that nobody has kept the counts of.

        Args:
            values: owner -> its values.
            counts: owner -> how often each of them was seen, at least.
        """
        return cls(
            {
                name: _table(as_texts(own), np.full(len(own), counts[name]))
                for name, own in values.items()
            }
        )

    def followed_by(
        self, today: SeenValues, decay: float = DECAY
    ) -> SeenValues:
        """These counts, less worth, and those of a day more.

        Args:
            today: of that day, for the same fields.
            decay: float in (0, 1]. What the older counts are multiplied by.
        """
        day = self.day + 1
        tables = {}
        for name, before in self.tables.items():
            values, count = _columns(today.tables[name])
            both = pa.concat_arrays([as_texts(before["value"]), values])
            codes = both.dictionary_encode()
            places = codes.indices.to_numpy(zero_copy_only=False)
            ours, theirs = np.split(places, [before.num_rows])
            total = np.bincount(theirs, count, len(codes.dictionary))
            total[ours] += decay * before["count"].to_numpy()
            last_seen = np.full(len(total), day, np.int32)
            last_seen[ours] = before["last_seen"].to_numpy()
            last_seen[theirs] = day
            tables[name] = _table(codes.dictionary, total, last_seen)
        return SeenValues(tables, day)

    def without_forgotten(self, kept: Mapping[str, Array]) -> SeenValues:
        """Only what still counts, and certain values.

        Args:
            kept: owner -> the values that stay, however rare they are.
        """
        tables = {}
        for name, table in self.tables.items():
            stays = pc.is_in(table["value"], value_set=as_texts(kept[name]))
            still = pc.greater_equal(table["count"], _LEAST)
            tables[name] = table.filter(pc.or_(stays, still))
        return SeenValues(tables, self.day)

    def find(self, name: str, values: Any) -> tuple[Array, Array]:
        """The count of each value, and the days since it was seen.

        Args:
            name: str. The owner of the vocabulary.
            values: some texts. One that was never seen has a count of 0, and
                was seen before the first day.
        """
        table = self.tables[name]
        places = pc.index_in(
            as_texts(values), value_set=as_texts(table["value"])
        )
        places = pc.fill_null(places, table.num_rows).to_numpy()
        counts = np.append(table["count"].to_numpy(), 0.0)
        last_seen = np.append(table["last_seen"].to_numpy(), 0)
        return counts[places], self.day - last_seen[places]

    def save(self, directory: Path, names: Mapping[str, str]) -> None:
        """Write a file for each owner.

        Args:
            directory: the folder; other such files in it are removed.
            names: owner -> name of its file, which ends in `SUFFIX`.
        """
        tables = self.tables  # read before the files may go
        remove_files(directory)
        for name, table in tables.items():
            # Opened here: Arrow would look for a URL in the name.
            with open(directory / names[name], "wb") as file:
                pq.write_table(
                    table.replace_schema_metadata({_DAY: str(self.day)}),
                    file,
                    compression="zstd",
                    write_page_checksum=True,
                )

    @classmethod
    def load(cls, files: Mapping[str, Path]) -> SeenValues:
        """What `save` wrote; it is read when it is first asked for.

        Args:
            files: owner -> its file.
        """
        seen = cls({})
        seen._files = dict(files)
        return seen

    def _read(self) -> None:
        for name, path in self._files.items():
            try:
                table = pq.read_table(path, page_checksum_verification=True)
                day = int(table.schema.metadata[_DAY])
                table = table.select(["value", "count", "last_seen"])
            except (OSError, pa.ArrowException, LookupError) as error:
                raise damaged(
                    path, "was changed after it was written"
                ) from error
            self._tables[name], self._day = table, day
        self._files = {}


def rounded_at_least(counts: Array, least: float) -> Array:
    """Whether counts, rounded, are enough: decay leaves fractions."""
    return np.asarray(counts >= least - 0.5)


def remove_files(directory: Path) -> None:
    """Remove what `save` wrote to a folder."""
    for path in directory.glob(f"*{SUFFIX}"):
        path.unlink()


def _columns(table: pa.Table) -> tuple[pa.LargeStringArray, Array]:
    return as_texts(table["value"]), table["count"].to_numpy()


def _table(
    values: pa.LargeStringArray,
    count: Array,
    last_seen: Iterable[int] | None = None,
) -> pa.Table:
    if last_seen is None:
        last_seen = np.ones(len(values), np.int32)
    return pa.table(
        {
            "value": values,
            "count": pa.array(count, pa.float64()),
            "last_seen": pa.array(last_seen, pa.int32()),
        }
    )
