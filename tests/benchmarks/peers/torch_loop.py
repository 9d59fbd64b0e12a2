"""What the torch workers share: batches that are tensors, a DeepFM's head."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from tests.benchmarks.data import NUM_CATEGORICAL, NUM_NUMERIC, make_batches
from tests.benchmarks.peers.loop import LoopTrainer

DIFFERS = "numbers go raw to the pyramid, which is 26 k + 13 wide"


def tensor_batches(settings: dict) -> list[tuple[Any, Any, Any]]:
    """(ids, values, label) of each batch; ids int64, which torch wants."""
    parts = make_batches(
        settings["vocabulary"], settings["batch_size"], settings["num_batches"]
    )
    ids, values, label = (torch.from_numpy(part) for part in parts)
    return list(zip(ids.long(), values, label, strict=True))


def precision(settings: dict) -> Any:
    """A block whose matrix products are of the precision asked for."""
    is_half = settings["policy"] == "mixed_bfloat16"
    return torch.autocast("cpu", torch.bfloat16, enabled=is_half)


class TorchTrainer(LoopTrainer):
    packages = ("torch",)


class Head(nn.Module):
    """DeepFM from the rows of its tables on.

    Call arguments:
        factors: (batch, fields, k).
        weights: (batch, fields), first order.
        values: (batch, 13).
    """

    def __init__(self, width: int, hidden_units: Sequence[int]) -> None:
        super().__init__()
        self.linear = nn.Linear(NUM_NUMERIC, 1)
        layers: list[nn.Module] = []
        features = NUM_CATEGORICAL * width + NUM_NUMERIC
        for units in hidden_units:
            layers += [nn.Linear(features, units), nn.ReLU()]
            features = units
        self.pyramid = nn.Sequential(*layers, nn.Linear(features, 1))

    def forward(self, factors: Any, weights: Any, values: Any) -> Any:
        second = factors.sum(1).square() - factors.square().sum(1)
        deep = self.pyramid(torch.cat([factors.flatten(1), values], 1))
        first = weights.sum(1, keepdim=True) + self.linear(values)
        return first + 0.5 * second.sum(1, keepdim=True) + deep
