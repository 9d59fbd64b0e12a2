"""What the torch workers share: batches that are tensors, and a loss kept."""

from typing import Any

import torch

from tests.benchmarks.data import make_batches


def tensor_batches(settings: dict) -> list[tuple[Any, Any, Any]]:
    """(ids, values, label) of each batch; ids int64, which torch wants."""
    parts = make_batches(
        settings["vocabulary"], settings["batch_size"], settings["num_batches"]
    )
    ids, values, label = (torch.from_numpy(part) for part in parts)
    return list(zip(ids.long(), values, label, strict=True))


class TorchTrainer:
    """Cycles through batches; a subclass says how to train on one.

    Args:
        batches: what `train` takes, one by one.
    """

    differs = ""
    packages = ("torch",)

    def __init__(self, batches: list) -> None:
        self._batches = batches
        self._losses: list[float] = []
        self._next = 0

    def train(self, batch: Any) -> float:
        """One step; returns the mean loss of the batch."""
        raise NotImplementedError

    def step(self) -> None:
        batch = self._batches[self._next % len(self._batches)]
        self._next += 1
        self._losses.append(self.train(batch))

    def take_loss(self) -> float:
        loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        return loss
