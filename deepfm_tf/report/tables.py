"""Numbers as text, alike in the terminal, in Markdown and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepfm_tf.html_table import html_table
from deepfm_tf.metrics import METRIC_TITLES, Spread
from deepfm_tf.report.content import SummaryRow

# Key in the summary, decimals.
_SPREADS = (
    ("auc", 4),
    ("log_loss", 4),
    ("grouped_auc", 4),
    ("steps_to_reach", 0),
    ("calibration_ratio", 3),
    ("expected_calibration_error", 4),
    ("normalized_entropy", 4),
    ("epochs", 1),
    ("best_epoch", 1),
    ("seconds", 1),
)
_TITLES = {
    **METRIC_TITLES,
    **{
        n: f"test {METRIC_TITLES[n]}"
        for n in ("auc", "log_loss", "grouped_auc")
    },
    "steps_to_reach": "steps to {reach}",
    "best_epoch": "best epoch",
}
_NOTHING: Spread = {"mean": None, "std": None}
# Key, decimals.
_CHANGES = (
    ("log_loss", 5),
    ("expected_calibration_error", 5),
    ("calibration_ratio", 3),
    ("auc", 5),
)


def number(value: float | None, decimals: int = 4) -> str:
    """A number as the report shows it; what is undefined is a dash.

    Example:

    >>> number(0.87123), number(1234.5, 1), number(None), number(7)
    ('0.8712', '1,234.5', '–', '7')
    """
    if value is None or value != value:  # NaN differs from itself
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.{decimals}f}"


def spread(statistic: Spread, decimals: int = 4) -> str:
    """Mean ± standard deviation; of one run, what it was.

    Counts and seconds, of one decimal, go without it where they are whole.

    Example:

    >>> spread({"mean": 0.87123, "std": 0.00098})
    '0.8712 ± 0.0010'
    >>> spread({"mean": 3.0, "std": 0.0}, 1)
    '3 ± 0'
    """
    if decimals == 1 and all(
        not (statistic[n] or 0) % 1 for n in ("mean", "std")
    ):
        decimals = 0
    text = number(statistic["mean"], decimals)
    if statistic["std"] is None:
        return text
    return f"{text} ± {number(statistic['std'], decimals)}"


def changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> dict[str, str]:
    """What a calibration does to the metrics, as texts.

    Args:
        before, after: metrics, as `binary_metrics` gives them.

    Example:

    >>> for key, text in changes(
    ...     {"auc": 0.75, "log_loss": 0.5}, {"auc": 0.75, "log_loss": 0.45}
    ... ).items():
    ...     print(key, text)
    log loss 0.50000 → 0.45000
    AUC 0.75000, unchanged
    """
    texts = {}
    for key, decimals in _CHANGES:
        if key in before:
            title = METRIC_TITLES[key]
            old, new = (number(m[key], decimals) for m in (before, after))
            same = f"{old}, unchanged"
            texts[title] = same if old == new else f"{old} → {new}"
    return texts


def results_table(
    summary: Sequence[SummaryRow], reach: str | None = None
) -> ResultsTable:
    """What `summarize_runs` gave as texts, for `text_table` and others.

    Args:
        summary: what `summarize_runs` gave.
        reach: str or None. What `steps_to_reach` leads to, for the title.

    Returns:
        A dict for each row: title of the column -> text, which is a dash
        where only other rows have the number.

    Example:

    >>> row = {"model": "fm", "seeds": 2, "parameters": 1200}
    >>> row["auc"] = {"mean": 0.76, "std": 0.014}
    >>> results_table([row])
    [{'model': 'fm', 'test AUC': '0.7600 ± 0.0140', 'parameters': '1,200'}]
    """
    table = ResultsTable()
    known = {key for row in summary for key in row}
    for row in summary:
        texts = {"model": row["model"]}
        spreads: Mapping[str, Any] = row
        for key, decimals in _SPREADS:
            if key not in known:
                continue
            own = spreads.get(key, _NOTHING)
            text = spread(own, decimals)
            if own.get("reached", row["seeds"]) < row["seeds"]:
                text += f" ({own['reached']} of {row['seeds']} runs)"
            title = _TITLES.get(key, key)
            texts[title.format(reach=reach or "the mark")] = text
        texts["parameters"] = number(row["parameters"])
        table.append(texts)
    return table


class ResultsTable(list[dict[str, str]]):
    """A dict of texts for each row, which a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return html_table(self) if self else ""


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """A table for a README or an issue, under the keys of the first row.

    Example:

    >>> print(markdown_table([{"model": "fm", "test AUC": "0.76"}]))
    | model | test AUC |
    |---|---|
    | fm | 0.76 |
    """
    header = list(rows[0])
    lines = [header, ["---"] * len(header)]
    lines += [[row[name] for name in header] for row in rows]
    texts = [[cell.replace("|", "\\|") for cell in line] for line in lines]
    texts[1] = ["---"] * len(header)
    return "\n".join(
        "|" + "|".join(line) + "|"
        if number == 1
        else "| " + " | ".join(line) + " |"
        for number, line in enumerate(texts)
    )
