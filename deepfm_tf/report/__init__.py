"""The results of an experiment as tables, plots and a page to read."""

from deepfm_tf.report.content import Report, Run, Structure, SummaryRow
from deepfm_tf.report.figures import report_figures
from deepfm_tf.report.html_report import html_report
from deepfm_tf.report.plots import plot_learning_curves, plot_reliability
from deepfm_tf.report.structure import structure_table
from deepfm_tf.report.summary import (
    calibrated,
    reference_row,
    summarize_runs,
)
from deepfm_tf.report.tables import changes, markdown_table, results_table
from deepfm_tf.text_table import text_table

__all__ = [
    "Report",
    "Run",
    "Structure",
    "SummaryRow",
    "calibrated",
    "changes",
    "html_report",
    "markdown_table",
    "plot_learning_curves",
    "plot_reliability",
    "reference_row",
    "report_figures",
    "results_table",
    "structure_table",
    "summarize_runs",
    "text_table",
]
