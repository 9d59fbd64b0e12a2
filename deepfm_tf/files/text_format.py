"""How a text file is laid out."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from deepfm_tf.errors import Argument, UserError

if TYPE_CHECKING:
    from deepfm_tf.files.records import RecordScanner


@dataclasses.dataclass(frozen=True)
class TextFormat:
    """How a text file is laid out; Parquet and DataFrames need none of it.

    Args:
        separator: str or None. One character, which blanks may follow: with
            `", "` the blanks after each comma are not part of the value.
            `None` takes a tab for `.tsv` and `.tab`, else a comma.
        column_names: names of all columns, in order, for a file without a
            header line. `None` reads them from the first line.
        quoting: bool. Whether `"` may enclose a value: it does where a value
            begins with one; anywhere else it is a character.

    Example:

    >>> TextFormat(separator="\\t", column_names=("clicked", "site")).quoting
    True
    """

    separator: str | None = None
    column_names: tuple[str, ...] | None = None
    quoting: bool = True

    def __post_init__(self) -> None:
        separator = self.separator
        if separator is not None and (
            len(separator.rstrip(" ") or separator[:1]) != 1
            or separator[0] in '"\n\r'
            or not separator.isascii()
        ):
            raise UserError(
                Argument("separator"),
                " must be one character (ASCII), which blanks may follow. "
                "Received: ",
                Argument("separator", separator),
                ".",
            )
        if self.column_names is not None:
            object.__setattr__(self, "column_names", tuple(self.column_names))

    def separator_of(self, path: str) -> tuple[str, bool]:
        """The separator of a file, and whether blanks after it are dropped."""
        if self.separator is not None:
            character = self.separator[0]
            return character, len(self.separator) > 1
        # A command line is read before Arrow is imported.
        from deepfm_tf.files.content import plain_name

        is_tab = plain_name(path).endswith((".tsv", ".tab"))
        return ("\t" if is_tab else ","), False

    def scanner_of(self, path: str) -> RecordScanner:
        """What finds the records of a file."""
        # Its numpy is not needed to read a command line either.
        from deepfm_tf.files.records import RecordScanner

        separator, trims = self.separator_of(path)
        return RecordScanner(separator, trims, self.quoting)
