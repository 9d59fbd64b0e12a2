"""torch with `Embedding(sparse=True)` and SparseAdam, the rest with Adam."""

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
    tensor_batches,
)


class Trainer(TorchTrainer):
    differs = DIFFERS

    def __init__(self, settings: dict) -> None:
        super().__init__(tensor_batches(settings))
        torch.manual_seed(0)
        sizes = field_sizes(settings["vocabulary"])
        width, rate = settings["embedding_dim"], settings["learning_rate"]
        self.offsets = torch.tensor([0, *accumulate(sizes)][:-1])
        self.tables = [
            nn.Embedding(sum(sizes), columns, sparse=True)
            for columns in (width, 1)
        ]
        for table in self.tables:
            nn.init.uniform_(table.weight, -0.05, 0.05)
        self.head = Head(width, settings["hidden_units"])
        self.optimizers = (
            torch.optim.SparseAdam([t.weight for t in self.tables], lr=rate),
            torch.optim.Adam(self.head.parameters(), lr=rate),
        )
        self.loss = nn.BCEWithLogitsLoss()

    def train(self, batch: Any) -> float:
        ids, values, label = batch
        factors, weights = (table(ids + self.offsets) for table in self.tables)
        logits = self.head(factors, weights.squeeze(2), values)
        loss = self.loss(logits, label)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()


if __name__ == "__main__":
    serve(Trainer)
