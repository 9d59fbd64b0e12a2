"""What the two clients ask for, and what they give back."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Step:
    """Requests of one kind to send; `count` of them, made when needed."""

    method: str
    requests: Iterator[Any]
    count: int


@dataclasses.dataclass(frozen=True)
class Call:
    """What to ask about some rows.

    Args:
        method: str. The method of the service.
        request: the name of a model and a slice of rows -> a request.
        slices: of all rows, in their order.
        finish: the answers for all slices -> what the call returns.
    """

    method: str
    request: Callable[[Any, slice], Any]
    slices: Sequence[slice]
    finish: Callable[[list], Any]


class Classes(NamedTuple):
    """What `classify` returns.

    `labels`: object array (N, classes) of `str`; `scores`: float32 array
    (N, classes).
    """

    labels: Array
    scores: Array


class VersionStatus(NamedTuple):
    """A version of a model: its state (`"AVAILABLE"`, …) and any error."""

    version: int
    state: str
    error: str


@dataclasses.dataclass(frozen=True)
class Choice:
    """The signature and the version that a call asks for."""

    signature: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if self.version is not None and self.label is not None:
            raise UserError(
                "Only one of `version` and `label` can be given. Received: "
                f"version={self.version}, label='{self.label}'."
            )
