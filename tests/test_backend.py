"""Another Keras is refused; what is imported, printed and installed."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import deepfm_tf

pytestmark = pytest.mark.slow_process
ROOT = Path(__file__).parents[1]
# Of `make lint`, which pins it.
MYPY = ROOT / ".venv" / "lint" / "bin" / "mypy"


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


def test_a_command_writes_nothing_but_its_answer():
    # What the server writes is looked at in `serving/test___main__`.
    words = "-m pipelines.tabular --train nothing.csv --label y"

    process = run(*words.split())

    assert process.returncode == 2
    assert process.stdout == ""
    answer = "error: --train: There is no file nothing.csv."
    assert process.stderr.startswith(answer)
    assert process.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # A copy: pip builds in place, from what an older build left there too.
    source = shutil.copytree(
        ROOT,
        folder / "source",
        ignore=shutil.ignore_patterns(".*", "build", "*.egg-info", "runs"),
    )
    # As pip does, which starts three processes for it.
    build = (
        "import os, sys; from setuptools.build_meta import __legacy__\n"
        "os.chdir(sys.argv[1]); __legacy__.build_wheel(sys.argv[2])\n"
    )
    process = run("-c", build, source, folder)
    assert process.returncode == 0, process.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()

    tops = {name.split("/")[0] for name in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"deepfm_tf"}
    assert "deepfm_tf/layers/shared_embedding.py" in names
    assert "deepfm_tf/data/preparation.py" in names


@pytest.mark.long
@pytest.mark.skipif(not MYPY.exists(), reason="needs mypy: make lint")
def test_a_users_script_is_checked_by_the_types_of_the_wheel(wheel, tmp_path):
    # An environment with the wheel and numpy, as far as mypy looks at it.
    venv.create(tmp_path / "venv", with_pip=False)
    (installed,) = (tmp_path / "venv").rglob("site-packages")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(installed)
    (with_numpy,) = (MYPY.parents[1] / "lib").glob("*/site-packages")
    (installed / "numpy.pth").write_text(str(with_numpy))
    shutil.copy(ROOT / "tests" / "downstream.py", tmp_path)

    process = subprocess.run(
        [
            *(MYPY, "--strict", "--config-file=", "--cache-dir=cache"),
            *("--python-executable", tmp_path / "venv/bin/python"),
            "downstream.py",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert process.stdout.startswith("Success"), process.stdout
