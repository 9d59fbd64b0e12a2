"""Draws the picture of the README: from raw rows to a served probability.

    python -m tests.pages.picture

One file for light and dark pages: its colours follow the reader's system.
"""

from pathlib import Path

PATH = Path(__file__).parents[2] / ".github" / "from_rows_to_server.svg"

STYLE = """\
  svg { background: #ffffff }
  text { font: 13px Helvetica, Arial, sans-serif; fill: #1f2328;
         text-anchor: middle }
  .small { font-size: 11px; fill: #59636e }
  .title { font-weight: bold }
  rect { fill: #f6f8fa; stroke: #818b98; stroke-width: 1.2 }
  .frame { fill: none; stroke-dasharray: 5 4 }
  .term { fill: #ddf4ff; stroke: #0969da }
  path { fill: none; stroke: #59636e; stroke-width: 1.4 }
  .head { fill: #59636e; stroke: none }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 }
    text { fill: #f0f6fc }
    .small { fill: #9198a1 }
    rect { fill: #151b23; stroke: #656c76 }
    .frame { fill: none }
    .term { fill: #121d2f; stroke: #4493f8 }
    path { stroke: #9198a1 }
    .head { fill: #9198a1 }
  }"""


def box(x, y, width, height, lines, kind=""):
    """A box; the first line is its title, the others are small."""
    shape = (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" '
        f'height="{height}" rx="6"/>'
    )
    middle, top = x + width / 2, y + height / 2 - 8 * (len(lines) - 1)
    texts = [
        f'<text class="{"small" if row else "title"}" x="{middle:g}" '
        f'y="{top + 16 * row + 5:g}">{line}</text>'
        for row, line in enumerate(lines)
    ]
    return [shape, *texts]


def arrow(*points):
    """A line through the points, with a head at its end."""
    line = " L ".join(f"{x} {y}" for x, y in points)
    (x0, y0), (x, y) = points[-2:]
    if y0 == y:
        head = f"M {x} {y} L {x - 8} {y - 4} L {x - 8} {y + 4} Z"
    else:
        back = y - 8 if y > y0 else y + 8
        head = f"M {x} {y} L {x - 4} {back} L {x + 4} {back} Z"
    return [f'<path d="M {line}"/>', f'<path class="head" d="{head}"/>']


def picture():
    """The text of the SVG file."""
    parts = [
        # What is learnt: the frame is what an export holds.
        '<rect class="frame" x="188" y="14" width="594" height="226" rx="10"/>',
        '<text class="small" x="485" y="257">An exported SavedModel holds all '
        "of these steps: it takes the raw columns.</text>",
        '<text class="title" x="222" y="38">DeepFM</text>',
        *box(12, 92, 140, 70, ["raw rows", "CSV, TSV, JSON lines,", "Parquet"]),
        *arrow((152, 127), (206, 127)),
        *box(
            *(206, 80, 118, 94),
            ["Schema", "+ vocabulary", "text → id", "number → value"],
        ),
        *arrow((324, 127), (360, 127)),
        *box(
            *(360, 80, 118, 94),
            ["one table", "for each feature:", "weight w and", "vector v"],
        ),
        *arrow((478, 127), (496, 127), (496, 51), (514, 51)),
        *arrow((478, 127), (514, 127)),
        *arrow((478, 127), (496, 127), (496, 203), (514, 203)),
        *box(514, 26, 150, 50, ["first order", "Σ w x"], "term"),
        *box(514, 102, 150, 50, ["pairs (FM)", "Σ ⟨v, v′⟩ x x′"], "term"),
        *box(
            514,
            178,
            150,
            50,
            ["hidden layers", "MLP(v x of all fields)"],
            "term",
        ),
        *arrow((664, 51), (682, 51), (682, 127), (700, 127)),
        *arrow((664, 127), (700, 127)),
        *arrow((664, 203), (682, 203), (682, 127), (700, 127)),
        *box(700, 100, 70, 54, ["sum", "sigmoid"]),
        *arrow((770, 127), (806, 127)),
        *box(
            806, 92, 132, 70, ["probability", "deepfm-tf serve,", "TF Serving"]
        ),
    ]
    body = "\n".join(f"  {part}" for part in parts)
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 950 270" '
        'width="950" height="270" role="img">\n'
        "  <title>From raw rows to a served probability</title>\n"
        f"  <style>\n{STYLE}\n  </style>\n{body}\n</svg>\n"
    )


if __name__ == "__main__":
    PATH.write_text(picture(), encoding="utf-8")
