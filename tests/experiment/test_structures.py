"""Shapes of the hidden layers, and the design of a sweep."""

import pytest

from deepfm_tf.experiment.structures import (
    SHAPES,
    Space,
    Structure,
    hidden_units,
)
from deepfm_tf.experiment.training import UserError

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
