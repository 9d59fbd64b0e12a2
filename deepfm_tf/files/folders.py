"""Folders of files: which of them hold rows, and columns in their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    import pyarrow as pa

# As Hive writes a folder of one value: `day=2024-05-01`.
_KEY = re.compile(r"([A-Za-z_]\w*)=(.*)")
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_SIGNS = re.compile(r"[*\[]")


def is_hidden(path: str) -> bool:
    """Whether a file is none of rows: `_SUCCESS`, or in `_temporary`.

    Args:
        path: below the folder that was named.
    """
    return any(part[:1] in ("_", ".") for part in path.split("/") if part)


class FoundFile(str):
    """The name of a file that was found in a folder, or by a pattern.

    Args:
        name: str. Its path or URL.
        below: str. Its path below the folder that was named, or above the
            first sign of the pattern.
    """

    below: str

    def __new__(cls, name: str, below: str = "") -> FoundFile:
        """Of `pickle`, `below` comes later."""
        self = super().__new__(cls, name)
        self.below = below
        return self


def partition_of(path: str) -> dict[str, str | None]:
    """Column -> its one value in a file, told by the folders that it is in.

    By those below the folder that was named, as Spark and Arrow do: what
    stands above it is where somebody keeps the data, and no part of them.

    Example:

    >>> below = "day=2024-05-01/hour=07/part-0.parquet"
    >>> partition_of(FoundFile(f"s3://logs/host=a/{below}", below))
    {'day': '2024-05-01', 'hour': '07'}
    """
    values: dict[str, str | None] = {}
    below = path.below if isinstance(path, FoundFile) else ""
    for part in PurePosixPath(below.replace("\\", "/")).parts[:-1]:
        found = _KEY.fullmatch(part)
        if found:
            value = unquote(found[2])
            values[found[1]] = None if value == _MISSING else value
    return values


class InFolders:
    """Rows of a file, with the columns that its folders' names hold.

    Args:
        block: the rows.
        values: column -> its one value, missing where None.
        own: columns of the file that are there in any case.
    """

    def __init__(
        self,
        block: Any,
        values: Mapping[str, str | None],
        own: Sequence[str],
    ) -> None:
        self.size: int = block.size
        self.unit: str = block.unit
        self.block = block
        self._values = values
        self._own = own

    @property
    def source(self) -> str:
        """What messages call the file."""
        return str(self.block.source)

    @source.setter
    def source(self, name: str) -> None:
        self.block.source = name

    def read(
        self, columns: Sequence[str], **options: bool
    ) -> tuple[pa.Table, list[Any]]:
        """The columns, those of the folders' names as text."""
        import pyarrow as pa

        own = [name for name in columns if name not in self._values]
        table, bad = self.block.read(own or self._own, **options)
        arrays = dict(zip(table.column_names, table.columns, strict=True))
        codes = pa.array([0] * table.num_rows, pa.int32())
        for name, value in self._values.items():
            text = pa.array([value], pa.string())
            arrays[name] = (
                pa.nulls(len(codes), pa.string())
                if value is None
                else pa.DictionaryArray.from_arrays(codes, text)
            )
        return pa.table({name: arrays[name] for name in columns}), bad

    def locate(self, rows: Sequence[int]) -> list[tuple[int, str]]:
        """Numbers, from 1, and texts of some rows."""
        located: list[tuple[int, str]] = self.block.locate(rows)
        return located


def pattern_of(name: str) -> tuple[re.Pattern[str] | None, str]:
    """What a name with signs matches, and the folder above the first sign.

    Args:
        name: with `/` between folders. `*` stands for anything in a name,
            `**` for any folders, `[ab]` for one of these characters.

    Returns:
        The pattern of whole names, in which a folder stands for all files
        below it, and that folder; None and the name itself, if it has no
        signs.

    Example:

    >>> pattern, root = pattern_of("logs/day=*/part-[01].csv")
    >>> root, bool(pattern.fullmatch("logs/day=7/part-1.csv"))
    ('logs', True)
    """
    first = _SIGNS.search(name)
    if first is None:
        return None, name
    root = name[: first.start()].rpartition("/")[0]
    if not root and name.startswith("/"):
        root = "/"
    return re.compile("".join(_parts(name)) + "(?:/.*)?"), root


def _parts(name: str) -> Iterator[str]:
    signs = re.split(r"(\*\*/|\*\*|\*|\[!?[^\]]+\])", name)
    for text in signs:
        if text == "**/":
            yield "(?:.*/)?"
        elif text == "**":
            yield ".*"
        elif text == "*":
            yield "[^/]*"
        elif text.startswith("[") and text.endswith("]"):
            inside = text[1:-1].replace("\\", r"\\")
            yield f"[{'^' * inside.startswith('!')}{inside.lstrip('!')}]"
        else:
            yield re.escape(text)
