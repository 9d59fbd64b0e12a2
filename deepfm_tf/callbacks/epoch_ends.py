"""Tells of the end of each epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


class EpochEnds(keras.callbacks.Callback):
    """Calls a function when all is over that an epoch consists of.

    Its validation and its checkpoint are: what is written then stands between
    the lines of two epochs, also in a terminal, where Keras writes over a line
    as long as the epoch lasts.

    Args:
        function: called without arguments.
        num_parts: int. What Keras calls epochs, of which one is made.
    """

    def __init__(
        self, function: Callable[[], None], num_parts: int = 1
    ) -> None:
        super().__init__()
        self._function = function
        self._num_parts = num_parts
        self._num_ended = 0
        self._is_running = False

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """No epoch has begun."""
        self._is_running = False

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        """End the epoch before."""
        self._end()
        self._is_running = True

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """End the last epoch, if there was one."""
        self._end(is_last=True)
        self._is_running = False

    def _end(self, is_last: bool = False) -> None:
        if not self._is_running:
            return
        self._num_ended += 1
        if is_last or self._num_ended % self._num_parts == 0:
            self._function()
