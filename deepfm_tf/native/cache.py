"""Where built kernels lie, and for what they were built."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "source"
# What kernels are compiled with. Each operation rounds by itself, as
# TensorFlow's own do, and none changes its place: the same numbers on any CPU.
OPTIONS = (
    *("-shared", "-fPIC", "-w", "-O3", "-ffp-contract=off"),
    *("-fno-math-errno", "-fno-trapping-math"),
)
# Of x86, from the best down: what a compiler calls them, and what Linux says
# that a CPU has.
_V3 = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe"}
_LEVELS = {
    "x86-64-v4": _V3 | {f"avx512{x}" for x in ("f", "bw", "cd", "dq", "vl")},
    "x86-64-v3": _V3,
}


def folder() -> Path:
    """The user's own folder for what can be made again."""
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA")
    else:
        base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "deepfm_tf"


def cpu_level(cpuinfo: Path = Path("/proc/cpuinfo")) -> str | None:
    """The instructions that kernels may use; None for what all CPUs have.

    Args:
        cpuinfo: as Linux writes it.
    """
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    flags = next((x for x in lines if x.startswith("flags")), "")
    has = set(flags.partition(":")[2].split())
    return next((name for name, need in _LEVELS.items() if need <= has), None)


@functools.cache
def key() -> str:
    """What kernels must have been built for, to be loaded here.

    Known without TensorFlow's import: from its version, and the size of the
    library that kernels are linked with.
    """
    spec = importlib.util.find_spec("tensorflow")
    places = (spec and spec.submodule_search_locations) or [""]
    libraries = sorted(Path(places[0]).glob("libtensorflow_framework*"))
    parts = [
        *(sys.platform, platform.machine(), cpu_level() or "any CPU"),
        *OPTIONS,
        *(f"{path.name} {path.stat().st_size}" for path in libraries),
        *(f"{path.name}\n{path.read_text()}" for path in sources()),
    ]
    try:
        parts.append(importlib.metadata.version("tensorflow"))
    except importlib.metadata.PackageNotFoundError:
        pass  # another name, such as tensorflow_cpu: its size tells
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def sources() -> list[Path]:
    """The files that kernels are built from."""
    return sorted([*SOURCE.glob("*.h"), *SOURCE.glob("*.cc")])


def file_name(content: bytes) -> str:
    """What a library for here is called: its content can be checked by it."""
    return f"kernels-{key()}-{hashlib.sha256(content).hexdigest()[:32]}.so"


def built() -> Path | None:
    """The library that was built for here; None if there is none."""
    try:
        found = sorted(folder().glob(f"kernels-{key()}-*.so"))
    except (OSError, RuntimeError):  # no permission; no home
        return None
    return found[-1] if found else None
