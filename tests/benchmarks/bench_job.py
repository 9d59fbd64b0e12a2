"""Whole jobs, from text in Criteo's format to the test log loss.

    python -m tests.benchmarks.bench_job --rows 1e6

`deepfm-tf train` with its defaults, as typed in a new folder, and with
`--epochs 1`, against Vowpal Wabbit: logistic regression, and FM by `--lrq` of
every pair of categories against `deepfm-tf`'s FM. Vowpal Wabbit takes a format
of its own, which is written with Arrow first; that time is told apart
(`converting_s`): `times` is our wall clock over theirs with it, `times_alone`
without. It goes through the rows once (`--passes 1`), in the order of the
file, with a progressive learning rate, and has no validation rows to look at.
Both learn from the first nine tenths and are judged on the last. The jobs take
turns.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tests.benchmarks import arguments
from tests.benchmarks.data import (
    NUM_CATEGORICAL,
    NUM_NUMERIC,
    write_criteo_text as write_text,
)
from tests.benchmarks.environments import python_of
from tests.benchmarks.machine import ROOT, emit

NUMBERS = [f"I{n}" for n in range(1, NUM_NUMERIC + 1)]
CATEGORIES = [f"C{n}" for n in range(1, NUM_CATEGORICAL + 1)]
# Weights of 2^22 features: four for each of a million values.
BITS = 22
MODELS = {
    "logistic_regression": [],
    # Of the namespaces c (categories) and n (numbers), with k = 10.
    "fm": ["--lrq", "cc10", "--lrqdropout"],
}


def logs(folder: Path, rows: int, vocabulary: int) -> tuple[Path, Path]:
    """Two text files with a header: nine tenths to learn from, and a tenth."""
    folder = folder / "data" / f"job-{vocabulary}-{rows}"
    paths = folder / "train.tsv", folder / "test.tsv"
    if all(path.is_file() for path in paths):
        return paths
    folder.mkdir(parents=True, exist_ok=True)
    whole = folder / "whole.tsv"
    write_text(whole, vocabulary, rows * 250)
    lines = whole.read_bytes().splitlines(keepends=True)[:rows]
    whole.unlink()
    header = "\t".join(["label", *NUMBERS, *CATEGORIES]).encode() + b"\n"
    cut = len(lines) * 9 // 10
    for path, part in zip(paths, (lines[:cut], lines[cut:]), strict=True):
        path.write_bytes(header + b"".join(part))
    return paths


def convert(text: Path, to: Path) -> None:
    """Write Vowpal Wabbit's format: `label |n I1:x ... |c C1=a ...`."""
    table = csv.read_csv(
        text,
        parse_options=csv.ParseOptions(delimiter="\t"),
        convert_options=csv.ConvertOptions(
            column_types={name: pa.string() for name in CATEGORIES}
        ),
    )
    label = pc.if_else(pc.equal(table["label"], 1), "1", "-1")
    columns = [label, pa.scalar(" |n")]
    for name in NUMBERS:
        value = pc.ln(
            pc.add(pc.fill_null(pc.cast(table[name], "float64"), 0), 1)
        )
        text_of = pc.cast(pc.round(value, 4), pa.string())
        columns += [pa.scalar(f" {name}:"), text_of]
    columns.append(pa.scalar(" |c"))
    for name in CATEGORIES:
        columns += [pa.scalar(f" {name}="), pc.fill_null(table[name], "")]
    columns.append(pa.scalar("\n"))
    lines = pc.binary_join_element_wise(*columns, "")
    with open(to, "wb") as file:
        for chunk in lines.chunks:
            file.write("".join(chunk.to_pylist()).encode())


def timed(command: list[str], folder: Path) -> tuple[float, float]:
    """Wall clock and processor seconds of a command and its children."""
    before, begin = os.times(), time.perf_counter()
    ended = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    wall, after = time.perf_counter() - begin, os.times()
    if ended.returncode:
        raise RuntimeError(f"{command}\n{ended.stdout}\n{ended.stderr}")
    return wall, sum(after[2:4]) - sum(before[2:4])


def ours(
    model: str, train: Path, test: Path, folder: Path, *words: str
) -> dict:
    command = [sys.executable, "-m", "deepfm_tf", "train", "--model", model]
    command += ["--train", str(train), "--test", str(test), "--label", "label"]
    command += ["--report", "report.json", *words]
    wall, cpu = timed(command, folder)
    report = json.loads((folder / "report.json").read_text())
    log_loss = report["models"][0]["test"]["log_loss"]
    return {"wall_s": wall, "cpu_s": cpu, "log_loss": log_loss}


def theirs(
    model: str, train: Path, test: Path, folder: Path, python: str
) -> dict:
    command = [sys.executable, "-m", __spec__.name, "--convert"]
    both = [
        timed([*command, str(path), str(folder / f"{path.stem}.vw")], ROOT)
        for path in (train, test)
    ]
    vw = [python, "-m", "vowpalwabbit", "--quiet", "--loss_function"]
    vw += ["logistic", "--link", "logistic"]
    runs = [
        ["-d", "train.vw", "-b", str(BITS), "-f", "model", *MODELS[model]],
        ["-d", "test.vw", "-t", "-i", "model", "-p", "predictions"],
    ]
    seconds = np.sum([timed([*vw, *words], folder) for words in runs], axis=0)
    p = np.loadtxt(folder / "predictions", usecols=0)
    p = np.clip(p, 1e-7, 1 - 1e-7)
    with open(folder / "test.vw") as file:
        label = np.array([not line.startswith("-") for line in file])
    log_loss = -np.mean(np.log(np.where(label, p, 1 - p)))
    return {
        "wall_s": float(seconds[0]),
        "cpu_s": float(seconds[1]),
        "converting_s": sum(wall for wall, _ in both),
        "log_loss": float(log_loss),
    }


def ratios(rounds: list[dict], theirs: list[dict]) -> dict[str, float]:
    """Our wall clock over theirs, with and without the conversion."""
    found = {}
    for name, parts in (
        ("times", ("wall_s", "converting_s")),
        ("times_alone", ("wall_s",)),
    ):
        found[name] = statistics.median(
            us["wall_s"] / sum(them[part] for part in parts)
            for us, them in zip(rounds, theirs, strict=True)
        )
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--vocabulary", type=float, default=1e6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--models", type=arguments.words, default="logistic_regression,fm"
    )
    options = parser.parse_args()
    python = python_of("vowpal-wabbit", options.environments)
    train, test = logs(
        options.environments.absolute(),
        int(options.rows),
        int(options.vocabulary),
    )
    for model in options.models:
        jobs = {
            "ours": ours,
            "ours_one_epoch": lambda *job: ours(*job, "--epochs", "1"),
            "vowpal_wabbit": lambda *job: theirs(*job, python),
        }
        found: dict[str, list[dict]] = {name: [] for name in jobs}
        for _ in range(options.rounds):
            for name, job in jobs.items():
                folder = Path(tempfile.mkdtemp(prefix="job-"))
                found[name].append(
                    job(model, train.absolute(), test.absolute(), folder)
                )
                shutil.rmtree(folder)
        for name, rounds in found.items():
            record = {
                "benchmark": "job",
                "implementation": name,
                "model": model,
                "rows": int(options.rows),
                **{
                    key: round(
                        statistics.median(each[key] for each in rounds), 4
                    )
                    for key in rounds[0]
                },
            }
            if name != "vowpal_wabbit":
                record |= ratios(rounds, found["vowpal_wabbit"])
            emit(record, options.output)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--convert"]:
        convert(*map(Path, sys.argv[2:4]))
    else:
        main()
