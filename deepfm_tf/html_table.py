"""Tables as HTML, for notebooks and for the report: every text is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from deepfm_tf.text_table import shown_values


def html_table(
    rows: Sequence[Mapping[str, Any]],
    *,
    decimals: int | None = None,
    caption: str = "",
    wide: Sequence[str] = (),
    best: Mapping[str, int] | None = None,
) -> str:
    """A table without a style of its own; columns are the first row's keys.

    Args:
        rows: title of the column -> value, one mapping a line. The first
            column names the row. Columns of nothing but numbers have the
            class `number`.
        decimals: int. Of every float, as for `text_table`.
        caption: str. Plain text.
        wide: columns of running text, which have the class `text`.
        best: column -> the row that has the class `best` in it.

    Example:

    >>> print(html_table([{"model": "<fm>", "AUC": 0.75}]))
    <table>
    <thead><tr><th scope="col">model</th>\
<th scope="col" class="number">AUC</th></tr></thead>
    <tbody>
    <tr><th scope="row">&lt;fm&gt;</th><td class="number">0.7500</td></tr>
    </tbody>
    </table>
    """
    header = list(rows[0])
    columns = [
        shown_values([row.get(title) for row in rows], decimals)
        for title in header
    ]
    kinds: list[list[str]] = [[] for _ in header]
    for kind, title, column in zip(kinds, header, columns, strict=True):
        if title in wide:
            kind.append("text")
        elif title != header[0] and all(map(_is_number, column)):
            kind.append("number")
    titles = "".join(
        f'<th scope="col"{classes(kind)}>{html.escape(title)}</th>'
        for title, kind in zip(header, kinds, strict=True)
    )
    lines = []
    for number, (name, *texts) in enumerate(zip(*columns, strict=True)):
        cells = [f'<th scope="row">{html.escape(name)}</th>']
        for title, kind, text in zip(header[1:], kinds[1:], texts, strict=True):
            stands_out = best is not None and best.get(title) == number
            marks = classes(kind + ["best"] * stands_out)
            cells.append(f"<td{marks}>{html.escape(text)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    body = "\n".join(lines)
    above = f"\n<caption>{html.escape(caption)}</caption>" if caption else ""
    return (
        f"<table>{above}\n<thead><tr>{titles}</tr></thead>\n<tbody>\n{body}\n"
        "</tbody>\n</table>"
    )


def classes(names: Sequence[str]) -> str:
    """The attribute that gives an element these classes, if there are any."""
    return f' class="{" ".join(names)}"' if names else ""


def _is_number(text: str) -> bool:
    return (
        text[:1] in ("", "–")
        or text == "undefined"
        or text.lstrip("-")[:1].isdigit()
    )
