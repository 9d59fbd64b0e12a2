"""torch with `Embedding(sparse=True)` and SparseAdam, the rest with Adam."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import nn

from tests.benchmarks.data import NUM_CATEGORICAL, NUM_NUMERIC, field_sizes
from tests.benchmarks.peers.serve import serve
from tests.benchmarks.peers.torch_loop import TorchTrainer, tensor_batches


class DeepFM(nn.Module):
    """One table for all fields, and its twin for the first order."""

    def __init__(
        self, sizes: Sequence[int], width: int, hidden_units: Sequence[int]
    ) -> None:
        super().__init__()
        offsets = torch.tensor([0, *accumulate(sizes)][:-1])
        self.register_buffer("offsets", offsets)
        self.factors = nn.Embedding(sum(sizes), width, sparse=True)
        self.weights = nn.Embedding(sum(sizes), 1, sparse=True)
        nn.init.uniform_(self.factors.weight, -0.05, 0.05)
        nn.init.uniform_(self.weights.weight, -0.05, 0.05)
        self.linear = nn.Linear(NUM_NUMERIC, 1)
        layers: list[nn.Module] = []
        features = NUM_CATEGORICAL * width + NUM_NUMERIC
        for units in hidden_units:
            layers += [nn.Linear(features, units), nn.ReLU()]
            features = units
        self.pyramid = nn.Sequential(*layers, nn.Linear(features, 1))

    def forward(self, ids: Any, values: Any) -> Any:
        rows = ids + self.offsets
        # (batch, fields, k)
        factors = self.factors(rows)
        second = factors.sum(1).square() - factors.square().sum(1)
        deep = self.pyramid(torch.cat([factors.flatten(1), values], 1))
        first = self.weights(rows).sum(1) + self.linear(values)
        return first + 0.5 * second.sum(1, keepdim=True) + deep


class Trainer(TorchTrainer):
    differs = "numbers go raw to the pyramid, which is 26 k + 13 wide"

    def __init__(self, settings: dict) -> None:
        super().__init__(tensor_batches(settings))
        torch.manual_seed(0)
        self.model = DeepFM(
            field_sizes(settings["vocabulary"]),
            settings["embedding_dim"],
            settings["hidden_units"],
        )
        tables = [self.model.factors.weight, self.model.weights.weight]
        dense = [*self.model.linear.parameters()]
        dense += self.model.pyramid.parameters()
        rate = settings["learning_rate"]
        self.optimizers = (
            torch.optim.SparseAdam(tables, lr=rate),
            torch.optim.Adam(dense, lr=rate),
        )
        self.loss = nn.BCEWithLogitsLoss()

    def train(self, batch: Any) -> float:
        ids, values, label = batch
        loss = self.loss(self.model(ids, values), label)
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.item()


if __name__ == "__main__":
    serve(Trainer)
