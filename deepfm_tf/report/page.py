"""The elements of a page that needs nothing but itself."""

from __future__ import annotations

import base64
import html
import io
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from deepfm_tf.html_table import classes, html_table

_COLUMN_INCHES = 8.0
_HEADING = re.compile(r'^<h2 id="([^"]*)">(.*)</h2>$')
# An option, which a browser would break behind its hyphens.
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# No scripts, no fonts, no links to anything outside.
_PAGE = string.Template("""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>
$style
</style>
</head>
<body>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")
_STYLE = """\
:root { --ink: #1c2330; --quiet: #5b6472; --line: #dde1e7; --fill: #f5f7f9;
  --paper: #fff; --link: #0072b2; --shadow: #5b647280; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ink: #e4e7ec; --quiet: #a7b0bd; --line: #3a4250; --fill: #232a35;
    --paper: #161b22; --link: #6cb8ee; --shadow: #00000080; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans",
  "DejaVu Sans", sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .6rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
h1, h2, h3, p { overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--link); }
nav { margin: 1.2rem 0; font-size: .875rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; margin: 0;
  padding: 0; list-style: none; }
.note { border-left: 3px solid var(--link); padding-left: .7rem; }
.lead { font-size: 1.1rem; }
.quiet, figcaption { color: var(--quiet); font-size: .875rem; }
figcaption { margin-top: .4rem; }
.option { white-space: nowrap; }
/* A shadow at the right as long as there is more of a table to scroll to. */
.scroll { overflow-x: auto; background:
  linear-gradient(to left, var(--paper) 45%, transparent) right / 3rem 100%
  no-repeat local,
  linear-gradient(to left, var(--shadow), transparent) right / 1.2rem 100%
  no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--link); }
table { border-collapse: collapse; font-size: .875rem; margin: .4rem 0;
  font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
td { white-space: nowrap; }
td.text { white-space: normal; min-width: 13rem; }
thead th { vertical-align: bottom; background: var(--fill); }
tbody th { font-weight: 600; position: sticky; left: 0;
  background: var(--paper);
  min-width: 8.5rem; max-width: 14rem; overflow-wrap: break-word; }
thead th:first-child { position: sticky; left: 0; }
.number { text-align: right; }
.best { font-weight: 700; }
.figures { display: grid; gap: 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); }
figure { margin: 0; }
figure.wide { grid-column: 1 / -1; }
/* Plots are drawn on white. */
figure img { display: block; width: 100%; max-width: 38rem; height: auto;
  background: #fff; }
figure.wide img { max-width: 60rem; }
pre { background: var(--fill); border: 1px solid var(--line); padding: .7rem;
  border-radius: 4px; font-size: .85rem; white-space: pre-wrap;
  overflow-wrap: anywhere; margin: .5rem 0; }
@media (max-width: 30rem) {
  main { padding: .5rem .75rem 2rem; }
  h1 { font-size: 1.4rem; }
  th, td { padding: .3rem .5rem; }
  td.text { min-width: 10rem; }
}
@media print {
  @page { size: A4; margin: 14mm; }
  nav { display: none; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  .scroll { overflow: visible; }
  table { font-size: 7pt; }
  td, td.text { white-space: normal; min-width: 0; }
  th, td { padding: 2pt 3pt; }
  thead { display: table-header-group; }
  tr, figure, pre { break-inside: avoid; }
  /* No fewer than three rows of a table alone on a page. */
  tbody tr:nth-child(-n+3), tbody tr:nth-last-child(-n+2) {
    break-before: avoid; }
  h2, h3 { break-after: avoid; }
  pre + p { break-before: avoid; }
  tbody th, thead th:first-child { position: static; min-width: 0; }
  .figures { grid-template-columns: 1fr 1fr; }
}"""


def page(title: str, sections: Sequence[str]) -> str:
    """The whole page; its table of contents is before the first heading.

    Args:
        title: str. Plain text.
        sections: HTML, as the functions here make it.
    """
    parts = list(sections)
    first = next((i for i, s in enumerate(parts) if s.startswith("<h2")), 0)
    parts.insert(first, _contents(parts))
    return _PAGE.substitute(
        title=html.escape(title), style=_STYLE, body="\n".join(parts)
    )


def _contents(sections: Sequence[str]) -> str:
    links = [
        f'<li><a href="#{place}">{text}</a></li>'
        for section in sections
        for place, text in _HEADING.findall(section)
    ]
    if len(links) < 2:
        return ""
    return f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'


def heading(text: str, level: int = 2) -> str:
    """A heading of plain text; of the second level, a place to link to.

    Example:

    >>> heading("To reproduce")
    '<h2 id="to-reproduce">To reproduce</h2>'
    """
    place = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    attribute = f' id="{place}"' if level == 2 else ""
    return f"<h{level}{attribute}>{html.escape(text)}</h{level}>"


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of plain text.

    Example:

    >>> paragraph("a < b")
    '<p>a &lt; b</p>'
    """
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{_escaped(text)}</p>"


def command(text: str) -> str:
    """Something to type, wrapped but not changed."""
    return f"<pre><code>{_escaped(text)}</code></pre>"


def _escaped(text: str) -> str:
    whole = r'<span class="option">\g<0></span>'
    return _OPTION.sub(whole, html.escape(text))


def table(
    rows: Sequence[Mapping[str, str]],
    name: str,
    *,
    wide: Sequence[str] = (),
    best: Mapping[str, int] | None = None,
) -> str:
    """A table that scrolls sideways on a narrow screen.

    Args:
        rows: title of the column -> plain text. The first column names the
            row. Columns of nothing but numbers are set to the right.
        name: str. Plain text, for those who hear the page.
        wide: columns of running text, which may be wrapped.
        best: column -> the row that stands out in it.
    """
    label = html.escape(name, quote=True)
    inside = html_table(rows, wide=wide, best=best)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}">'
        f"\n{inside}\n</div>"
    )


def figure(plot: Any, description: str, caption: str = "") -> str:
    """A plot inside the page.

    Args:
        plot: a `matplotlib.figure.Figure`.
        description: str. Its alternative text.
        caption: str. Plain text below it.
    """
    # With the date and random names left out, equal plots are equal files.
    import matplotlib

    image = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "deepfm_tf"}):
        plot.savefig(image, format="svg", metadata={"Date": None})
    data = base64.b64encode(image.getvalue()).decode("ascii")
    below = f"<figcaption>{_escaped(caption)}</figcaption>"
    # What is large, such as a heat map of many fields, has a line to itself.
    wide = ["wide"] if plot.get_figwidth() > _COLUMN_INCHES else []
    return (
        f'<figure{classes(wide)}><img src="data:image/svg+xml;base64,{data}" '
        f'alt="{html.escape(description, quote=True)}">'
        f"{below if caption else ''}</figure>"
    )


def figures(parts: Sequence[str]) -> str:
    """Figures side by side, where there is room."""
    return '<div class="figures">\n' + "\n".join(parts) + "\n</div>"
