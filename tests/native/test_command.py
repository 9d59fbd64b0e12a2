"""`deepfm-tf build-kernels`."""

from deepfm_tf.native import command


def test_a_refusal_is_a_line_and_a_status(monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CXX", "/no/such/compiler")

    assert command.main([]) == 1

    assert capfd.readouterr().err.startswith("error: The kernels could not be")
