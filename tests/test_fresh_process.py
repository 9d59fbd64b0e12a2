"""What a new process makes of the files that another has written.

One process answers all: to import TensorFlow takes it longer than the rest.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest

import deepfm_tf
from deepfm_tf.callbacks.checkpoints import Checkpoints, read_state
from tests.catalogue import MODELS, build
from tests.conftest import make_log

pytestmark = pytest.mark.slow_process
ROOT = Path(__file__).parents[1]


def train(prepared, directory, fork=None):
    """Train up to epoch 2, from where the directory's checkpoint stands.

    The directory as it is after epoch 1 is copied to `fork`.
    """
    deepfm_tf.set_seed(3)
    first_epoch = 0
    if (directory / "state.json").exists():
        model, first_epoch = deepfm_tf.load_checkpoint(directory)
    else:
        model = deepfm_tf.LogisticRegression(prepared.schema)
        deepfm_tf.compile_model(model, learning_rate=0.02)
    model.run_eagerly = True  # six steps are less than the trace of one
    dataset = prepared.dataset(
        512, shuffle=True, seed=5, first_epoch=first_epoch
    )

    def copy(epoch, logs):
        if fork is not None and epoch == 0:
            shutil.copytree(directory, fork)

    model.fit(
        dataset,
        initial_epoch=first_epoch,
        epochs=2,
        callbacks=[
            Checkpoints(directory),
            keras.callbacks.LambdaCallback(on_epoch_end=copy),
        ],
        shuffle=False,
        verbose=0,
    )
    return model.get_weights()


PROGRAM = """
    import socket, sys
    # Keras would import these two, which takes it a quarter of the start.
    sys.modules |= dict.fromkeys(["matplotlib", "sklearn"])
    def refuse(*_): raise RuntimeError("network")
    socket.socket.connect = refuse
    import deepfm_tf.callbacks, keras
    # What a model's file names is found, whatever room came first.
    models = ["DeepFM", "FM", "WideAndDeep", "NFM", "LogisticRegression"]
    layers = set(deepfm_tf.layers.__all__) - {"FirstOrderBias"}
    # The name that it has in files since 0.4.
    for name in (*models, *layers, "FirstOrderTerm", "LazyAdam"):
        name = f"deepfm_tf>{name}"
        assert keras.saving.get_registered_object(name), name
    [getattr(deepfm_tf, name) for name in deepfm_tf.__all__]
    # Devices cannot be divided once an operation has run.
    from tests.conftest import set_up_tensorflow
    set_up_tensorflow()
    import pathlib, numpy
    folder = pathlib.Path(sys.argv[1])
    numpy.savez(folder / "out.npz", **{
        p.stem: keras.saving.load_model(p)(
            dict(numpy.load(p.with_suffix(".npz"))), training=False
        )["probability"]
        for p in folder.glob("*.keras")})
    from tests.test_fresh_process import train
    prepared = deepfm_tf.PreparedData.load(folder / "prepared")
    numpy.savez(folder / "weights.npz", *train(prepared, folder / "cut"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def probabilities(vocabulary, small_vocabulary, folder):
    """What each model says, of which there is a file in the folder.

    DeepFM has all kinds of fields, the others what all layers of theirs need.
    """
    # The process imports this file, without scikit-learn.
    from tests.test_conformance import randomize

    expected = {}
    for name in MODELS:
        known = vocabulary if name == "DeepFM" else small_vocabulary
        packed = deepfm_tf.encode(make_log(20), known)
        np.savez(folder / f"{name}.npz", **packed)
        model = build(name, known.schema)
        randomize(model)
        model.save(folder / f"{name}.keras")
        expected[name] = model(packed, training=False)["probability"]
    return expected


@pytest.fixture(scope="module")
def weights(folder):
    """Those of a training, which the folder has half done."""
    fields = [deepfm_tf.CategoricalField(n) for n in ("site", "ad", "user")]
    schema = deepfm_tf.Schema(tuple(fields), "clicked")
    data = deepfm_tf.prepare(make_log(3072), folder / "prepared", schema=schema)
    weights = train(data, folder / "whole", folder / "cut")
    assert read_state(folder / "cut")["epoch"] == 1
    return weights


@pytest.fixture(scope="module")
def process(probabilities, weights, folder, tmp_path_factory):
    """One that imports all names, loads the models and trains on."""
    home = tmp_path_factory.mktemp("home")
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM), str(folder)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOME": str(home)},
        capture_output=True,
        text=True,
        cwd=home,
        timeout=240,
    )
    return ended, home


def test_importing_all_names_prints_nothing_and_runs_no_operation(process):
    ended, home = process

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == ""
    # What Keras keeps for itself.
    assert {p.name for p in home.iterdir()} <= {".keras"}


@pytest.mark.usefixtures("process")
def test_keras_files_load(folder, probabilities):
    found = np.load(folder / "out.npz")

    assert set(probabilities) == set(found.files) == set(MODELS)
    for name in MODELS:
        np.testing.assert_array_equal(found[name], probabilities[name])


@pytest.mark.usefixtures("process")
def test_a_training_resumes_to_the_same_weights(folder, weights):
    assert read_state(folder / "cut")["epoch"] == 2
    with np.load(folder / "weights.npz") as resumed:
        for name, expected in zip(resumed.files, weights, strict=True):
            np.testing.assert_array_equal(resumed[name], expected)
