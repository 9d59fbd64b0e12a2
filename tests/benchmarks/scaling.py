"""How far several hosts go, by arithmetic on what bench_workers measures.

    python -m tests.benchmarks.scaling

Prints the tables of `scaling.md`, which names all that is assumed. Nothing has
run on several hosts; `MEASURED` is what `bench_workers` has measured on one.
"""

import dataclasses
import functools

import numpy as np

from tests.benchmarks.data import NUM_NUMERIC, make_rows

WORKERS = (2, 4, 8, 16, 32, 64)
GIGABITS = (10, 25, 100)
EMBEDDING_DIM, VOCABULARY = 10, 1_000_000
# Of a row: k latent weights, one of first order, each float32, and an int32.
ROW_BYTES = 4 * (EMBEDDING_DIM + 1) + 4


# CPU ms of a step of 4096 examples, V = 1e6, 30-20-10, LazyAdam: of one worker,
# and of each of two; and the bytes that each of two sends.
ALONE_MS, PAIR_MS, PAIR_BYTES = 59.8, 60.2, 609_720


@dataclasses.dataclass(frozen=True)
class Host:
    """What is assumed of a host.

    Args:
        name: of the table.
        examples: of a step on each host.
        example_us: a step's time for each example.
        row_us: time for each row that comes in, to merge and to update.
        fixed_ms: of each step with others, whatever is sent.
        byte_ns: of the step's own cores, for each byte that is sent.
        dense_bytes: of the hidden layers' gradients.
    """

    name: str
    examples: int
    example_us: float
    row_us: float
    fixed_ms: float
    byte_ns: float
    dense_bytes: float


# Seconds for a small message and its answer; how many one after the other.
LATENCY, ROUNDS = 0.1e-3, 4
# What is left of a network's rate for what is sent.
USABLE = 0.8


@functools.cache
def unique_rows(examples: int) -> int:
    """Rows of the table that so many examples touch."""
    ids, _, _ = make_rows(VOCABULARY, examples, 0)
    return NUM_NUMERIC + sum(len(np.unique(column)) for column in ids.T)


def step_seconds(host: Host, workers: int, gigabits: float, kind: str) -> float:
    """Time of a step.

    Args:
        host: Host.
        workers: int.
        gigabits: of the network, a second.
        kind: str. `"rows"`: each tells each other of its rows once.
            `"sharded"`: each row has an owner.
    """
    rows = unique_rows(host.examples)
    if kind == "rows":
        sent, merged = (workers - 1) * rows * ROW_BYTES, workers * rows
    else:  # ids there, rows back, gradients there
        share = (workers - 1) / workers
        sent = share * rows * (4 + 2 * 4 * (EMBEDDING_DIM + 1))
        merged = rows
    seconds = 1e-6 * (host.examples * host.example_us + merged * host.row_us)
    if workers == 1:
        return seconds
    dense = 2 * (workers - 1) / workers * host.dense_bytes
    return (
        seconds
        + 1e-3 * host.fixed_ms
        + 1e-9 * host.byte_ns * sent
        + (sent + dense) / (1e9 / 8 * gigabits * USABLE)
        + LATENCY * ROUNDS * np.log2(workers)
    )


def table(host: Host) -> str:
    """Efficiency: what a worker is worth beside one that is alone."""
    one = step_seconds(host, 1, 1, "rows")
    lines = [
        f"| {host.name}: {host.examples:,} examples a host and step, alone "
        f"{host.examples / one:,.0f} examples/s | "
        + " | ".join(map(str, WORKERS))
        + " |",
        "|---|" + "---|" * len(WORKERS),
    ]
    for kind, title in (("rows", "a copy each"), ("sharded", "sharded rows")):
        for gigabits in GIGABITS:
            found = [
                one / step_seconds(host, n, gigabits, kind) for n in WORKERS
            ]
            cells = " | ".join(f"{each:.2f}" for each in found)
            lines.append(f"| {title}, {gigabits} Gb/s | {cells} |")
    return "\n".join(lines)


def fitted() -> Host:
    """A host like the measured one."""
    row_us = 0.06  # merging and updating a row, as profiled
    example_us = (1e3 * ALONE_MS - row_us * unique_rows(4096)) / 4096
    half_ms = 1e-3 * (2048 * example_us + 2 * unique_rows(2048) * row_us)
    byte_ns = 2.1
    fixed_ms = PAIR_MS - half_ms - 1e-6 * byte_ns * PAIR_BYTES
    return Host(
        "One core, 30-20-10", 4096, example_us, row_us, fixed_ms, byte_ns, 50e3
    )


WIDE = Host("16 cores, 400-400-400", 8192, 2.1, 0.01, 2.0, 0.2, 1.9e6)
GPU = Host("One GPU, 400-400-400", 16384, 0.9, 0.002, 0.3, 0.0, 1.9e6)

if __name__ == "__main__":
    print(
        f"Rows that 2048 examples touch: {unique_rows(2048):,}; fixed ms: "
        f"{fitted().fixed_ms:.1f}\n"
    )
    print("\n\n".join(map(table, (fitted(), WIDE, GPU))))
