"""Structures of the hidden layers, and which of them to try."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from deepfm_tf.errors import UserError

SHAPES = ("constant", "pyramid", "inverted", "diamond")
# As the options name them, in the order of tables and plots.
FACTORS = (
    *("depth", "width", "shape", "activation", "dropout", "embedding_dim"),
)


@dataclasses.dataclass(frozen=True)
class Structure:
    """What a sweep changes about a model.

    Args:
        depth: int. Hidden layers.
        width: int. Their mean width: layers times this are all units.
        shape: str. One of `SHAPES`, see `hidden_units`.
        activation: str.
        dropout: float. Drop probability.
        embedding_dim: int.

    Example:

    >>> base = Structure(3, 200, "diamond", "relu", 0.1, 10)
    >>> base.name
    '150-300-150, relu, dropout 0.1, k 10'
    """

    depth: int
    width: int
    shape: str
    activation: str
    dropout: float
    embedding_dim: int

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """The widths, first to last."""
        return hidden_units(self.shape, self.depth, self.width)

    @property
    def name(self) -> str:
        """What makes a model of it: equal names, equal models."""
        units = "-".join(map(str, self.hidden_units))
        return (
            f"{units}, {self.activation}, dropout {self.dropout:g}, "
            f"k {self.embedding_dim}"
        )

    def settings(self) -> dict[str, Any]:
        """Its part of `Settings`, by attribute."""
        return {
            "hidden_units": self.hidden_units,
            "activation": self.activation,
            "dropout": self.dropout,
            "embedding_dim": self.embedding_dim,
        }


def hidden_units(shape: str, depth: int, width: int) -> tuple[int, ...]:
    """Widths of the layers; every shape has `depth * width` units.

    Guo et al. (2017, section 3.3) compare shapes with the same number of
    layers and of units. Their examples are those below; other depths follow
    the same rule: widths fall or rise by equal steps, to the last layer, from
    the first one, or to both sides of the middle.

    Args:
        shape: str. `"constant"`, `"pyramid"` (their decreasing), `"inverted"`
            (increasing) or `"diamond"`.
        depth: int. Layers.
        width: int. Their mean width.

    Returns:
        Widths, first to last.

    Raises:
        UserError: a layer would be empty.

    Example:

    >>> [hidden_units(shape, 3, 200) for shape in SHAPES[:2]]
    [(200, 200, 200), (300, 200, 100)]
    >>> [hidden_units(shape, 3, 200) for shape in SHAPES[2:]]
    [(100, 200, 300), (150, 300, 150)]
    """
    rising = range(1, depth + 1)
    shares = {
        "constant": [1] * depth,
        "pyramid": list(reversed(rising)),
        "inverted": list(rising),
        "diamond": [min(n, depth + 1 - n) for n in rising],
    }[shape]
    # Rounding the sums and not the widths keeps the total.
    total, whole = depth * width, sum(shares)
    ends = [
        (2 * total * part + whole) // (2 * whole)
        for part in itertools.accumulate(shares)
    ]
    units = tuple(
        b - a for a, b in itertools.pairwise([0, *ends])
    )  # the last end is the total
    if min(units) < 1:
        raise UserError(
            f"Width {width} is too narrow for the shape {shape} with {depth} "
            f"layers: one of them would be empty. Give wider --widths."
        )
    return units


class Space:
    """The values of each factor, the base's first.

    Args:
        values: factor -> its values. The first ones make the base.

    Raises:
        UserError: a value comes twice, or a layer would be empty.
    """

    def __init__(self, values: Mapping[str, Sequence[Any]]) -> None:
        self.values = {name: tuple(values[name]) for name in FACTORS}
        for name, own in self.values.items():
            if len(set(own)) < len(own):
                option = f"--{name.replace('_', '-')}s"
                raise UserError(
                    f"{option} must not repeat a value. Received: "
                    f"{', '.join(map(str, own))}."
                )
        for point in itertools.product(
            *(self.values[name] for name in ("shape", "depth", "width"))
        ):
            hidden_units(*point)
        self.base = Structure(*(own[0] for own in self.values.values()))

    @classmethod
    def of(cls, settings: Any) -> Space:
        """That of the options of a sweep: `depths`, `widths` and so on."""
        return cls({name: getattr(settings, f"{name}s") for name in FACTORS})

    def canonical(self, structure: Structure) -> Structure:
        """The same model, by the first of the shapes that lead to it.

        A single layer has no shape, and two make a diamond constant: its
        result must not be credited to the shape that was drawn.
        """
        shapes = (
            dataclasses.replace(structure, shape=shape)
            for shape in self.values["shape"]
        )
        return next(
            (s for s in shapes if s.hidden_units == structure.hidden_units),
            structure,
        )

    def changes(self) -> list[tuple[str, Structure]]:
        """The base with one factor changed: the factor, and what it is then.

        Where the change makes no model of its own, it is left out: see
        `skipped`.
        """
        return [
            (name, changed)
            for name, changed in self._all_changes()
            if self.canonical(changed) == changed
        ]

    def skipped(self) -> list[str]:
        """The changes that are left out, and why."""
        texts = []
        for name, changed in self._all_changes():
            same = self.canonical(changed)
            if same != changed:
                units = "-".join(map(str, same.hidden_units))
                texts.append(
                    f"{name} {changed.shape}, which is {same.shape} with "
                    f"{same.depth} hidden layer{'s'[: same.depth - 1]} "
                    f"({units})"
                )
        return texts

    def _all_changes(self) -> list[tuple[str, Structure]]:
        return [
            (name, dataclasses.replace(self.base, **{name: value}))
            for name, own in self.values.items()
            for value in own[1:]
        ]
