"""Versions appear whole, one after the other, and the oldest go."""

import fcntl
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from deepfm_tf.export.publish import prune, publish, unpublished


def make_version(directory, name="saved_model"):
    path = directory / name
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_text(name)
    return path


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_the_number_is_the_next_one(tmp_path):
    make_version(tmp_path, "0007")
    (tmp_path / "5").mkdir()

    paths = []
    for _ in range(2):
        with unpublished(tmp_path) as temporary:
            paths.append(publish(make_version(temporary), tmp_path))

    assert [path.name for path in paths] == ["8", "9"]
    assert names(tmp_path) == ["0007", "5", "8", "9"]


@pytest.mark.parametrize("name", ["\N{SUPERSCRIPT TWO}", "v3", "5.tmp"])
def test_other_names_are_no_versions(name, tmp_path):
    (tmp_path / name).mkdir()

    with unpublished(tmp_path) as temporary:
        path = publish(make_version(temporary), tmp_path)

    assert path.name == "1"


def test_exporters_at_once_take_different_numbers(tmp_path):
    barrier, paths = threading.Barrier(4), []

    def export(number):
        with unpublished(tmp_path) as temporary:
            saved_model = make_version(temporary)
            (saved_model / "saved_model.pb").write_text(str(number))
            barrier.wait(60)
            paths.append((number, publish(saved_model, tmp_path)))

    threads = [
        threading.Thread(target=export, args=(n,), daemon=True)
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert names(tmp_path) == ["1", "2", "3", "4"]
    for number, path in paths:
        assert (path / "saved_model.pb").read_text() == str(number)


def test_nothing_has_a_number_before_it_is_on_the_disk(tmp_path, monkeypatch):
    sync, seen = os.fsync, []

    def look(descriptor):
        seen.extend(names(tmp_path))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", look)

    with unpublished(tmp_path) as temporary:
        path = publish(make_version(temporary), tmp_path)

    # All files reach the disk unseen; then the directory, once renamed.
    last = seen.pop()
    assert last == "1"
    assert seen and all(n.startswith(".tmp-") for n in set(seen) - {last})
    assert path.stat().st_mode & 0o777 == 0o755


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="No space"), unpublished(tmp_path) as t:
        make_version(t)
        raise OSError("No space left on device")

    assert names(tmp_path) == []


def test_the_oldest_versions_are_removed(tmp_path):
    for number in range(1, 5):
        make_version(tmp_path, str(number))
    make_version(tmp_path, "10")

    with unpublished(tmp_path) as temporary:
        removed = prune(tmp_path / "10", 2, temporary)

    assert removed == [1, 2, 3]
    assert names(tmp_path) == ["10", "4"]


def test_what_is_being_written_neither_counts_nor_goes(tmp_path):
    for number in ("1", "3"):
        make_version(tmp_path, number)
    for number in ("2", "4", "9"):  # somebody writes in place
        (tmp_path / number).mkdir()

    with unpublished(tmp_path) as temporary:
        prune(tmp_path / "3", 1, temporary)

    assert names(tmp_path) == ["2", "3", "4", "9"]


def test_the_version_just_published_stays(tmp_path):
    for number in ("1", "2", "3"):
        make_version(tmp_path, number)

    with unpublished(tmp_path) as temporary:
        # Version 3 came from another exporter, a moment ago.
        removed = prune(tmp_path / "2", 1, temporary)

    assert removed == [1]
    assert names(tmp_path) == ["2", "3"]


def test_a_version_is_never_seen_half_removed(tmp_path, monkeypatch):
    for number in ("1", "2"):
        make_version(tmp_path, number)
    remove = shutil.rmtree

    def look(path, **arguments):
        assert "1" not in names(tmp_path)
        assert (path / "removed-1" / "saved_model.pb").exists()
        remove(path, **arguments)

    monkeypatch.setattr(shutil, "rmtree", look)

    with unpublished(tmp_path) as temporary:
        prune(tmp_path / "2", 1, temporary)

    assert names(tmp_path) == ["2"]


def test_a_running_exporter_is_left_alone(tmp_path):
    with unpublished(tmp_path) as first:
        saved_model = make_version(first)
        with unpublished(tmp_path):
            assert (saved_model / "saved_model.pb").exists()


KILLED = """
    import os, pathlib, signal, sys, types
    # The module alone: TensorFlow would take seconds to import.
    for name in ("deepfm_tf", "deepfm_tf.export"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [name.replace(".", "/")]
    from deepfm_tf.export import publish
    directory = pathlib.Path(sys.argv[1])
    sync, count = os.fsync, int(sys.argv[2])
    def kill(descriptor):
        global count
        count -= 1
        if count < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        sync(descriptor)
    os.fsync = kill
    with publish.unpublished(directory) as temporary:
        (temporary / "saved_model" / "variables").mkdir(parents=True)
        (temporary / "saved_model" / "saved_model.pb").write_text("model")
        (temporary / "saved_model" / "variables" / "data").write_text("data")
        publish.publish(temporary / "saved_model", directory)
"""


@pytest.mark.slow_process
@pytest.mark.parametrize("syncs", range(5))
def test_a_killed_exporter_leaves_no_broken_version(syncs, tmp_path):
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), tmp_path, str(syncs)],
        capture_output=True,
        timeout=240,
    )

    assert process.returncode == -9, process.stderr
    left = names(tmp_path)
    # Killed after the rename, the version is there, and whole.
    assert ("1" in left) == (syncs == 4)
    with unpublished(tmp_path) as temporary:
        assert [n for n in names(tmp_path) if n != temporary.name] == (
            ["1"] if syncs == 4 else []
        )
        path = publish(make_version(temporary), tmp_path)
    assert path.name == ("2" if syncs == 4 else "1")
    assert all(
        (tmp_path / n / "saved_model.pb").exists() for n in left if n == "1"
    )


@pytest.mark.parametrize("hours", [0, 2])
def test_without_locks_only_old_leftovers_are_removed(
    hours, tmp_path, monkeypatch
):
    def unsupported(*_):
        raise OSError("no locks here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    left = tmp_path / ".tmp-abc"
    make_version(left)
    (left / "lock").touch()
    then = time.time() - hours * 3600
    for path in (*left.rglob("*"), left):
        os.utime(path, (then, then))

    with unpublished(tmp_path):
        assert left.exists() == (hours == 0)


@pytest.mark.parametrize("hours", [0, 2])
def test_a_leftover_without_a_lock_file_goes_once_it_is_old(hours, tmp_path):
    left = tmp_path / ".tmp-abc"
    left.mkdir()
    then = time.time() - hours * 3600
    os.utime(left, (then, then))

    with unpublished(tmp_path):
        assert left.exists() == (hours == 0)
