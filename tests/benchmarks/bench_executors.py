"""Parquet prepared by one process, and by the workers of a Dask cluster here.

    python -m tests.benchmarks.bench_executors --gigabytes 1 --workers 2

Needs the extra [dask]. Each way is run in a process of its own, after its
imports; a worker has one CPU. Says the seconds, the CPU seconds of all
processes, the peak memory of each, and whether the directories are equal.
GB are 1e9 bytes of Parquet.
"""

import filecmp
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from tests.benchmarks import arguments
from tests.benchmarks.data import NUM_CATEGORICAL, NUM_NUMERIC, make_rows
from tests.benchmarks.machine import ROOT, emit, kibibytes

FILE_ROWS = 500_000
NUMBERS = [f"I{n}" for n in range(1, NUM_NUMERIC + 1)]
CATEGORIES = [f"C{n}" for n in range(1, NUM_CATEGORICAL + 1)]


def parquet_files(directory: Path, vocabulary: int, num_bytes: int) -> Path:
    """A folder of files of half a million rows, made once."""
    folder = directory / "data" / f"parquet-{vocabulary}-{num_bytes}"
    if folder.is_dir():
        return folder
    temporary = folder.with_suffix(".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    size = number = 0
    while size < num_bytes:
        ids, values, label = make_rows(vocabulary, FILE_ROWS, seed=number)
        columns = {"label": pa.array(label[:, 0].astype("int8"))}
        for place, name in enumerate(NUMBERS):
            columns[name] = pa.array(values[:, place])
        for place, name in enumerate(CATEGORIES):
            columns[name] = pc.cast(pa.array(ids[:, place]), pa.string())
        path = temporary / f"{number:05d}.parquet"
        pyarrow.parquet.write_table(pa.table(columns), path)
        size, number = size + path.stat().st_size, number + 1
    temporary.rename(folder)
    return folder


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--vocabulary", type=float, default=1e6)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    folder = parquet_files(
        options.environments,
        int(options.vocabulary),
        int(options.gigabytes * 1e9),
    )
    found = {}
    for name, workers in (("one process", 0), ("workers", options.workers)):
        command = [sys.executable, "-m", __spec__.name, "--prepare"]
        found[name] = json.loads(
            subprocess.run(
                [*command, str(folder), str(workers)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
            ).stdout
        )
    directories = [_prepared(folder, n) for n in (0, options.workers)]
    names = sorted(
        str(path.relative_to(directories[0]))
        for path in directories[0].rglob("*")
        if path.is_file() and path.name != "stamps.json"
    )
    _, different, absent = filecmp.cmpfiles(*directories, names, shallow=False)
    record = {
        "benchmark": "executors",
        "gigabytes": options.gigabytes,
        "vocabulary": int(options.vocabulary),
        "workers": options.workers,
        "are_equal": not different and not absent,
        **found,
    }
    for directory in directories:
        shutil.rmtree(directory)
    emit(record, options.output)


def _prepared(folder: Path, workers: int) -> Path:
    return folder.with_name(f"{folder.name}-prepared-{workers}")


def peak_gb() -> float:
    """The most memory that this process has had."""
    return round(kibibytes("/proc/self/status", "VmHWM") * 1024 / 1e9, 2)


def prepare(folder: Path, workers: int) -> None:
    """Prepare once, and print what it took; the child's part."""
    import deepfm_tf

    fields = [deepfm_tf.NumericField(name) for name in NUMBERS]
    fields += [deepfm_tf.CategoricalField(n, min_count=2) for n in CATEGORIES]
    schema = deepfm_tf.Schema(tuple(fields), "label")
    client = executor = None
    if workers:
        import distributed

        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            dashboard_address=None,
            memory_limit=None,
        )
        client = distributed.Client(cluster)
        executor = client.get_executor()
    directory = _prepared(folder, workers)
    shutil.rmtree(directory, ignore_errors=True)
    begin = time.perf_counter()
    prepared = deepfm_tf.prepare(
        folder, directory, schema=schema, executor=executor
    )
    seconds = time.perf_counter() - begin
    peaks = [] if client is None else list(client.run(peak_gb).values())
    if client is not None:
        client.close()
        cluster.close()
    usages = [
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    answer = {
        "rows": prepared.num_rows,
        "values": sum(prepared.schema.vocabulary_sizes),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(sum(u.ru_utime + u.ru_stime for u in usages), 1),
        "load": round(os.getloadavg()[1], 1),
        "peak_gb": peak_gb(),
        "peak_gb_of_workers": peaks,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--prepare"]:
        prepare(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
