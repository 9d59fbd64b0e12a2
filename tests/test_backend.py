"""Another Keras is refused; importing does nothing else."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import deepfm_tf

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


def test_another_backend_is_refused_with_a_sentence():
    process = run(
        "-c", "import deepfm_tf; deepfm_tf.DeepFM", KERAS_BACKEND="jax"
    )

    assert process.returncode == 1
    assert process.stderr.strip().endswith("set KERAS_BACKEND=tensorflow.")


def test_another_keras_is_refused_with_a_sentence(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    # As in a process that has not asked for it yet.
    monkeypatch.delitem(vars(deepfm_tf), "DeepFM", raising=False)

    with pytest.raises(ImportError, match=r"Unset TF_USE_LEGACY_KERAS\.$"):
        deepfm_tf.DeepFM  # noqa: B018


def test_importing_the_package_imports_neither_tensorflow_nor_arrays():
    heavy = "{'tensorflow', 'keras', 'numpy', 'pandas', 'pyarrow', 'grpc'}"
    program = (
        "import sys, deepfm_tf\n"
        "deepfm_tf.CategoricalField('site'), deepfm_tf.__version__\n"
        f"print(sorted({heavy} & set(sys.modules)))\n"
    )

    process = run("-c", program)

    assert process.stdout == "[]\n", process.stderr


def test_importing_all_names_prints_nothing_and_runs_no_operation(tmp_path):
    # Devices cannot be divided once an operation has run.
    program = (
        "import socket\n"
        "def refuse(*_): raise RuntimeError('network')\n"
        "socket.socket.connect = refuse\n"
        "import deepfm_tf, tensorflow as tf\n"
        "[getattr(deepfm_tf, name) for name in deepfm_tf.__all__]\n"
        "tf.config.set_logical_device_configuration(\n"
        "    tf.config.list_physical_devices('CPU')[0],\n"
        "    [tf.config.LogicalDeviceConfiguration()] * 2)\n"
    )

    process = run("-c", program, HOME=str(tmp_path))

    assert process.returncode == 0, process.stderr
    assert process.stdout == ""
    made = {p.name for p in tmp_path.iterdir()}
    # What Keras, and a matplotlib that it finds, keep for themselves.
    assert made <= {".keras", ".cache", ".config"}


def test_a_command_writes_nothing_but_its_answer():
    # What the server writes is looked at in `serving/test___main__`.
    words = "-m pipelines.tabular --train nothing.csv --label y"

    process = run(*words.split())

    assert process.returncode == 2
    assert process.stdout == ""
    answer = "error: --train: There is no file nothing.csv."
    assert process.stderr.startswith(answer)
    assert process.stderr.count("\n") == 1


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
