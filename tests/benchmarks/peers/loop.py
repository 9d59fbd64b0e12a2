"""What the workers outside of Keras share: batches in turn, and a loss kept."""

from typing import Any


class LoopTrainer:
    """Cycles through batches; a subclass says how to train on one.

    Args:
        batches: what `train` takes, one by one.
    """

    differs = ""
    packages: tuple[str, ...] = ()

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
