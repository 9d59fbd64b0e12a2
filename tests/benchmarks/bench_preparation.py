"""Speed and peak memory of `deepfm_tf.prepare` on text in Criteo's format.

    python -m tests.benchmarks.bench_preparation --gigabytes 1

Each round prepares the text, with the fields of `pipelines.criteo`, in a
process of its own; importing is not timed. GB are 1e9 bytes of text.
"""

import json
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import arguments
from tests.benchmarks.data import write_criteo_text
from tests.benchmarks.machine import ROOT, emit, kibibytes


def criteo_text(directory: Path, vocabulary: int, num_bytes: int) -> Path:
    """A text file, made once."""
    path = directory / "data" / f"criteo-{vocabulary}-{num_bytes}.tsv"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        write_criteo_text(temporary, vocabulary, num_bytes)
        temporary.rename(path)
    return path


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--vocabulary", type=float, default=1e6)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    text = criteo_text(
        options.environments,
        int(options.vocabulary),
        int(options.gigabytes * 1e9),
    )
    answers = [
        json.loads(
            subprocess.run(
                [sys.executable, "-m", __spec__.name, "--prepare", str(text)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
        for _ in range(options.rounds)
    ]
    gigabytes = text.stat().st_size / 1e9
    rates = [60 * gigabytes / answer["seconds"] for answer in answers]
    record = {
        "benchmark": "preparation",
        "gigabytes": round(gigabytes, 3),
        "vocabulary": int(options.vocabulary),
        "rows": answers[0]["rows"],
        "gb_per_minute": round(statistics.median(rates), 2),
        "rounds": [round(rate, 2) for rate in rates],
        "peak_gb": max(answer["peak_gb"] for answer in answers),
    }
    emit(record, options.output)


def prepare(text: Path) -> None:
    """Prepare once, and print what it took; the child's part."""
    import deepfm_tf
    from pipelines.criteo import RECIPE

    directory = text.with_suffix(".prepared")
    shutil.rmtree(directory, ignore_errors=True)
    begin = time.perf_counter()
    prepared = deepfm_tf.prepare(
        str(text),
        directory,
        schema=RECIPE.schema(10),
        text_format=RECIPE.text_format,
    )
    seconds = time.perf_counter() - begin
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak = max(kibibytes("/proc/self/status", "VmHWM"), children)
    answer = {
        "seconds": seconds,
        "rows": prepared.num_rows,
        "peak_gb": round(peak * 1024 / 1e9, 2),
    }
    print(json.dumps(answer))
    shutil.rmtree(directory)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(Path(sys.argv[2]))
    else:
        main()
