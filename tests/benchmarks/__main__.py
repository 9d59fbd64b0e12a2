"""The ten-minute selection: `make bench`, or `python -m tests.benchmarks`.

Each benchmark runs in a process of its own; the JSON lines and the Markdown
table lie beside the environments.
"""

import json
import subprocess
import sys

from tests.benchmarks import arguments
from tests.benchmarks.machine import ROOT
from tests.benchmarks.report import report

MEDIUM = (
    "ours,ours_bfloat16,dense_only,plain_keras,keras_rs,deepctr,torch_sparse,"
    "deepctr_torch,fuxictr"
)
LARGE = "ours,ours_bfloat16,plain_keras,deepctr,torch_sparse"


def selection(optimizer: str) -> list[list[str]]:
    """Module and arguments of each command."""
    chosen = ["--optimizer", optimizer]
    short = [*chosen, "--seconds", "1.5"]
    training = ["bench_training", *short, "--implementations"]
    narrow = ["--hidden-units", "30,20,10"]
    return [
        [*training, MEDIUM, "--vocabulary", "1e6"],
        [*training, LARGE, "--vocabulary", "1e7"],
        [*training, "ours,deepctr", "--vocabulary", "1e5"],
        [*training, "ours,plain_keras", "--vocabulary", "1e6", *narrow],
        [
            *("bench_vocabulary", *short, "--vocabulary", "1e6,1e7"),
            *("--implementations", "ours"),
        ],
        ["bench_memory", *chosen, "--implementations", "ours"],
        ["bench_reading", *short, "--megabytes", "300"],
        ["bench_preparation", "--gigabytes", "0.5"],
    ]


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--optimizer", default="lazy_adam", help="of ours")
    options = parser.parse_args()
    output = options.output or options.environments / "results.jsonl"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    common = ["--environments", str(options.environments)]
    failed = []
    for module, *rest in selection(options.optimizer):
        command = [sys.executable, "-m", f"tests.benchmarks.{module}", *rest]
        command += [*common, "--output", str(output)]
        if subprocess.run(command, cwd=ROOT).returncode:
            failed.append(" ".join(command[1:]))
    text = output.read_text(encoding="utf-8") if output.is_file() else ""
    table = output.with_suffix(".md")
    lines = [json.loads(line) for line in text.splitlines()]
    table.write_text(report(lines), encoding="utf-8")
    print(f"Table: {table}")
    if failed:
        sys.exit("Failed:\n" + "\n".join(failed))


if __name__ == "__main__":
    main()
