"""Values of options: text to what is meant, or a word on what is allowed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deepfm_tf import seeds
from deepfm_tf.errors import did_you_mean
from deepfm_tf.files.urls import is_url


def path(text: str) -> Path:
    """A file or folder that is named; no name would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(
            f"must name a file or folder, not {text!r}"
        )
    if is_url(text):
        raise argparse.ArgumentTypeError(
            f"{text} must be on a disk of this machine, or mounted here: "
            "only inputs may be URLs. Name a path, and copy it from there"
        )
    return Path(text)


def whole_number(least: int) -> Callable[[str], int]:
    """What turns text into a whole number that is large enough.

    Args:
        least: int. The smallest one that is allowed.
    """

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number of at least {least}, not {text!r}"
            )
        return value

    return parse


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    return whole_number(1)(text)


def seed(text: str) -> int:
    """A whole number that numpy and TensorFlow can be seeded with."""
    try:
        return seeds.check_seed(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 0 to {seeds.MAX_SEED}, not {text!r}"
        ) from None


def positive_float(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"must be a positive number, not {text!r}"
        )
    return value


def float_from_zero(text: str) -> float:
    """A number that is not below 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(
            f"must be a number, at least 0, not {text!r}"
        )
    return value


def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(
            f"must be a number from 0 to below 1, not {text!r}"
        )
    return value


def hidden_units(text: str) -> tuple[int, ...]:
    """Widths between commas."""
    try:
        return tuple(positive_int(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            "must be widths separated by commas, such as 30,20,10, not "
            f"{text!r}"
        ) from None


def row_counts(text: str) -> tuple[int, ...]:
    """Numbers of rows between commas."""
    try:
        return tuple(positive_int(part) for part in text.split(","))
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            "must be numbers of rows separated by commas, such as 1,10,100, "
            f"not {text!r}"
        ) from None


def share_kept(text: str) -> float:
    """A number above 0 and up to 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(
            f"must be a number above 0 and up to 1, not {text!r}"
        )
    return value


def field_files(text: str) -> tuple[str, ...]:
    """FIELD=FILE between commas; see `split_field_file`."""
    given = tuple(text.split(","))
    for each in given:
        field, _, file = each.partition("=")
        if not field or not file:
            raise argparse.ArgumentTypeError(
                "must be FIELD=FILE, such as item=embeddings.parquet, one or "
                f"several, separated by commas, not {text!r}"
            )
    return given


def split_field_file(given: str) -> tuple[str, str]:
    """The field and the file of FIELD=FILE."""
    field, _, file = given.partition("=")
    return field, file


def values_of(
    parse: Callable[[str], Any], allowed: Sequence[str] | None = None
) -> Callable[[str], tuple[Any, ...]]:
    """What turns values between commas into a tuple.

    Args:
        parse: of a single value.
        allowed: the only values, if they are names.
    """

    def parse_all(text: str) -> tuple[Any, ...]:
        parts = text.split(",")
        for part in parts:
            if allowed is not None and part not in allowed:
                raise argparse.ArgumentTypeError(
                    f"{part!r} is not known. Allowed, one or several, "
                    "separated by commas: "
                    f"{', '.join(allowed)}.{did_you_mean(part, allowed)}"
                )
        return tuple(map(parse, parts))

    return parse_all


def names_among(
    allowed: Sequence[str], what: str
) -> Callable[[str], tuple[str, ...]]:
    """What turns names between commas into a tuple, each of them once.

    Args:
        allowed: the names.
        what: what they are names of.
    """

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(dict.fromkeys(text.split(",")))
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(
                    f"{name!r} is not a {what}. Allowed, one or several, "
                    "separated by commas: "
                    f"{', '.join(allowed)}.{did_you_mean(name, allowed)}"
                )
        return names

    return parse
