"""A build that fails says why, and leaves nothing behind."""

import pytest

import deepfm_tf
from deepfm_tf.native import build, cache
from tests.native.kernels import needs_kernels

GOES_ON = "Training works without them"


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """No kernels yet, and no compiler but that of a test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path / "cache" / "deepfm_tf"


def compiler(tmp_path, monkeypatch, script):
    """A compiler that is a shell script."""
    path = tmp_path / "compiler"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))


def refusal(folder):
    with pytest.raises(deepfm_tf.UserError, match=GOES_ON) as caught:
        build.build_kernels()
    assert not folder.is_dir() or not list(folder.iterdir())
    return str(caught.value)


def test_without_a_compiler_it_says_which(empty_cache, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    assert "sudo apt install g++" in refusal(empty_cache)


def test_a_compiler_that_is_not_there_is_named(empty_cache, monkeypatch):
    monkeypatch.setenv("CXX", "/no/such/compiler")

    assert "No such file or directory: /no/such/compiler" in refusal(
        empty_cache
    )


def test_what_the_compiler_says_is_told(empty_cache, tmp_path, monkeypatch):
    compiler(tmp_path, monkeypatch, "echo 'x.h: fatal error: no x' >&2; exit 1")

    assert "x.h: fatal error: no x" in refusal(empty_cache)


def test_a_library_that_does_not_load_is_not_kept(
    empty_cache, tmp_path, monkeypatch
):
    # The argument after -o.
    write = 'while [ "$1" != -o ]; do shift; done; echo nothing > "$2"'
    compiler(tmp_path, monkeypatch, write)

    assert "were compiled, but do not work" in refusal(empty_cache)


def test_no_room_is_told_with_the_folder(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file in the place of the folder")

    with pytest.raises(deepfm_tf.UserError, match="could not be written below"):
        build.build_kernels()


def test_an_older_compiler_is_asked_for_what_all_cpus_have(
    empty_cache, tmp_path, monkeypatch
):
    monkeypatch.setattr(cache, "cpu_level", lambda: "x86-64-v4")
    compiler(
        tmp_path,
        monkeypatch,
        'case "$*" in *march*) echo "error: bad value x86-64-v4" >&2; exit 1;;'
        ' esac; echo "error: and now without" >&2; exit 1',
    )

    assert "and now without" in refusal(empty_cache)


@needs_kernels
def test_what_is_built_is_not_built_again(monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("CXX", "/no/such/compiler")

    assert build.build_kernels() == cache.built()
