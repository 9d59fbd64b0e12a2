"""Structures of the hidden layers: which to try, and what each changes."""

from __future__ import annotations

import dataclasses
import itertools
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import deepfm_tf
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


def effects(
    metric: str,
    space: Space,
    finished: Mapping[str, Mapping[str, Any]],
    searched: Sequence[Mapping[str, Any]],
    base_values: Sequence[float],
    best: tuple[str, Sequence[float]] | None = None,
) -> dict[str, Any]:
    """The `structure` of a report: see `deepfm_tf.report.structure_table`.

    A change is trained with one seed. By chance alone, as large as that of the
    base's seeds, it falls within `margin` of the base's mean 19 times of 20
    (see `deepfm_tf.metrics.margin_of_one_more`).

    Args:
        metric: `"log_loss"` or `"auc"`.
        space: the Space.
        finished: name -> result of `Trials`, with the first seed.
        searched: those of them that the search found.
        base_values: of the base, seed by seed.
        best: name and values, seed by seed, of the best that was tried, if
            that is not the base.
    """
    mean = statistics.fmean(base_values)
    std = statistics.stdev(base_values)
    margin = deepfm_tf.metrics.margin_of_one_more(base_values)
    sign = 1 if metric == "auc" else -1

    def entry(run: Mapping[str, Any]) -> dict[str, Any]:
        improvement = sign * (run["value"] - mean)
        return {
            **run["structure"],
            "parameters": run["parameters"],
            "seconds": run["seconds"],
            "epochs": run["epochs"],
            "pruned": run["pruned"],
            "value": run["value"],
            "improvement": improvement,
            "beyond_seeds": abs(improvement) > margin,
        }

    changes = [
        {
            "factor": factor,
            "name": changed.name,
            **entry(finished[changed.name]),
        }
        for factor, changed in space.changes()
    ]
    found = {
        "metric": metric,
        "factors": {name: list(own) for name, own in space.values.items()},
        "base": {
            "name": space.base.name,
            "parameters": finished[space.base.name]["parameters"],
            "values": list(base_values),
            "mean": mean,
            "std": std,
            "margin": margin,
        },
        "changes": changes,
        "searched": [
            {"name": Structure(**run["structure"]).name, **entry(run)}
            for run in searched
        ],
        "skipped": space.skipped(),
    }
    if best is not None:
        name, values = best
        found["best"] = {
            "name": name,
            "parameters": finished[name]["parameters"],
            "values": list(values),
            "mean": statistics.fmean(values),
            "std": statistics.stdev(values),
            "improvement": sign * (statistics.fmean(values) - mean),
        }
    return found


def lead(report: Mapping[str, Any]) -> str:
    """What the structure changes, in some sentences.

    Args:
        report: with `structure` and `best`, and `comparisons` and
            `recommended` if the best is not the base.
    """
    structure = report["structure"]
    metric, base = structure["metric"], structure["base"]
    title = deepfm_tf.metrics.METRIC_TITLES[metric]
    changes = structure["changes"]
    beyond = [change for change in changes if change["beyond_seeds"]]
    text = (
        f"The base ({base['name']}) has a validation {title} of "
        f"{base['mean']:.4f} over {len(base['values'])} seeds, with a "
        f"seed-to-seed variation of ± {base['margin']:.4f}. "
        f"{len(beyond) or 'None'} of the {len(changes)} single changes "
        f"{'goes' if len(beyond) < 2 else 'go'} beyond that"
    )
    beyond.sort(key=lambda change: -abs(change["improvement"]))
    listed = [
        f"{change['factor'].replace('_', ' ')} {change[change['factor']]} "
        f"({'better' if change['improvement'] > 0 else 'worse'} by "
        f"{abs(change['improvement']):.4f})"
        for change in beyond
    ]
    text += f": {', '.join(listed)}." if listed else "."
    spreads = _spreads(structure)
    if spreads:
        parts = [
            f"{name.replace('_', ' ')} {spread:.4f}" for name, spread in spreads
        ]
        text += (
            " Difference between the best and the worst value of each "
            f"factor: {', '.join(parts)}."
        )
    if structure["skipped"]:
        text += f" Left out: {'; '.join(structure['skipped'])}."
    number = len(changes) + len(structure["searched"])
    text += (
        f" {number} structures besides the base were tried, with one seed "
        "each. By chance, about one in 20 of them exceeds the seed-to-seed "
        "variation, and the best one looks better than it is."
    )
    if "comparisons" not in report:
        return f"{text} None of them is better than the base."
    texts = {entry["metric"]: entry["text"] for entry in report["comparisons"]}
    best = structure["best"]
    text += (
        f" The best on the validation data ({report['best']}) has a validation "
        f"{title} of {best['mean']:.4f} over {len(best['values'])} seeds. "
        "Against the base on the test data: AUC "
        f"{texts['auc']}; log loss {texts['log_loss']}."
    )
    if report["recommended"] == "base":
        text += (
            f" The {title} on the test data does not show that it is better: "
            "keep the base."
        )
    return text


def _spreads(structure: Mapping[str, Any]) -> list[tuple[str, float]]:
    """Factors by the range of their values' results, the base's included."""
    values: dict[str, list[float]] = {}
    for change in structure["changes"]:
        own = values.setdefault(change["factor"], [structure["base"]["mean"]])
        own.append(change["value"])
    spreads = {name: max(own) - min(own) for name, own in values.items()}
    return sorted(spreads.items(), key=lambda pair: -pair[1])
