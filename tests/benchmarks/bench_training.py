"""Training examples per second (eps): ours, peers and the ceiling.

    python -m tests.benchmarks.bench_training --vocabulary 1e5,1e6,1e7

For each vocabulary first a line per precision: ours beside the fastest peer of
that precision. Then a JSON line per implementation; `times` holds the medians
of the per-round ratios of its rate to the others'.
"""

from collections.abc import Sequence
from typing import Any

from tests.benchmarks import arguments
from tests.benchmarks.interleaved import Measurement, measure
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
    parser.add_argument(
        "--batches",
        type=int,
        default=32,
        help="in memory, cycled: the more, the colder the rows of the table",
    )
    options = parser.parse_args()
    for vocabulary in options.vocabulary:
        cases = [
            Case(
                name,
                vocabulary,
                options.hidden_units,
                options.optimizer,
                num_batches=options.batches,
            )
            for name in options.implementations
        ]
        groups = measure(
            cases, options.rounds, options.seconds, options.environments
        )
        for record in beside_the_best(groups):
            emit({"benchmark": "best peer"} | record, options.output)
        for group in groups:
            for measurement in group:
                record = measurement.record(group)
                emit({"benchmark": "training"} | record, options.output)


def beside_the_best(
    groups: Sequence[Sequence[Measurement]],
) -> list[dict[str, Any]]:
    """For each precision, and clock: the fastest peer, and our lead on it.

    Of what ran in the same rounds. Where the processor is shared, its own
    seconds (`cpu_ratio`) say more than the clock.
    """
    found = []
    for mine in ("ours", "ours_bfloat16"):
        precision = IMPLEMENTATIONS[mine].policy
        pairs = [
            (own, peer)
            for group in groups
            for own in group
            if own.case.implementation == mine and own.rounds
            for peer in group
            if IMPLEMENTATIONS[peer.case.implementation].is_peer
            and IMPLEMENTATIONS[peer.case.implementation].policy == precision
            and peer.rounds
        ]
        if not pairs:
            continue
        record = {"label": pairs[0][0].case.label, "precision": precision}
        for name, ratio in (
            ("ratio", Measurement.ratio_to),
            ("cpu_ratio", Measurement.cpu_ratio_to),
        ):
            lead, best = min(
                (ratio(own, peer), peer.case.implementation)
                for own, peer in pairs
            )
            record |= {name: lead, f"{name}_to": best}
        found.append(record)
    return found


if __name__ == "__main__":
    main()
