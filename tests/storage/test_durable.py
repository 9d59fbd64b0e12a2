"""Files on the disk: whole, or as they were."""

import errno
import os
import stat

import pytest

from deepfm_tf.storage import sync_tree, write_text


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a" / "page.html"
    write_text(path, "old \N{SNOWMAN}")

    def fail(self, target):
        raise OSError(errno.ENOSPC, "x")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="x"):
        write_text(path, "new")

    assert path.read_text(encoding="utf-8") == "old \N{SNOWMAN}"
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, seen = tmp_path / "settings.txt", []

    def look(descriptor):
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else ""
        seen.append((kind or "file", path.exists()))

    monkeypatch.setattr(os, "fsync", look)
    write_text(path, "x")

    assert seen == [("file", False), ("folder", True)]


def test_a_tree_is_synced_to_its_last_file(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("x", "a/y", "a/b/z"):
        (tmp_path / name).touch()
    inodes = {p.stat().st_ino for p in (tmp_path, *tmp_path.rglob("*"))}
    synced = []

    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor))
    )
    sync_tree(tmp_path)

    assert {status.st_ino for status in synced} == inodes
    assert len(inodes) == 6
