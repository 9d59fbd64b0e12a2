"""Another Keras is refused; importing does nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from deepfm_tf.backend import command

pytestmark = pytest.mark.slow_process
ROOT = Path(__file__).parents[1]


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        cwd=environment.get("HOME"),
        timeout=240,
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("KERAS_BACKEND", "jax", "set KERAS_BACKEND=tensorflow."),
        ("TF_USE_LEGACY_KERAS", "1", "Unset TF_USE_LEGACY_KERAS."),
    ],
)
def test_another_keras_is_refused_with_a_sentence(name, value, sentence):
    process = run("-c", "import deepfm_tf", **{name: value})

    assert process.returncode == 1
    assert process.stderr.strip().endswith(sentence)


# What Python runs before anything else, and after it.
SITE = """
import atexit, socket

def refuse(*_):
    raise RuntimeError("network")

@atexit.register
def divide():
    import tensorflow as tf

    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    print("divided")

socket.socket.connect = refuse
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A command that imports everything, but trains nothing, and its home."""
    home, site = (tmp_path_factory.mktemp(name) for name in ("home", "site"))
    (site / "sitecustomize.py").write_text(SITE)
    process = run(
        *"-m pipelines.tabular --train nothing.csv --label y".split(),
        HOME=str(home),
        PYTHONPATH=f"{site}:{ROOT}",
    )
    return process, home


def test_a_command_writes_nothing_but_its_answer(imported):
    # What the server writes is looked at in `serving/test___main__`.
    process, _ = imported

    assert process.returncode == 2
    answer = "error: --train: There is no file nothing.csv."
    assert process.stderr.startswith(answer)
    assert process.stderr.count("\n") == 1


def test_importing_prints_nothing_and_runs_no_operation(imported):
    process, home = imported

    # Devices cannot be divided once an operation has run.
    assert process.stdout == "divided\n", process.stderr
    made = {p.name for p in home.iterdir()}
    # What Keras, and a matplotlib that it finds, keep for themselves.
    assert made <= {".keras", ".cache", ".config"}


def test_the_wheel_holds_the_package_alone(tmp_path):
    # A copy: pip builds in place, from what an older build left there too.
    source = shutil.copytree(
        ROOT,
        tmp_path / "source",
        ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs"),
    )

    process = run(
        *("-m", "pip", "wheel", source, "--no-deps", "--quiet"),
        *("--no-build-isolation", "--wheel-dir", tmp_path),
    )

    assert process.returncode == 0, process.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"deepfm_tf"}
    assert "deepfm_tf/layers/shared_embedding.py" in names
    assert "deepfm_tf/data/prepare.py" in names


@pytest.mark.parametrize(
    ("argv", "orig_argv", "expected"),
    [
        (["-m", "--x"], ["python", "-m", "a.b", "--x"], "a.b"),
        (["-m"], ["python", "-X", "dev", "-ma.b"], "a.b"),
        (["-c", "a.b"], ["python", "-c", "1", "a.b"], ""),
        (["/a/b.py", "-m"], ["python", "-m", "a.b", "-m"], ""),
    ],
)
def test_the_module_that_is_run_is_known(
    monkeypatch, argv, orig_argv, expected
):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)

    assert command() == expected
