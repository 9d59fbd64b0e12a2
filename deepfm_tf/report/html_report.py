"""The results of an experiment as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepfm_tf.metrics import METRIC_TITLES
from deepfm_tf.report.content import Report
from deepfm_tf.report.figures import ReportFigure, report_figures
from deepfm_tf.report.page import (
    command,
    figure,
    figures,
    heading,
    page,
    paragraph,
    table,
)
from deepfm_tf.report.structure import structure_table
from deepfm_tf.report.tables import changes, number, results_table

# Ranked terms that are listed beside a heat map.
_TOP_TERMS = 15
# Columns that have a table of their own.
_TRAINING = ("epochs", "best epoch", "seconds", "parameters")
# Key, decimals.
_SLICE_METRICS = (("auc", 4), ("log_loss", 4), ("calibration_ratio", 3))


def html_report(
    report: Report,
    plots: Mapping[str, ReportFigure] | None = None,
) -> str:
    """A page with everything a report holds: no scripts, nothing to fetch.

    It works offline, can be read on a phone and printed. Every number in it
    stands in `report` too; every text is escaped.

    Args:
        report: plain data, as JSON holds it.
        plots: what `report_figures` made of it, if it is made already.

    Returns:
        The HTML text.

    Raises:
        ImportError: matplotlib is not installed.
    """
    shown = report_figures(report) if plots is None else plots
    sections = [
        *_results(report),
        *_structure(report, shown),
        *_plots("Learning curves", shown, "learning_curve_"),
        *_comparisons(report),
        *_plots("Reliability", shown, "reliability"),
        *_calibrations(report),
        *_slices(report),
        *_strengths(report, shown),
        *_data(report),
        *_commands(report),
    ]
    return page(report["title"], sections)


def _results(report: Report) -> list[str]:
    summary = report["summary"]
    reach = report.get("reach", {}).get("name")
    seeds = max(row["seeds"] for row in summary)
    about = f"Metrics of the test data{_weighted(report)}. "
    if seeds > 1:
        about += f"Mean ± standard deviation over {seeds} seeds. "
    about += (
        "Calibration is the mean probability divided by the mean label. "
        "Calibration error is the mean distance of the reliability curve "
        "from the diagonal."
    )
    calibrated = [run for run in report["models"] if "calibration" in run]
    if any(row["parameters"] is None for row in summary):
        about += (
            " The row constant predicts the average rate of the training "
            "data for every row. Normalized entropy is the log loss divided "
            "by that of the best constant: a useful model is below 1."
        )
    if calibrated:
        run = calibrated[0]
        about += (
            f" {run['model']}, {run['calibration']['method']} is the model "
            "with its calibration, which is what --export writes. Learning "
            "curves, slices and pairs of fields show the model before "
            "calibration."
        )
    rows = results_table(summary, reach)
    num_trained = sum(row["parameters"] is not None for row in summary)
    best = {}
    for title, key, sign in (
        ("test AUC", "auc", -1),
        ("test log loss", "log_loss", 1),
    ):
        spreads: list[Mapping[str, Any]] = list(summary)
        means = [row[key]["mean"] for row in spreads]
        if num_trained > 1 and None not in means:
            best[title] = min(range(len(means)), key=lambda i: sign * means[i])
    if best:
        about += " The best mean is bold; it may be ahead by chance."
    if report.get("group_by"):
        about += (
            f" GAUC is the mean AUC of the groups of {report['group_by']}, "
            "weighted by their rows."
        )
    opening = [report.get("verdict"), report.get("lead")]
    return [
        *(paragraph(text, "lead") for text in opening if text),
        heading("Results"),
        table([_without(row, _TRAINING) for row in rows], "Results", best=best),
        paragraph(about, "quiet"),
        *(paragraph(text, "note") for text in report.get("findings", ())),
        *_training(report, rows),
    ]


def _training(report: Report, rows: Sequence[Mapping[str, str]]) -> list[str]:
    """What is not about the test data; one table would be too wide."""
    models = {run["model"] for run in report["models"]}
    trained = [
        {"model": row["model"], **{t: row[t] for t in _TRAINING if t in row}}
        for row in rows
        if row["model"] in models
    ]
    sections = [heading("Training", 3), table(trained, "Training")]
    if "best epoch" in trained[0]:
        text = "The weights are those of the best epoch on validation data."
        if any("averaged" in run for run in report["models"]):
            text += " If a finding says so, they are a mean of several epochs."
        sections.append(paragraph(text, "quiet"))
    return sections


def _without(row: Mapping[str, str], titles: Sequence[str]) -> dict[str, str]:
    return {title: row[title] for title in row if title not in titles}


def _weighted(report: Report) -> str:
    """To be said after what the example weights count in."""
    weight = report["schema"].get("example_weight")
    return f", weighted by {weight}" if weight else ""


def _structure(report: Report, shown: Mapping[str, ReportFigure]) -> list[str]:
    if "structure" not in report:
        return []
    title = "What the structure changes"
    return [
        *_plots(title, shown, "structure_"),
        heading("Every structure tried", 3),
        table(structure_table(report["structure"]), title, wide=("structure",)),
        paragraph(
            "Changes are trained with the first seed and compared with the "
            "mean of the base. Beyond the seeds: a run of the base differs "
            "that much only once in 20 runs. The validation data choose the "
            "best of many, which looks better on them than it is; the test "
            "data are free of this bias.",
            "quiet",
        ),
    ]


def _comparisons(report: Report) -> list[str]:
    if not report.get("comparisons"):
        return []
    baseline = report["comparisons"][0]["baseline"]
    rows: dict[str, dict[str, str]] = {}
    for entry in report["comparisons"]:
        row = rows.setdefault(entry["model"], {"model": entry["model"]})
        title = METRIC_TITLES[entry["metric"]]
        row[title] = entry["text"]
        row[f"seeds, {title}"] = f"{entry['seeds_better']} / {entry['seeds']}"
    return [
        heading(f"Compared with {baseline}, row by row"),
        table(
            list(rows.values()),
            f"Comparisons with {baseline}",
            wide=("AUC", "log loss"),
        ),
        paragraph(
            f"Both models score the same test rows{_weighted(report)} (AUC: "
            "DeLong; log loss: the rows' differences), seed by seed. The "
            "intervals cover the sampling of test rows and the seed-to-seed "
            "variation. The column beside them counts the seeds with which "
            "the model is better.",
            "quiet",
        ),
    ]


def _plots(
    title: str, shown: Mapping[str, ReportFigure], prefix: str
) -> list[str]:
    parts = [
        figure(*plot) for name, plot in shown.items() if name.startswith(prefix)
    ]
    return [heading(title), figures(parts)] if parts else []


def _calibrations(report: Report) -> list[str]:
    """Each metric of the test data before and after."""
    rows: list[dict[str, str]] = []
    notes: list[str] = []
    for run in report["models"]:
        if "calibration" in run:
            calibration = run["calibration"]
            row = {"model": run["model"], "method": calibration["method"]}
            if note := calibration.get("note"):
                notes.append(note)
            rows.append(row | changes(run["test"], calibration["test"]))
    if not rows:
        return []
    return [
        heading("Calibration"),
        table(rows, "Calibration"),
        paragraph(
            f"Metrics of the test data{_weighted(report)}, before and after. "
            "The calibration was fitted on the validation data, which also "
            "chose the epoch.",
            "quiet",
        ),
        *map(paragraph, notes),
    ]


def _slices(report: Report) -> list[str]:
    """One table a metric: a line for each slice, a column for each model."""
    sliced = [run for run in report["models"] if run.get("slices")]
    if not sliced:
        return []
    first = list({run["model"]: run for run in reversed(sliced)}.values())[::-1]
    about = (
        "Rare and unseen values form one slice, OOV, because they share one id."
    )
    kinds = {f["name"]: f["type"] for f in report["schema"]["fields"]}
    fields = dict.fromkeys(entry["field"] for entry in first[0]["slices"])
    if "bucketized" in [kinds.get(field) for field in fields]:
        about += " A bucket does not contain its upper bound."
    if _weighted(report):
        about += f" Metrics and mean labels are{_weighted(report)[1:]}."
    if any("calibration" in run for run in first):
        about += " All models are shown before calibration."
    if len(sliced) > len(first):
        about += f" Runs with seed {first[0]['seed']}."
    sections = [heading("Slices of the test data"), paragraph(about, "quiet")]
    for key, decimals in _SLICE_METRICS:
        title, rows = METRIC_TITLES[key], []
        for number_, entry in enumerate(first[0]["slices"]):
            row = {
                "value": f"{entry['field']} = {entry['value']}",
                "rows": number(entry["rows"]),
                "mean label": number(entry["mean_label"]),
            }
            for run in first:
                value = run["slices"][number_][key]
                row[run["model"]] = number(value, decimals)
            rows.append(row)
        sections += [heading(title, 3), table(rows, f"{title} of slices")]
    return sections


def _strengths(report: Report, shown: Mapping[str, ReportFigure]) -> list[str]:
    sections = _plots("Pairs of fields", shown, "field_strengths_")
    listed = set()
    for run in report["models"]:
        if "strengths" not in run or run["model"] in listed:
            continue
        listed.add(run["model"])
        rows = [
            {
                "term": term["term"],
                "kind": term["kind"],
                "mean |term|": number(term["strength"]),
            }
            for term in run["strengths"]["ranking"][:_TOP_TERMS]
        ]
        title = f"Strongest terms of {run['model']}"
        sections += [heading(title, 3), table(rows, title)]
        if run["strengths"].get("has_pyramid"):
            text = (
                "These figures do not include what the hidden layers compute "
                "from the fields; permutation_importance does."
            )
            sections.append(paragraph(text, "quiet"))
    return sections


def _data(report: Report) -> list[str]:
    parts = [
        {
            "part": name,
            "rows": number(part["rows"]),
            "positive": f"{part['positives'] / part['rows']:.2%}",
            "rejected": number(part["rejected"]),
        }
        for name, part in report["data"].items()
    ]
    schema = report["schema"]
    notes = list(schema.get("notes", ()))
    fields = []
    for field in schema["fields"]:
        kind = field["type"].replace("_", "-")
        row = {"field": field["name"], "type": kind}
        row["ids"] = number(field.get("vocabulary_size"))
        # What `infer_schema` notes of a field stands in the field's line.
        opening = f"{field['name']!r}: {kind}, "
        own = [note for note in notes if note.startswith(opening)]
        row["reason"] = " ".join(own)[len(opening) : -1]
        notes = [note for note in notes if note not in own]
        fields.append(row)
    sections = [
        heading("Data"),
        table(parts, "Parts of the data"),
        paragraph(f"{schema['summary']}; the label is {schema['label']}."),
    ]
    if _weighted(report):
        text = (
            f"Rows are weighted by {schema['example_weight']} in training, "
            "in all metrics and in mean labels; the column positive is a "
            "share of unweighted rows."
        )
        sections.append(paragraph(text))
    if not any(row["reason"] for row in fields):
        fields = [_without(row, ["reason"]) for row in fields]
    sections.append(table(fields, "Fields", wide=["reason"]))
    sections += [paragraph(note, "quiet") for note in notes]
    return [*sections, *_drift(report)]


def _drift(report: Report) -> list[str]:
    """Fields whose values are not what training leads one to expect."""
    rows = [
        {
            "field": drift["field"],
            "part": name,
            "values": drift["measure"].replace("_", " "),
            "share": f"{drift['share']:.2%}",
            "expected": f"{drift['expected']:.2%}",
            "in training": f"{drift['in_training']:.2%}",
            "examples": ", ".join(drift["examples"]) or "–",
            "what it means": drift["text"],
        }
        for name, part in report["data"].items()
        for drift in part.get("drift", ())
    ]
    if not rows:
        return []
    title = "Values that differ from the training data"
    wide = ("examples", "what it means")
    return [heading(title, 3), table(rows, title, wide=wide)]


def _commands(report: Report) -> list[str]:
    versions: Sequence[str] = [
        f"{name} {version}" for name, version in report["versions"].items()
    ]
    sections = [
        heading("To reproduce"),
        command(report["command"]),
        paragraph(f"With {', '.join(versions)}.", "quiet"),
    ]
    if "next_command" in report:
        sections += [
            paragraph(f"Next, {report['next_step']}:"),
            command(report["next_command"]),
        ]
    return sections
