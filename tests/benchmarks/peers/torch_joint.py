"""torch as one would write it for speed: one table, Adam on its touched rows.

The table holds factors and first-order weights side by side. A step looks up
each of its rows once, and updates these rows alone; what it computes is
compiled, the dense weights have torch's fused Adam.
"""

from itertools import accumulate
from typing import Any

import torch
from torch import nn

from tests.benchmarks.data import field_sizes
from tests.benchmarks.peers.serve import serve
from tests.benchmarks.peers.torch_loop import (
    DIFFERS,
    Head,
    TorchTrainer,
    precision,
    tensor_batches,
)

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7


class DeepFM(nn.Module):
    """All but the table, whose rows it is given."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head

    def forward(self, rows: Any, places: Any, values: Any) -> Any:
        # (batch, fields, k + 1)
        found = rows[places]
        return self.head(found[..., :-1], found[..., -1], values)


def adam(rate: Any, gradient: Any, rows: Any, m: Any, v: Any) -> Any:
    m = m + (1 - BETA_1) * (gradient - m)
    v = v + (1 - BETA_2) * (gradient.square() - v)
    return rows - rate * m / (v.sqrt() + EPSILON), m, v


class Trainer(TorchTrainer):
    differs = DIFFERS

    def __init__(self, settings: dict) -> None:
        super().__init__(tensor_batches(settings))
        torch.manual_seed(0)
        sizes = field_sizes(settings["vocabulary"])
        width = settings["embedding_dim"]
        self.offsets = torch.tensor([0, *accumulate(sizes)][:-1])
        self.table = torch.empty(sum(sizes), width + 1).uniform_(-0.05, 0.05)
        self.m, self.v = (torch.zeros_like(self.table) for _ in range(2))
        self.rate, self.steps = settings["learning_rate"], 0
        self.model = DeepFM(Head(width, settings["hidden_units"]))
        self.dense = torch.optim.Adam(
            self.model.parameters(), lr=self.rate, fused=True
        )
        self.loss = nn.BCEWithLogitsLoss()
        self.precision = precision(settings)
        self.run = torch.compile(self.model, dynamic=True)
        self.adam = torch.compile(adam, dynamic=True)

    def train(self, batch: Any) -> float:
        ids, values, label = batch
        unique, places = torch.unique(ids + self.offsets, return_inverse=True)
        rows = self.table[unique].requires_grad_()
        with self.precision:
            logits = self.run(rows, places, values)
        loss = self.loss(logits.float(), label)
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
