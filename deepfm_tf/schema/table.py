"""The table of a schema: each column, its kind, the reason."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from deepfm_tf.fields import FIELD_TYPES, Field
from deepfm_tf.html_table import html_table
from deepfm_tf.text_table import aligned

_KINDS = "|".join(
    ["left out", *(name.replace("_", "-") for name in FIELD_TYPES)]
)
# Characters of a column's name.
_WIDEST = 40
# As `infer_schema` writes them.
_NOTE = re.compile(rf"(?s)(.*?): ({_KINDS}), (.*)\.")


def schema_table(fields: Sequence[Field], notes: Sequence[str]) -> str:
    """One line for each column, those that were left out too.

    Of a long name, the middle is left out; what cannot be printed, a line
    break say, is written as Python writes it.

    Args:
        fields: of the schema.
        notes: of `infer_schema`. Others stand below the table.

    Example:

    >>> from deepfm_tf.fields import CategoricalField
    >>> notes = ["'site': categorical, text.", "'id': left out, unique."]
    >>> print(schema_table([CategoricalField("site")], notes))
    column  kind         reason
    site    categorical  text
    id      left out     unique
    """
    rows, others = _rows(fields, notes)
    rows.insert(0, ("column", "kind", "reason"))
    return "\n".join([aligned(rows, (False, False, False)), *others])


def schema_html(fields: Sequence[Field], notes: Sequence[str]) -> str:
    """The same as HTML; other notes are paragraphs below the table."""
    rows, others = _rows(fields, notes)
    titles = ("column", "kind", "reason")
    table = [dict(zip(titles, row, strict=True)) for row in rows]
    below = [f"<p>{html.escape(note)}</p>" for note in others]
    return "\n".join([html_table(table, wide=("reason",)), *below])


def _rows(
    fields: Sequence[Field], notes: Sequence[str]
) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Name, kind and reason of each column; and all other notes."""
    kinds = {f.name: f.type_name.replace("_", "-") for f in fields}
    quoted = {repr(name): name for name in kinds}
    rows: list[tuple[str, str, str]] = []
    others = []
    for note in notes:
        match = _NOTE.fullmatch(note)
        if match is None:
            others.append(note)
            continue
        name = quoted.get(match[1], match[1][1:-1])
        kind = kinds.pop(name, match[2])
        # Somebody may have edited the fields since.
        reason = match[3] if kind == match[2] else ""
        rows.append((name, kind, reason))
    rows += [(name, kind, "") for name, kind in kinds.items()]
    rows = [(_shown(n), kind, _one_line(why)) for n, kind, why in rows]
    return rows, others


def _shown(name: str) -> str:
    text = _one_line(name)
    if len(text) <= _WIDEST:
        return text
    # Names often differ in their ends alone.
    end = _WIDEST // 3
    return f"{text[: _WIDEST - end - 3]}...{text[-end:]}"


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
