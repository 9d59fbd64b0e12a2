"""What lies in the cache is loaded, or said and left alone."""

from deepfm_tf.native import cache, library


def test_where_nothing_is_built_there_are_no_kernels(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    found = library.library.__wrapped__()

    assert found.operations is None
    assert found.why_not == "none are built"


def test_half_a_library_is_told_and_not_loaded(tmp_path):
    path = tmp_path / cache.file_name(b"\x7fELF all of it")
    path.write_bytes(b"\x7fELF all")

    found = library.load(path)

    assert found.operations is None
    assert found.why_not == f"{path} is damaged"


def test_what_is_no_library_is_told_and_not_loaded(tmp_path):
    path = tmp_path / cache.file_name(b"not a library")
    path.write_bytes(b"not a library")

    found = library.load(path)

    assert found.operations is None
    assert found.why_not.startswith(f"{path} cannot be loaded (")


def test_a_file_that_cannot_be_read_is_told(tmp_path):
    found = library.load(tmp_path / "gone.so")

    assert found.operations is None
    assert "gone.so" in found.why_not
