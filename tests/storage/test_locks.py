"""Locks: one holder, gone with its process."""

import fcntl
import subprocess
import sys

import pytest

from deepfm_tf.storage import hold, try_lock

# The room alone: TensorFlow would take seconds to import.
PROGRAM = """
import pathlib, sys, types
sys.modules["deepfm_tf"] = types.ModuleType("deepfm_tf")
sys.modules["deepfm_tf"].__path__ = ["deepfm_tf"]
from deepfm_tf.storage import hold
with hold(pathlib.Path(sys.argv[1]), "taken"):
    print("held", flush=True)
    sys.stdin.read()
"""

# As on Windows, where a lock is of bytes at the file's place.
WINDOWS = """
import asyncio, os, sys, types  # asyncio has its own ways on Windows
held = set()
def locking(descriptor, mode, count):
    place = os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR)
    if (mode, count) != ("LK_NBLCK", 1) or place in held:
        raise PermissionError
    held.add(place)
sys.modules["fcntl"] = None
sys.modules["msvcrt"] = types.SimpleNamespace(
    locking=locking, LK_NBLCK="LK_NBLCK")
"""


@pytest.mark.parametrize("windows", [True, False])
def test_without_fcntl_locks_are_those_of_windows_or_none(tmp_path, windows):
    program = WINDOWS if windows else "import sys; sys.modules['fcntl'] = None"
    tried = """
import deepfm_tf.storage
with open(sys.argv[1], "a+") as one, open(sys.argv[1], "a+") as two:
    one.write("mine")
    one.flush()
    locked = [deepfm_tf.storage.try_lock(file) for file in (one, two)]
    two.seek(0)
    print(*locked, two.read())
"""

    process = subprocess.run(
        [sys.executable, "-c", program + tried, tmp_path / "x"],
        capture_output=True,
        text=True,
        timeout=60,
    )

    expected = "True False mine" if windows else "None None mine"
    assert process.stdout.strip() == expected, process.stderr


def test_a_second_holder_is_refused_at_once_and_told_of_the_first(tmp_path):
    path = tmp_path / "run" / ".lock"

    with (
        hold(path, "taken"),
        pytest.raises(ValueError, match=r"^in use by process \d+ on .+\.$"),
        hold(path, "in use by {owner}."),
    ):
        pass


def test_nothing_is_left_of_a_lock(tmp_path):
    (tmp_path / "mine").mkdir()
    for folder in ("new/run", "mine"):
        with hold(tmp_path / folder / ".lock", "taken"):
            assert (tmp_path / folder / ".lock").exists()

    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_folder_with_something_in_it_stays(tmp_path):
    with hold(tmp_path / "run" / ".lock", "taken"):
        (tmp_path / "run" / "log.csv").touch()

    assert [p.name for p in (tmp_path / "run").iterdir()] == ["log.csv"]


def test_a_lock_can_be_held_again(tmp_path):
    held = []

    for turn in range(2):
        with hold(tmp_path / ".lock", "taken"):
            held.append(turn)

    assert held == [0, 1]


def test_a_lock_that_was_removed_meanwhile_is_not_held(tmp_path, monkeypatch):
    path, flock = tmp_path / ".lock", fcntl.flock

    def remove_first(*arguments):
        # As a holder does that ends between our `open` and our lock.
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        return flock(*arguments)

    monkeypatch.setattr(fcntl, "flock", remove_first)

    with hold(path, "taken"), open(path, "r+") as other:
        assert try_lock(other) is False


def test_without_locks_nothing_is_refused(tmp_path, monkeypatch):
    def unsupported(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)

    held = []

    with hold(tmp_path / ".lock", "taken"):
        with hold(tmp_path / ".lock", "taken"):
            held.append("both")

    assert held == ["both"]


@pytest.mark.slow_process
def test_a_killed_process_holds_nothing(tmp_path):
    path = tmp_path / ".lock"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="taken"), hold(path, "taken"):
            pass
    finally:
        process.kill()
        process.communicate(timeout=60)

    assert path.exists()
    with hold(path, "taken"):
        pass
