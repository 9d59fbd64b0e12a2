"""JAX with one table, Adam on its touched rows, each step compiled as a whole.

Its arguments are donated, so that the tables are updated in place.
"""

import functools
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp

from tests.benchmarks.data import (
    NUM_CATEGORICAL,
    NUM_NUMERIC,
    field_sizes,
    make_batches,
)
from tests.benchmarks.peers.loop import LoopTrainer
from tests.benchmarks.peers.serve import serve

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


def dense_weights(width: int, hidden_units: Sequence[int]) -> list[Any]:
    """Kernel and bias of the linear part, then of each layer."""
    random = np.random.default_rng(0)
    sizes = [NUM_CATEGORICAL * width + NUM_NUMERIC, *hidden_units, 1]
    shapes = [(NUM_NUMERIC, 1), *zip(sizes, sizes[1:], strict=False)]
    return [
        (
            jnp.asarray(
                random.uniform(-1, 1, shape) / shape[0] ** 0.5,
                jnp.float32,
            ),
            jnp.zeros(shape[1], jnp.float32),
        )
        for shape in shapes
    ]


def loss_of(rows: Any, dense: Any, places: Any, values: Any, label: Any) -> Any:
    # (batch, fields, k + 1)
    found = rows[places]
    factors, weights = found[..., :-1], found[..., -1]
    second = jnp.square(factors.sum(1)) - jnp.square(factors).sum(1)
    (kernel, bias), *layers = dense
    first = weights.sum(1, keepdims=True) + values @ kernel + bias
    deep = jnp.concatenate([factors.reshape(len(values), -1), values], 1)
    for number, (kernel, bias) in enumerate(layers, 1):
        deep = deep @ kernel + bias
        deep = jax.nn.relu(deep) if number < len(layers) else deep
    logits = first + 0.5 * second.sum(1, keepdims=True) + deep
    return (jax.nn.softplus(logits) - label * logits).mean()


def adam(rate: Any, gradient: Any, values: Any, m: Any, v: Any) -> Any:
    m = m + (1 - BETA_1) * (gradient - m)
    v = v + (1 - BETA_2) * (jnp.square(gradient) - v)
    return values - rate * m / (jnp.sqrt(v) + EPSILON), m, v


@functools.partial(jax.jit, donate_argnums=(0, 1))
def train(tables: Any, dense: Any, rate: Any, batch: Any) -> Any:
    """New (table, m, v), new [values, m, v] of the dense part, and the loss."""
    ids, values, label = batch
    # As many as there are ids; what is left over is beyond the table.
    rows, places = jnp.unique(
        ids, return_inverse=True, size=ids.size, fill_value=len(tables[0])
    )
    found = [table.at[rows].get(mode="clip") for table in tables]
    loss, (gradient, gradients) = jax.value_and_grad(loss_of, (0, 1))(
        found[0], dense[0], places.reshape(ids.shape), values, label
    )
    changed = adam(rate, gradient, *found)
    tables = [
        table.at[rows].set(
            part, mode="drop", unique_indices=True, indices_are_sorted=True
        )
        for table, part in zip(tables, changed, strict=True)
    ]
    leaves, structure = jax.tree.flatten(gradients)
    updated = [
        adam(rate, *parts)
        for parts in zip(leaves, *map(jax.tree.leaves, dense), strict=True)
    ]
    dense = [
        jax.tree.unflatten(structure, part)
        for part in zip(*updated, strict=True)
    ]
    return tables, dense, loss


class Trainer(LoopTrainer):
    differs = "numbers go raw to the pyramid, which is 26 k + 13 wide"
    packages = ("jax", "jaxlib")

    def __init__(self, settings: dict) -> None:
        sizes = field_sizes(settings["vocabulary"])
        offsets = np.array([0, *accumulate(sizes)][:-1], np.int32)
        ids, values, label = make_batches(
            *(settings["vocabulary"], settings["batch_size"]),
            settings["num_batches"],
        )
        batches = zip(ids + offsets, values, label, strict=True)
        super().__init__([tuple(map(jnp.asarray, each)) for each in batches])
        width = settings["embedding_dim"]
        shape = sum(sizes), width + 1
        random = np.random.default_rng(0)
        table = random.uniform(-0.05, 0.05, shape).astype(np.float32)
        self.tables = [jnp.asarray(table), jnp.zeros(shape), jnp.zeros(shape)]
        weights = dense_weights(width, settings["hidden_units"])
        self.dense = [
            weights,
            *(jax.tree.map(jnp.zeros_like, weights) for _ in range(2)),
        ]
        self.rate, self.steps = settings["learning_rate"], 0

    def train(self, batch: Any) -> float:
        self.steps += 1
        correction = (1 - BETA_2**self.steps) ** 0.5 / (1 - BETA_1**self.steps)
        self.tables, self.dense, loss = train(
            self.tables, self.dense, self.rate * correction, batch
        )
        return float(loss)


if __name__ == "__main__":
    serve(Trainer)
