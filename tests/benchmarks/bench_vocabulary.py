"""Training examples per second (eps) against the size of the vocabulary.

    python -m tests.benchmarks.bench_vocabulary --plot eps.svg

All sizes of ours and of plain Keras, interleaved as far as memory allows;
`times` of ours at 1e7 holds its rate to the one at 1e6. A size that needs
more memory than is free is reported as not tried.
"""

import json
import subprocess
from pathlib import Path

from tests.benchmarks import arguments
from tests.benchmarks.environments import python_of
from tests.benchmarks.interleaved import measure
from tests.benchmarks.machine import ROOT, emit
from tests.benchmarks.processes import Case

REFERENCE = 1_000_000


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    arguments.add_training(parser)
    parser.add_argument(
        "--vocabulary",
        type=arguments.whole_numbers,
        default="1e4,1e5,1e6,1e7,3e7,1e8",
    )
    parser.add_argument(
        "--implementations", type=arguments.words, default="ours,plain_keras"
    )
    parser.add_argument("--plot", type=Path, help="SVG file to draw")
    options = parser.parse_args()
    first, *others = options.implementations
    cases = [
        Case(name, vocabulary, options.hidden_units, options.optimizer)
        for name in (first, *others)
        for vocabulary in options.vocabulary
    ]
    # The reference first, and then by size: what can be alive together is.
    cases.sort(key=lambda case: (case.vocabulary, case.implementation != first))
    reference = Case(first, REFERENCE, options.hidden_units, options.optimizer)
    cases = [reference, *(case for case in cases if case != reference)]
    groups = measure(
        cases, options.rounds, options.seconds, options.environments
    )
    rates: dict[str, list[tuple[int, float]]] = {}
    for number, group in enumerate(groups):
        for measurement in group:
            record = measurement.record(group)
            emit({"benchmark": "vocabulary"} | record, options.output)
            if "eps" in record and (number == 0 or measurement is not group[0]):
                points = rates.setdefault(record["implementation"], [])
                points.append((record["vocabulary"], record["eps"]))
    if options.plot is not None:
        python = python_of("plots", options.environments)
        subprocess.run(
            [python, "-m", "tests.benchmarks.plot", str(options.plot)],
            input=json.dumps(rates),
            cwd=ROOT,
            text=True,
            check=True,
        )


if __name__ == "__main__":
    main()
