"""Training examples per second (eps): ours, peers and the ceiling.

    python -m tests.benchmarks.bench_training --vocabulary 1e5,1e6,1e7

One JSON line per implementation and vocabulary; `times` holds the medians of
the per-round ratios of its rate to the others'.
"""

from tests.benchmarks import arguments
from tests.benchmarks.interleaved import measure
from tests.benchmarks.machine import emit
from tests.benchmarks.processes import IMPLEMENTATIONS, Case


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    arguments.add_training(parser)
    parser.add_argument(
        "--vocabulary", type=arguments.whole_numbers, default="1e6"
    )
    parser.add_argument(
        "--implementations",
        type=arguments.words,
        default=",".join(IMPLEMENTATIONS),
        help="the first one is in every group",
    )
    options = parser.parse_args()
    for vocabulary in options.vocabulary:
        cases = [
            Case(name, vocabulary, options.hidden_units, options.optimizer)
            for name in options.implementations
        ]
        groups = measure(
            cases, options.rounds, options.seconds, options.environments
        )
        for group in groups:
            for measurement in group:
                record = measurement.record(group)
                emit({"benchmark": "training"} | record, options.output)


if __name__ == "__main__":
    main()
