"""Where the milliseconds of a training step go: each operation's share.

    python -m tests.benchmarks.bench_profile --hidden-units 30,20,10

TensorFlow's profiler watches steps as `bench_training` times them; what it
says of each operation is added up by kind. Times overlap where both cores are
busy, so that they add up to more than a step, and an operation that waits for
a core is counted as if it worked: use a machine that does nothing else.
"""

import collections
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import arguments
from tests.benchmarks.machine import ROOT, emit
from tests.benchmarks.processes import IMPLEMENTATIONS, Case

_WARM_UP, _STEPS = 30, 50


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--vocabulary", type=float, default=1e6)
    parser.add_argument(
        "--hidden-units", type=arguments.whole_numbers, default="400,400,400"
    )
    parser.add_argument(
        "--implementations",
        type=arguments.words,
        default="ours,ours_without_kernels",
        help="ours, with or without kernels, of any precision",
    )
    options = parser.parse_args()
    for name in options.implementations:
        implementation = IMPLEMENTATIONS[name]
        if implementation.module != "ours":
            parser.error(f"{name} is none of ours")
        case = Case(name, int(options.vocabulary), options.hidden_units)
        settings = dataclasses.asdict(case) | {"policy": implementation.policy}
        settings["optimizer"] = implementation.optimizer or case.optimizer
        printed = subprocess.run(
            [sys.executable, "-m", __spec__.name, "--one"],
            input=json.dumps(settings),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
            env=os.environ
            | {
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "CUDA_VISIBLE_DEVICES": "-1",
                "DEEPFM_TF_KERNELS": implementation.kernels,
            },
        ).stdout
        found = json.loads(printed.splitlines()[-1])
        emit(
            {"benchmark": "profile", "label": case.label, **found},
            options.output,
        )


def profile(settings: dict[str, Any]) -> dict[str, Any]:
    """Milliseconds of a step, in all and by kind of operation."""
    import tensorflow as tf

    from tests.benchmarks.peers import ours

    trainer = ours.build(settings)
    for _ in range(_WARM_UP):
        trainer.step()
    trainer.take_loss()
    with tempfile.TemporaryDirectory() as directory:
        tf.profiler.experimental.start(directory)
        begin = time.perf_counter()
        for _ in range(_STEPS):
            trainer.step()
        trainer.take_loss()
        seconds = time.perf_counter() - begin
        tf.profiler.experimental.stop()
        (path,) = Path(directory).rglob("*.xplane.pb")
        operations = operations_of(path)
    return {
        "step_ms": round(1e3 * seconds / _STEPS, 2),
        "operations": {
            kind: {
                "ms": round(1e3 * spent / _STEPS, 3),
                "count": round(count / _STEPS, 1),
            }
            for kind, (spent, count) in sorted(
                operations.items(), key=lambda item: -item[1][0]
            )
        },
    }


def operations_of(path: Path) -> dict[str, tuple[float, int]]:
    """Seconds and number of the operations of each kind in a profile."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(path.read_bytes())
    (plane,) = (p for p in space.planes if p.name == "/host:CPU")
    spent: collections.Counter[str] = collections.Counter()
    number: collections.Counter[str] = collections.Counter()
    for line in plane.lines:
        for event in line.events:
            # `place in the graph:kind`, of operations alone.
            name = plane.event_metadata[event.metadata_id].name
            place, _, kind = name.rpartition(":")
            if "/" in place and kind.isidentifier():
                spent[kind] += event.duration_ps / 1e12
                number[kind] += 1
    return {kind: (spent[kind], number[kind]) for kind in spent}


if __name__ == "__main__":
    if sys.argv[1:] == ["--one"]:
        print(json.dumps(profile(json.load(sys.stdin))))
    else:
        main()
