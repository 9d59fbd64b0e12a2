"""What every line of results says of where it comes from."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tensorflow", "keras", "numpy", "pandas", "pyarrow")


def describe() -> dict:
    """The machine: CPU, cores this process may use, memory, system."""
    return {
        "cpu": _first("/proc/cpuinfo", "model name") or platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(kibibytes("/proc/meminfo", "MemTotal") / 2**20, 1),
        "system": platform.platform(),
    }


def versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Python's version and those of the packages that are installed here."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def emit(record: dict, output: Path | None = None) -> None:
    """Print one JSON line with its origin, and append it to `output`."""
    line = json.dumps(record | {"origin": _origin()})
    print(line, flush=True)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        with open(output, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def kibibytes(path: str, key: str) -> int:
    """A number such as `VmHWM` of a file in /proc, in KiB; 0 if absent."""
    return int((_first(path, key) or "0").split()[0])


def _origin() -> dict:
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    ).stdout.strip()
    return {
        "machine": describe(),
        "versions": versions(),
        "commit": commit,
        "command": " ".join(["python", *sys.orig_argv[1:]]),
    }


def _first(path: str, key: str) -> str | None:
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return None
