"""The SavedModel: what the model says, from raw values, in any loader."""

import errno
import json
import os
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf import export
from deepfm_tf.lookup import GraphLookup
from tests import saved_model_c_api
from tests.catalogue import build
from tests.conftest import make_log
from tests.test_conformance import randomize

NUMBERS = ("price", "age", "count")


def raw_of(log, schema):
    return {
        schema.signature_names[f.name]: (
            log[f.name].to_numpy(np.float32)
            if f.name in NUMBERS
            else log[f.name].to_numpy(object)
        )
        for f in schema.fields
    }


@pytest.fixture(scope="module")
def model(vocabulary):
    with deepfm_tf.create_strategy(2).scope():
        model = build("DeepFM", vocabulary.schema)
    randomize(model)
    return model


@pytest.fixture(scope="module")
def exported(model, vocabulary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    path = deepfm_tf.export_saved_model(model, vocabulary, folder / "deepfm")
    # Nothing may point back to where it was made.
    return shutil.move(path, folder / "moved")


@pytest.mark.parametrize("num_rows", [0, 1, 1000])
def test_raw_rows_score_as_through_preparation(
    num_rows, exported, model, vocabulary
):
    log = make_log(1000, seed=8)
    log.loc[::7, "site"] = "never seen"
    log.loc[::5, "ad"] = ""
    packed = deepfm_tf.encode(log, vocabulary)
    expected = model.predict(packed, verbose=0)["probability"][:num_rows, 0]

    serve = tf.saved_model.load(exported).signatures["serving_default"]
    raw = raw_of(log.head(num_rows), vocabulary.schema)
    served = serve(
        **{
            k: tf.constant(
                v, tf.string if v.dtype == object else None, shape=(num_rows,)
            )
            for k, v in raw.items()
        }
    )

    assert list(served) == ["probability"]
    assert served["probability"].shape == (num_rows,)
    np.testing.assert_allclose(served["probability"], expected, atol=1e-6)


def test_the_cpp_loader_gives_the_same(exported, model, vocabulary):
    log = make_log(50, seed=8)
    packed = deepfm_tf.encode(log, vocabulary)

    served = saved_model_c_api.run_signature(
        str(exported), raw_of(log, vocabulary.schema)
    )

    expected = model.predict(packed, verbose=0)["probability"][:, 0]
    np.testing.assert_allclose(served["probability"], expected, atol=1e-6)


@pytest.mark.slow_process
def test_saved_model_cli_and_tensorflow_alone_give_the_same(
    exported, model, vocabulary, tmp_path
):
    log = make_log(30, seed=8)
    packed = deepfm_tf.encode(log, vocabulary)
    expected = model.predict(packed, verbose=0)["probability"][:, 0]
    raw = raw_of(log, vocabulary.schema)
    inputs = []
    for name, values in raw.items():
        array = values
        if name not in NUMBERS:
            array = np.array([value.encode() for value in values])
        np.save(tmp_path / f"{name}.npy", array)
        inputs.append(f"{name}={tmp_path / name}.npy")
    cli = os.path.join(os.path.dirname(sys.executable), "saved_model_cli")

    subprocess.run(
        [cli, "run", "--dir", exported, "--tag_set", "serve"]
        + ["--signature_def", "serving_default", "--overwrite"]
        + ["--inputs", ";".join(inputs), "--outdir", tmp_path],
        check=True,
        capture_output=True,
    )
    columns = {
        name: [None if v != v else v for v in values.tolist()]
        for name, values in raw.items()
    }
    score = subprocess.run(
        [sys.executable, "-m", "pipelines.score", exported],
        input=json.dumps(columns),
        capture_output=True,
        text=True,
        check=True,
    )

    from_cli = np.load(tmp_path / "probability.npy")
    np.testing.assert_allclose(from_cli, expected, atol=1e-6)
    np.testing.assert_allclose(json.loads(score.stdout), expected, atol=1e-6)


def test_the_signature_names_every_field(exported, vocabulary):
    loaded = tf.saved_model.load(exported)

    specs = loaded.signatures["serving_default"].structured_input_signature[1]

    assert list(loaded.signatures) == ["serving_default"]
    assert {k: s.dtype.name for k, s in specs.items()} == {
        f.name: "float32" if f.name in NUMBERS else "string"
        for f in vocabulary.schema.fields
    }
    assert all(s.shape.as_list() == [None] for s in specs.values())


def test_odd_field_names_are_exported(tmp_path):
    names = ["C1", "c1", "hours per week", "user-item_affinity_0", "self"]
    schema = deepfm_tf.Schema(
        tuple(deepfm_tf.CategoricalField(n, min_count=1) for n in names), "y"
    )
    data = {**{n: ["a", "b"] for n in names}, "y": [0, 1]}
    vocabulary = deepfm_tf.fit_vocabulary(data, schema)
    model = deepfm_tf.FM(vocabulary.schema)

    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    serve = tf.saved_model.load(path).signatures["serving_default"]
    assert set(serve.structured_input_signature[1]) == {
        "C1",
        "c1_2",
        "hours_per_week",
        "user_item_affinity_0",
        "field_self",
    }


def test_a_reloaded_model_is_exported_as_the_next_version(
    model, vocabulary, tmp_path
):
    model.save(tmp_path / "m.keras")
    reloaded = keras.saving.load_model(tmp_path / "m.keras")
    (tmp_path / "sm" / "7").mkdir(parents=True)

    paths = [
        deepfm_tf.export_saved_model(m, vocabulary, tmp_path / "sm")
        for m in (model, reloaded)
    ]

    assert [p.name for p in paths] == ["8", "9"]


def test_a_version_taken_meanwhile_is_not_overwritten(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_text(name)
    base = tmp_path / "sm"
    base.mkdir()
    listing = os.listdir(base)

    first = export._publish(tmp_path / "first", base)
    assert listing == []
    second = export._publish(tmp_path / "second", base)

    assert (first.name, second.name) == ("1", "2")
    assert (first / "saved_model.pb").read_text() == "first"


@pytest.mark.parametrize("stage", ["_write", "_check", "_publish"])
def test_a_failure_at_any_stage_publishes_nothing(
    stage, model, vocabulary, tmp_path, monkeypatch
):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(export, stage, fail)

    with pytest.raises(OSError, match="No space left"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_the_self_check_catches_a_wrong_look_up(
    model, vocabulary, tmp_path, monkeypatch
):
    right = GraphLookup.__call__

    def wrong(self, raw):
        packed = right(self, raw)
        return {**packed, "ids": tf.maximum(packed["ids"], 0)}

    monkeypatch.setattr(GraphLookup, "__call__", wrong)

    with pytest.raises(RuntimeError, match="nothing was published"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nan_weights_are_not_published(vocabulary, tmp_path):
    model = build("FM", vocabulary.schema)
    model.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])

    with pytest.raises(ValueError, match="must be finite to be served"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path)


def test_a_foreign_vocabulary_is_refused(vocabulary, tmp_path):
    field = deepfm_tf.CategoricalField("a", vocabulary_size=3)
    model = deepfm_tf.FM(deepfm_tf.Schema((field,), "y"))

    with pytest.raises(ValueError, match="the one the model was built for"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path)
