"""A small report with everything in it, for the tests of this room."""

import contextlib

import numpy as np
import pytest
from matplotlib.figure import Figure

import deepfm_tf

NASTY = '<script>alert("1")</script> & "quotes"'
MODELS = ("logistic_regression", "fm", "deepfm")

DRIFT = {
    "field": NASTY,
    "measure": "out_of_range",
    "share": 0.25,
    "expected": 0.00125,
    "in_training": 0.0,
    "examples": [NASTY, "1e+10"],
    "cause": "type",
    "text": f"Field '{NASTY}': 25 % are others.",
}


@contextlib.contextmanager
def blank_figures():
    """Pages have their captions; what is drawn, other tests look at."""
    blank = Figure((1, 1))
    with pytest.MonkeyPatch.context() as patch:
        for kind in (
            *("learning_curves", "reliability", "field_strengths", "factor"),
        ):
            patch.setattr(
                f"deepfm_tf.report.figures.plot_{kind}", lambda *_: blank
            )
        yield


def make_runs(num_seeds=2):
    """Runs of three models, better from one to the next."""
    runs = []
    for seed in range(1, num_seeds + 1):
        for rank, model in enumerate(MODELS):
            loss = 0.5 - 0.05 * rank + 0.01 * seed
            run = {
                "model": model,
                "seed": seed,
                "parameters": 1000 + rank,
                "seconds": 2.5 * seed,
                "epochs": 2 + rank,
                "test": {
                    "auc": 0.7 + 0.05 * rank + 0.01 * seed,
                    "log_loss": loss,
                    "normalized_entropy": loss / 0.6,
                    "calibration_ratio": 1.0 + 0.01 * seed,
                    "expected_calibration_error": 0.02,
                },
                "curve": [
                    {"step": s, "auc": 0.6 + s / 100, "log_loss": loss + 1 / s}
                    for s in range(1, 10 + 2 * rank)
                ],
                "reliability": {
                    "probability": [0.1, 0.3],
                    "label": [0.12, 0.25],
                    "weight": [50, 50],
                },
                "slices": [
                    {
                        "field": NASTY,
                        "value": value,
                        "rows": 40,
                        "mean_label": 0.25,
                        "auc": None,
                        "log_loss": loss,
                        "calibration_ratio": 1.25,
                    }
                    for value in ("a", NASTY)
                ],
                "steps_to_reach": None if rank == 0 else 4 * seed,
            }
            if rank:
                strengths = deepfm_tf.explain.FieldStrengths(
                    ("site", NASTY), np.array([0.1, 0.2]), np.eye(2)[::-1], 80
                )
                run["strengths"] = {
                    "fields": list(strengths.fields),
                    "first_order": strengths.first_order.tolist(),
                    "pairs": strengths.pairs.tolist(),
                    "rows": strengths.num_rows,
                    "ranking": strengths.ranking(),
                }
            runs.append(run)
    return runs


def make_report(num_seeds=2):
    """What `pipelines` would make of the runs, in short."""
    runs = make_runs(num_seeds)
    part = {"rows": 1234, "positives": 300, "rejected": 1}
    return {
        "title": f"Models on {NASTY}",
        "lead": f"deepfm wins. {NASTY}",
        "command": f"python -m pipelines.compare --train '{NASTY}'",
        "next_command": "python -m pipelines.tabular --model deepfm",
        "next_step": "train deepfm again, and export it",
        "versions": {"python": "3.11", "keras": "3"},
        "data": {
            "train": part,
            "test": {**part, "rows": 80, "drift": [DRIFT]},
        },
        "schema": {
            "summary": "1 categorical, 1 numeric fields",
            "label": NASTY,
            "notes": [NASTY],
            "fields": [
                {"name": NASTY, "type": "categorical", "vocabulary_size": 7},
                {"name": "price", "type": "numeric"},
            ],
        },
        "models": runs,
        "summary": deepfm_tf.report.summarize_runs(runs),
        "reach": {"metric": "log_loss", "name": "fm's best", "value": 0.6},
        "comparisons": [
            {
                "model": "deepfm",
                "baseline": "fm",
                "metric": metric,
                "seeds": num_seeds,
                "seeds_better": 1,
                "text": "better by 0.0021 ± 0.0006 (95 %)",
            }
            for metric in ("auc", "log_loss")
        ],
    }
