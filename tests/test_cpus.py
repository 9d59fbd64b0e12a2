"""The CPUs that a container grants."""

import itertools
import os

import pytest

from deepfm_tf.cpus import has_bfloat16, num_cpus
from deepfm_tf.data.reading import stream


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda pid: set(range(8)), raising=False
    )


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 3),
        ("50000 100000", 1),
        ("6400000 100000", 8),
    ],
)
def test_a_quota_counts_by_whole_cpus(tmp_path, quota, expected):
    write(
        tmp_path,
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": quota},
    )

    assert num_cpus(tmp_path) == expected


def test_the_least_quota_on_the_way_up_counts(tmp_path):
    write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pods/one\n",
            "sys/fs/cgroup/cpu.max": "max 100000",
            "sys/fs/cgroup/pods/cpu.max": "300000 100000",
            "sys/fs/cgroup/pods/one/cpu.max": "500000 100000",
        },
    )

    assert num_cpus(tmp_path) == 3


@pytest.mark.parametrize(
    ("quota", "expected"), [("-1", 8), ("400000", 4), ("150000", 2)]
)
def test_version_1_of_control_groups_is_read(tmp_path, quota, expected):
    write(
        tmp_path,
        {
            # The host's path, which the container does not see.
            "proc/self/cgroup": "9:memory:/x\n4:cpu,cpuacct:/docker/1f\n0::/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": quota,
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
        },
    )

    assert num_cpus(tmp_path) == expected


def test_without_control_groups_the_scheduler_tells(tmp_path, monkeypatch):
    assert num_cpus(tmp_path) == 8
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert num_cpus(tmp_path) == 1


def test_no_more_is_read_ahead_than_the_cpus_that_are_granted(monkeypatch):
    monkeypatch.setattr(stream, "num_cpus", lambda: 2)
    taken = itertools.count()

    results = stream.ordered_map(lambda item: item, taken)

    assert next(results) == 0
    assert next(taken) == 3  # two at work, and one that has its turn
    results.close()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("Features\t: fp asimd i8mm bf16\n", True),
        ("", False),
    ],
)
def test_bfloat16_is_a_flag_of_the_cpu(tmp_path, line, expected):
    write(tmp_path, {"proc/cpuinfo": f"processor\t: 0\n{line}power\t:\n"})

    assert has_bfloat16(tmp_path) is expected


def test_without_the_file_no_cpu_has_it(tmp_path):
    assert not has_bfloat16(tmp_path)
