"""Shapes of the hidden layers, a sweep's design, and what is said of it."""

import math
import statistics

import pytest

from deepfm_tf.experiment.fitting.training import UserError
from deepfm_tf.experiment.options.structures import (
    SHAPES,
    Space,
    Structure,
    effects,
    hidden_units,
    lead,
)

VALUES = {
    "depth": (3, 1),
    "width": (20, 40),
    "shape": ("pyramid", "constant"),
    "activation": ("relu",),
    "dropout": (0.1, 0.0),
    "embedding_dim": (10,),
}


@pytest.mark.parametrize(
    ("shape", "depth", "width", "expected"),
    [
        # Guo et al., 2017, section 3.3.
        ("constant", 3, 200, (200, 200, 200)),
        ("inverted", 3, 200, (100, 200, 300)),
        ("pyramid", 3, 200, (300, 200, 100)),
        ("diamond", 3, 200, (150, 300, 150)),
        # Ours, and the package's default pyramid.
        ("pyramid", 3, 20, (30, 20, 10)),
        ("diamond", 4, 30, (20, 40, 40, 20)),
        ("diamond", 5, 9, (5, 10, 15, 10, 5)),
        ("diamond", 2, 7, (7, 7)),
        ("inverted", 1, 7, (7,)),
    ],
)
def test_shapes_are_those_of_the_paper(shape, depth, width, expected):
    assert hidden_units(shape, depth, width) == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_all_shapes_have_as_many_units(shape):
    for depth in range(1, 8):
        for width in (4, 7, 32, 101):
            assert sum(hidden_units(shape, depth, width)) == depth * width


def test_an_empty_layer_is_refused():
    with pytest.raises(UserError, match="Width 1 is too narrow .* pyramid"):
        hidden_units("pyramid", 4, 1)
    with pytest.raises(UserError, match="Width 1 is too narrow"):
        Space({**VALUES, "width": (20, 1), "depth": (3, 5)})


def test_the_first_values_are_the_base():
    base = Space(VALUES).base

    assert base == Structure(3, 20, "pyramid", "relu", 0.1, 10)
    assert base.name == "30-20-10, relu, dropout 0.1, k 10"
    assert base.settings() == {
        "hidden_units": (30, 20, 10),
        "activation": "relu",
        "dropout": 0.1,
        "embedding_dim": 10,
    }


def test_changes_are_of_one_factor_and_make_another_model():
    changes = Space(VALUES).changes()

    assert [(name, changed.name) for name, changed in changes] == [
        ("depth", "20, relu, dropout 0.1, k 10"),
        ("width", "60-40-20, relu, dropout 0.1, k 10"),
        ("shape", "20-20-20, relu, dropout 0.1, k 10"),
        ("dropout", "30-20-10, relu, dropout 0, k 10"),
    ]
    # A single layer has no shape.
    single = Space({**VALUES, "depth": (1,)}).changes()
    assert [name for name, _ in single] == ["width", "dropout"]


def test_a_shape_that_is_another_one_is_that_one():
    space = Space({**VALUES, "depth": (2, 1, 3), "shape": SHAPES})

    # 20-20 is a diamond of two layers, too.
    diamond = Structure(2, 20, "diamond", "relu", 0.1, 10)
    assert space.canonical(diamond) == space.base
    assert [c.shape for name, c in space.changes() if name == "shape"] == [
        *("pyramid", "inverted"),
    ]
    assert space.skipped() == [
        "shape diamond, which is constant with 2 hidden layers (20-20)"
    ]
    for shape in SHAPES:
        single = Structure(1, 20, shape, "relu", 0.1, 10)
        deep = Structure(3, 20, shape, "relu", 0.1, 10)
        assert space.canonical(single).shape == "constant"
        assert space.canonical(deep) == deep
    alone = Space({**VALUES, "depth": (1,)})
    assert alone.skipped() == [
        "shape constant, which is pyramid with 1 hidden layer (20)"
    ]


def test_a_value_twice_is_refused():
    with pytest.raises(UserError, match="--dropouts must not repeat"):
        Space({**VALUES, "dropout": (0.1, 0.1)})


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
    report["structure"]["best"] = {"mean": 0.8, "values": [0.7, 0.8, 0.9]}
    report["recommended"] = "base"
    report["comparisons"] = [
        {"metric": "auc", "text": "better by 1"},
        {"metric": "log_loss", "text": "worse by 2"},
    ]

    assert (
        "validation AUC of 0.8100 over 3 seeds, with a seed-to-seed "
        "variation of ± 0.0497. 1 of the 2 single changes goes beyond that: "
        "depth 2 (better by 0.1800). Difference between the best and the "
        "worst value of each factor: depth 0.1800, width 0.0200." in alone
    )
    assert " 2 structures besides the base were tried, with one seed" in alone
    assert alone.endswith("None of them is better than the base.")
    told = (
        " The best on the validation data (another) has a validation AUC of "
        "0.8000 over 3 seeds. Against the base on the test data: AUC better "
        "by 1; log loss worse by 2."
    )
    assert lead(report).endswith(
        f"{told} The AUC on the test data does not show that it is better: "
        "keep the base."
    )
    report["recommended"] = "best"
    assert lead(report).endswith(told)


def test_what_was_left_out_is_said():
    shapes = {"depth": (2,), "shape": ("constant", "diamond")}
    space = Space({**SPACE.values, **shapes})
    structure = dict(space.changes())["width"]
    finished = {
        s.name: {"structure": vars(s), "value": 0.8, "pruned": False}
        | {"parameters": 9, "seconds": 1.0, "epochs": 2}
        for s in (space.base, structure)
    }

    found = effects("auc", space, finished, [], SEEDS)

    left_out = "shape diamond, which is constant with 2 hidden layers (8-8)"
    assert found["skipped"] == [left_out]
    assert f" Left out: {left_out}." in lead({"structure": found, "best": ""})


def test_the_best_is_told_by_its_mean():
    best = SPACE.changes()[0][1].name
    finished = {
        s.name: {"structure": vars(s), "value": 0.8, "pruned": False}
        | {"parameters": 9, "seconds": 1.0, "epochs": 2}
        for s in (SPACE.base, *(changed for _, changed in SPACE.changes()))
    }

    found = effects("auc", SPACE, finished, [], SEEDS, (best, [0.9, 0.7, 0.86]))

    assert found["best"]["mean"] == pytest.approx(0.82)
    assert found["best"]["improvement"] == pytest.approx(0.01)
    assert found["best"]["name"] == best


def test_nothing_beyond_the_seeds_is_said_too():
    text = lead({"structure": make_effects(depth=0.82), "best": ""})

    assert "None of the 2 single changes goes beyond that. Difference" in text
