"""What kernels are called by, and where they lie."""

import hashlib

import pytest

from deepfm_tf.native import cache

V3 = "avx avx2 bmi1 bmi2 f16c fma abm movbe"


@pytest.mark.parametrize(
    ("flags", "level"),
    [
        ("fpu sse2", None),
        (f"fpu {V3}", "x86-64-v3"),
        (f"{V3} avx512f avx512bw avx512dq avx512vl", "x86-64-v3"),
        (f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl", "x86-64-v4"),
    ],
)
def test_a_cpu_has_the_level_whose_instructions_it_has_all(
    flags, level, tmp_path
):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor: 1\n")

    assert cache.cpu_level(cpuinfo) == level


def test_a_system_that_says_nothing_of_its_cpu_has_what_all_have(tmp_path):
    assert cache.cpu_level(tmp_path / "none") is None


def test_a_library_is_found_by_what_it_was_built_for(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "deepfm_tf"
    folder.mkdir()

    (folder / "kernels-0123456789abcdef-00.so").touch()
    assert cache.built() is None

    name = cache.file_name(b"content")
    (folder / name).touch()
    assert cache.built() == folder / name
    assert hashlib.sha256(b"content").hexdigest()[:32] in name


def test_another_source_or_cpu_is_another_key(tmp_path, monkeypatch):
    keys = {cache.key()}
    source = tmp_path / "kernels.cc"
    source.write_text("int x;")
    for name, value in (
        ("sources", lambda: [source]),
        ("cpu_level", lambda: "x86-64-v9"),
    ):
        monkeypatch.setattr(cache, name, value)
        cache.key.cache_clear()
        keys.add(cache.key())
    monkeypatch.undo()
    cache.key.cache_clear()

    assert len(keys) == 3
    assert cache.key() in keys


def test_all_sources_are_in_the_package():
    assert {path.name for path in cache.sources()} >= {
        "kernels.cc",
        "merge.h",
        "pool.h",
    }
