"""Peak memory of a training process, the table at its largest.

    python -m tests.benchmarks.bench_memory

`peak_gb` is the largest resident set (VmHWM) from import to the last step, in
units of 1e9 bytes; the 32 batches in memory are 0.02 of them.
"""

from tests.benchmarks import arguments
from tests.benchmarks.interleaved import measure
from tests.benchmarks.machine import emit
from tests.benchmarks.processes import Case


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--optimizer", default="lazy_adam", help="of ours")
    parser.add_argument(
        "--vocabulary", type=arguments.whole_numbers, default="1e7"
    )
    parser.add_argument(
        "--implementations", type=arguments.words, default="ours,plain_keras"
    )
    options = parser.parse_args()
    for vocabulary in options.vocabulary:
        for name in options.implementations:
            case = Case(name, vocabulary, optimizer=options.optimizer)
            # Alone: nothing is compared by time.
            (group,) = measure(
                [case], rounds=2, seconds=2, directory=options.environments
            )
            record = group[0].record(group)
            emit({"benchmark": "memory"} | record, options.output)


if __name__ == "__main__":
    main()
