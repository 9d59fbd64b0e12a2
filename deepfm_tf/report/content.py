"""What a report is made of: plain data, as JSON holds it.

A number that is undefined (the AUC of one class) is None in JSON.
"""

from __future__ import annotations

from typing import Any, TypedDict

from deepfm_tf.drift import DriftEntry
from deepfm_tf.metrics import Metrics, SeedComparison, SliceMetrics, Spread


class Point(TypedDict):
    """A point of a learning curve: metrics of the validation data."""

    step: int
    auc: float | None
    log_loss: float | None


class Reliability(TypedDict):
    """The parts of a ReliabilityCurve, bin by bin."""

    probability: list[float]
    label: list[float]
    weight: list[float]


class Strengths(TypedDict, total=False):
    """The parts of FieldStrengths."""

    fields: list[str]
    first_order: list[float]
    pairs: list[list[float]]
    rows: int
    ranking: list[dict[str, Any]]
    has_pyramid: bool  # whether hidden layers stand beside the pairs


class CalibratedRun(TypedDict, total=False):
    """A Calibration's parts, and what it does to a run."""

    method: str
    test: Metrics
    reliability: Reliability
    note: str | None  # a sentence on the metrics


class _Trained(TypedDict):
    model: str
    parameters: int
    seconds: float
    epochs: float


class Run(_Trained, total=False):
    """What came of one model trained with one seed.

    `model`, `parameters`, `seconds` and `epochs` are always there; `test` is
    in every run that was measured.
    """

    test: Metrics
    seed: int
    best_epoch: float  # whose weights were kept, or are the first of a mean
    averaged: int  # the evaluations whose weights were averaged, if they were
    examples_per_second: float
    history: dict[str, list[float]]
    steps_to_reach: int | None  # None if it did not get there
    calibration: CalibratedRun
    curve: list[Point]
    reliability: Reliability
    slices: list[SliceMetrics]
    strengths: Strengths


class Reached(Spread):
    """Of the runs that got there; `reached` is their number."""

    reached: int


class _Summarized(TypedDict):
    model: str
    parameters: int | None  # None of what was not trained
    seeds: int  # their number
    auc: Spread
    log_loss: Spread
    normalized_entropy: Spread
    calibration_ratio: Spread
    expected_calibration_error: Spread
    epochs: Spread
    seconds: Spread


class SummaryRow(_Summarized, total=False):
    """The runs of one model; the keys below if its runs have them."""

    grouped_auc: Spread
    best_epoch: Spread
    steps_to_reach: Reached


class Reach(TypedDict):
    """What `steps_to_reach` leads to."""

    metric: str  # "auc" or "log_loss", of the validation data
    name: str
    value: float


class _Schema(TypedDict):
    summary: str
    label: str
    fields: list[dict[str, Any]]  # those of `Schema.to_dict`


class SchemaEntry(_Schema, total=False):
    """The schema, as a report tells it."""

    example_weight: str | None
    notes: list[str]


class _Rows(TypedDict):
    rows: int
    positives: int
    rejected: int


class DataEntry(_Rows, total=False):
    """One part of the data: train, valid or test."""

    drift: list[DriftEntry]
    shares: list[dict[str, Any]]  # the parts of FieldShares


class _Structure(TypedDict):
    metric: str  # "auc" or "log_loss", of the validation data
    base: dict[str, Any]
    changes: list[dict[str, Any]]
    searched: list[dict[str, Any]]


class Structure(_Structure, total=False):
    """What the structure of the hidden layers changes.

    `base` has `name`, `parameters`, `mean`, `std`, `margin` (how far the seed
    alone takes a run from the mean) and `values`, seed by seed. `changes` and
    `searched` have `name`, `parameters`, `value` (of the metric),
    `improvement` (on the mean; above 0 is better), `beyond_seeds` (whether
    that exceeds the margin), `pruned`, and each factor's value; a change also
    has the `factor` changed. `best`, of the best that was tried, has `name`,
    `parameters`, `mean`, `std` and `improvement`.
    """

    best: dict[str, Any]
    factors: dict[str, list[Any]]  # name -> values, the base's first
    skipped: list[str]


class _Report(TypedDict):
    title: str
    command: str  # to be typed
    versions: dict[str, str]
    schema: SchemaEntry
    data: dict[str, DataEntry]
    models: list[Run]
    # What `summarize_runs` made of `models`, and rows to compare them with.
    summary: list[SummaryRow]


class Report(_Report, total=False):
    """Everything that a page, a table and the plots are made of."""

    seed: int
    group_by: str | None
    verdict: str  # which model is best, and whether to trust it
    findings: list[str]  # what the reader should know, a sentence each
    lead: str  # what came out, in a sentence
    comparisons: list[SeedComparison]
    reach: Reach
    structure: Structure
    best: str
    recommended: str
    next_step: str  # what `next_command` does
    next_command: str
