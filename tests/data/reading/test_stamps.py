"""What a file looks like from outside."""

import os

import pytest

from deepfm_tf.data.reading.stamps import Stamp
from tests.data.clock import wait_for_a_tick

# Device 8:1 in the numbers of mountinfo(5); its fields, then " - " and a kind.
LINE = "36 35 8:1 / /data rw,noatime shared:1 - {} /dev/sda1 rw\n"
OTHER = "37 35 0:40 / /home rw - nfs4 server:/home rw\n"


@pytest.mark.parametrize(
    ("mounts", "expected"),
    [
        (LINE.format("ext4") + OTHER, True),
        (LINE.format("overlay"), True),
        (LINE.format("nfs4"), False),
        (LINE.format("fuse.s3fs"), False),
        # Bound to two places, as containers do.
        (LINE.format("xfs") * 2, True),
        (OTHER, False),
        ("", False),
    ],
)
def test_only_known_local_file_systems_are_trusted(mounts, expected, tmp_path):
    (tmp_path / "mountinfo").write_text(mounts)
    stamp = Stamp(os.makedev(8, 1), 2, 3, 4, 5)

    assert stamp.is_local(tmp_path / "mountinfo") == expected


def test_without_a_list_of_mounts_nothing_is_trusted(tmp_path):
    stamp = Stamp(os.makedev(8, 1), 2, 3, 4, 5)

    assert not stamp.is_local(tmp_path / "none")


def test_a_file_written_in_place_looks_different(tmp_path):
    path = tmp_path / "x"
    path.write_text("a")
    before, status = Stamp.of(path), path.stat()
    wait_for_a_tick(path)

    path.write_text("b")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    after = Stamp.of(path)

    assert before[:4] == after[:4]
    assert before != after


@pytest.mark.parametrize("seconds", [-100, 0, 1, 3, 100])
def test_two_seconds_after_a_change_a_file_is_settled(seconds, monkeypatch):
    monkeypatch.setattr(
        "deepfm_tf.data.reading.stamps.time.time_ns",
        lambda: (50 + seconds) * 10**9,
    )

    assert Stamp(1, 2, 3, 40 * 10**9, 50 * 10**9).is_settled() == (seconds > 2)
    assert Stamp(1, 2, 3, 50 * 10**9, 40 * 10**9).is_settled() == (seconds > 2)
