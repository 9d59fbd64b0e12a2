"""torch as one would write it for speed: one table, Adam on its touched rows.

The table holds factors and first-order weights side by side. A step looks up
each of its rows once, and updates these rows alone; what it computes is
compiled, the dense weights have torch's fused Adam.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from tests.benchmarks.data import NUM_CATEGORICAL, NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.serve import serve
from tests.benchmarks.peers.torch_loop import TorchTrainer, tensor_batches

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class DeepFM(nn.Module):
    """All but the table, whose rows it is given."""

    def __init__(self, width: int, hidden_units: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(NUM_NUMERIC, 1)
        layers: list[nn.Module] = []
        features = NUM_CATEGORICAL * width + NUM_NUMERIC
        for units in hidden_units:
            layers += [nn.Linear(features, units), nn.ReLU()]
            features = units
        self.pyramid = nn.Sequential(*layers, nn.Linear(features, 1))

    def forward(self, rows: Any, places: Any, values: Any) -> Any:
        # (batch, fields, k + 1)
        found = rows[places]
        factors, weights = found[..., :-1], found[..., -1]
        second = factors.sum(1).square() - factors.square().sum(1)
        deep = self.pyramid(torch.cat([factors.flatten(1), values], 1))
        first = weights.sum(1, keepdim=True) + self.linear(values)
        return first + 0.5 * second.sum(1, keepdim=True) + deep


def adam(rate: Any, gradient: Any, rows: Any, m: Any, v: Any) -> Any:
    m = m + (1 - BETA_1) * (gradient - m)
    v = v + (1 - BETA_2) * (gradient.square() - v)
    return rows - rate * m / (v.sqrt() + EPSILON), m, v


class Trainer(TorchTrainer):
    differs = "numbers go raw to the pyramid, which is 26 k + 13 wide"

    def __init__(self, settings: dict) -> None:
        super().__init__(tensor_batches(settings))
        torch.manual_seed(0)
        sizes = field_sizes(settings["vocabulary"])
        width = settings["embedding_dim"]
        self.offsets = torch.tensor([0, *accumulate(sizes)][:-1])
        self.table = torch.empty(sum(sizes), width + 1).uniform_(-0.05, 0.05)
        self.m, self.v = (torch.zeros_like(self.table) for _ in range(2))
        self.rate, self.steps = settings["learning_rate"], 0
        self.model = DeepFM(width, settings["hidden_units"])
        self.dense = torch.optim.Adam(
            self.model.parameters(), lr=self.rate, fused=True
        )
        self.loss = nn.BCEWithLogitsLoss()
        self.run = torch.compile(self.model, dynamic=True)
        self.adam = torch.compile(adam, dynamic=True)

    def train(self, batch: Any) -> float:
        ids, values, label = batch
        unique, places = torch.unique(ids + self.offsets, return_inverse=True)
        rows = self.table[unique].requires_grad_()
        loss = self.loss(self.run(rows, places, values), label)
        self.dense.zero_grad()
        loss.backward()
        self.dense.step()
        self.steps += 1
        correction = (1 - BETA_2**self.steps) ** 0.5 / (1 - BETA_1**self.steps)
        rate = torch.tensor(self.rate * correction)
        with torch.no_grad():
            changed = self.adam(
                *(rate, rows.grad, rows.detach()),
                *(self.m[unique], self.v[unique]),
            )
            for whole, part in zip(
                (self.table, self.m, self.v), changed, strict=True
            ):
                whole.index_copy_(0, unique, part)
        return loss.item()


if __name__ == "__main__":
    serve(Trainer)
