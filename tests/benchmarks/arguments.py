"""Command-line arguments that the benchmarks have in common."""

import argparse
from pathlib import Path

from tests.benchmarks.environments import DEFAULT_DIRECTORY


def parser(description: str) -> argparse.ArgumentParser:
    """A parser with `--environments` and `--output`."""
    result = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    result.add_argument(
        "--environments",
        type=Path,
        default=DEFAULT_DIRECTORY,
        help="directory of the peers' environments, data and logs",
    )
    result.add_argument(
        "--output", type=Path, help="file to append the JSON lines to as well"
    )
    return result


def add_training(result: argparse.ArgumentParser) -> None:
    """Add what all timings of training steps take."""
    result.add_argument(
        "--hidden-units", type=whole_numbers, default="400,400,400"
    )
    result.add_argument("--optimizer", default="lazy_adam", help="of ours")
    result.add_argument("--rounds", type=int, default=5)
    result.add_argument(
        "--seconds", type=float, default=3.0, help="of a case in a round"
    )


def whole_numbers(text: str) -> tuple[int, ...]:
    """`"1e5,400"` to `(100000, 400)`."""
    return tuple(int(float(word)) for word in text.split(","))


def words(text: str) -> tuple[str, ...]:
    """`"a,b"` to `("a", "b")`."""
    return tuple(text.split(","))
