"""What is said of a sweep."""

import math
import statistics

import pytest

from pipelines.effects import effects, lead
from pipelines.structures import Space

SPACE = Space(
    {
        "depth": (1, 2),
        "width": (8, 4),
        "shape": ("constant",),
        "activation": ("relu",),
        "dropout": (0.0,),
        "embedding_dim": (4,),
    }
)
SEEDS = [0.80, 0.81, 0.82]


def make_effects(metric="auc", depth=0.99, width=0.83):
    structures = dict(SPACE.changes())
    values = {
        SPACE.base.name: (SPACE.base, SEEDS[0]),
        structures["depth"].name: (structures["depth"], depth),
        structures["width"].name: (structures["width"], width),
    }
    finished = {
        name: {
            "structure": vars(structure),
            "value": value,
            "pruned": False,
            **{"parameters": 9, "seconds": 1.0, "epochs": 2},
        }
        for name, (structure, value) in values.items()
    }
    return effects(metric, SPACE, finished, [], SEEDS)


def test_more_auc_is_better_and_less_log_loss():
    assert [
        [round(change["improvement"], 6) for change in found["changes"]]
        for found in (make_effects("auc"), make_effects("log_loss"))
    ] == [[0.18, 0.02], [-0.18, -0.02]]


def test_the_margin_is_that_of_one_more_run():
    base = make_effects()["base"]

    # 4.30: Student's t, 97.5 %, two degrees of freedom.
    margin = 4.30 * statistics.stdev(SEEDS) * math.sqrt(1 + 1 / 3)
    assert base["margin"] == pytest.approx(margin)  # .0497
    beyond = [c["beyond_seeds"] for c in make_effects()["changes"]]
    assert beyond == [True, False]


def test_the_sentences_say_what_was_found():
    report = {"structure": make_effects(), "best": "another"}

    alone = lead(report)
    report["comparisons"] = [
        {"metric": "auc", "text": "better by 1"},
        {"metric": "log_loss", "text": "worse by 2"},
    ]

    assert (
        "validation AUC of 0.8100 over 3 seeds, and by the seed alone a run "
        "is within ± 0.0497 of it. 1 of the 2 single changes goes beyond "
        "that: depth 2 (better by 0.1800). From the best value of a factor "
        "to its worst: depth 0.1800, width 0.0200." in alone
    )
    assert alone.endswith("Nothing that was tried is better than the base.")
    assert lead(report).endswith(
        "The best on the validation data (another) against the base on the "
        "test data: AUC better by 1; log loss worse by 2."
    )


def test_nothing_beyond_the_seeds_is_said_too():
    text = lead({"structure": make_effects(depth=0.82), "best": ""})

    assert "None of the 2 single changes goes beyond that. From" in text
