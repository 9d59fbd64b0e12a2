"""How many CPUs this process may use, containers' limits included."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path


def num_cpus(root: str | Path = "/") -> int:
    """CPUs that the scheduler and the container grant, at least 1.

    `os.cpu_count` tells the host's, of which a container, or a batch system,
    may grant a few only. A part of a CPU counts as one.

    Args:
        root: where `proc` and `sys` are found.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        count = os.cpu_count() or 1
    quota = _quota(Path(root))
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def has_bfloat16(root: str | Path = "/") -> bool:
    """Whether the CPU multiplies in bfloat16 itself, as Linux tells.

    Args:
        root: where `proc` is found.
    """
    try:
        text = (Path(root) / "proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not on Linux
        return False
    flags = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    # Of x86, and of ARM.
    known = {"avx512_bf16", "amx_bf16", "bf16"}
    return flags is not None and not known.isdisjoint(flags[1].split())


def _quota(root: Path) -> float | None:
    """CPUs by the control groups of this process; None without a limit."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Version 1 names the controllers; systems link `cpu` to them.
        mount = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        # Inside a container the path may be the host's, which is not there.
        folder = mount / path.lstrip("/")
        while True:
            quotas += [_quota_v2(folder), _quota_v1(folder)]
            if folder == mount or mount not in folder.parents:
                break
            folder = folder.parent
    return min((q for q in quotas if q is not None), default=None)


def _quota_v2(folder: Path) -> float | None:
    try:
        quota, period = (folder / "cpu.max").read_text().split()
        return None if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        return None


def _quota_v1(folder: Path) -> float | None:
    try:
        quota = float((folder / "cpu.cfs_quota_us").read_text())
        period = float((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 < period else None
