"""The options that say how a text file is laid out, for all commands."""

from __future__ import annotations

import dataclasses
import functools

from deepfm_tf.files.text_format import TextFormat
from deepfm_tf.options import option, switch


def separator_of_text(text: str) -> str:
    """A character, perhaps in the words of a shell."""
    return {"\\t": "\t", "tab": "\t"}.get(text, text)


def names_of_text(text: str) -> tuple[str, ...]:
    """Names between commas."""
    return tuple(text.split(","))


_layout = functools.partial(option, group="data", fixed_by="text_format")
_layout_switch = functools.partial(switch, group="data", fixed_by="text_format")


@dataclasses.dataclass(kw_only=True)
class TextLayout:
    """How text files are laid out, as options of a command."""

    separator: str | None = _layout(
        None,
        "column separator: , or \\t or ', ' (a comma, then blanks that are "
        "dropped)",
        separator_of_text,
        "CHAR",
        default_text="by the name of the file",
        argument="separator",
    )
    no_header: bool = _layout_switch(
        "the first line is data, not column names; name the columns with "
        "--columns"
    )
    columns: tuple[str, ...] | None = _layout(
        None,
        "names of all columns of a file without a header",
        names_of_text,
        "A,B,C",
        argument="column_names",
        flags="--no-header --columns",
    )
    no_quoting: bool = _layout_switch('treat " as an ordinary character')

    def to_text_format(self) -> TextFormat:
        """The layout; raises UserError where there is no such one."""
        return TextFormat(
            separator=self.separator,
            column_names=self.columns,
            quoting=not self.no_quoting,
        )
