"""The SavedModel: what the model says, from raw values, in any loader."""

import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

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


def test_a_version_taken_meanwhile_is_not_overwritten(
    model, vocabulary, tmp_path, monkeypatch
):
    rename = os.rename

    def rename_too_late(source, target):
        monkeypatch.setattr(os, "rename", rename)
        target.mkdir()
        (target / "saved_model.pb").write_text("of another exporter")
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_too_late)

    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    assert path.name == "2"
    assert (tmp_path / "1" / "saved_model.pb").read_text().startswith("of an")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2"]


def test_nothing_has_a_number_before_it_is_whole(
    model, vocabulary, tmp_path, monkeypatch
):
    sync, seen = export._sync, []

    def look(path):
        seen.extend(p.name for p in tmp_path.iterdir())
        sync(path)

    monkeypatch.setattr(export, "_sync", look)

    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    # All files reach the disk unseen; then the directory, once renamed.
    last = seen.pop()
    assert seen and all(name.startswith(".tmp-") for name in set(seen) - {last})
    assert path.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("name", ["\N{SUPERSCRIPT TWO}", "v3", "5.tmp"])
def test_other_names_are_no_versions(name, model, vocabulary, tmp_path):
    (tmp_path / name).mkdir()

    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    assert path.name == "1"


@pytest.mark.parametrize(
    "stage", ["_write", "_check", "_sync_tree", "_publish"]
)
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


def test_other_objects_are_refused(model, vocabulary, tmp_path):
    with pytest.raises(TypeError, match="`model` must be a model of this pack"):
        deepfm_tf.export_saved_model(keras.Sequential(), vocabulary, tmp_path)
    with pytest.raises(TypeError, match="`vocabulary` must be the Vocabulary"):
        deepfm_tf.export_saved_model(model, model.schema, tmp_path)


def test_the_file_holds_one_signature_and_the_tables(exported):
    content = (pathlib.Path(exported) / "saved_model.pb").read_bytes()

    graphs = saved_model_pb2.SavedModel.FromString(content).meta_graphs

    signatures = graphs[0].signature_def
    assert set(signatures) == {"serving_default", "__saved_model_init_op"}
    output = signatures["serving_default"].outputs["probability"]
    assert [d.size for d in output.tensor_shape.dim] == [-1]
    assert tf.as_dtype(output.dtype) == tf.float32


def test_bytes_that_are_no_text_are_unseen_values(exported, vocabulary):
    serve = tf.saved_model.load(exported).signatures["serving_default"]
    raw = raw_of(make_log(2), vocabulary.schema)
    raw["site"] = np.array([b"\xff\xfe", b"never seen"], object)

    def served(name):
        row = {k: tf.constant(v[[0, 0]]) for k, v in raw.items()}
        return serve(**{**row, "site": tf.constant(raw["site"])})[name].numpy()

    np.testing.assert_equal(*served("probability"))


@pytest.mark.parametrize(
    ("field", "values", "missing"),
    [
        # What looks like a weight is part of the value.
        (
            deepfm_tf.MultiValuedField("a", weight_separator=":"),
            ["x:y:0.5|z:1", "x:y:2"],
            (),
        ),
        (
            deepfm_tf.MultiValuedField("a", weight_separator=" "),
            ["x 0.5|z 1", "x 2"],
            (),
        ),
        # A marker of "missing" lies within the range of the numbers.
        (deepfm_tf.NumericField("a"), [-5.0, 5.0, -1.0], ("-1", "?")),
        (deepfm_tf.BucketizedField("a"), [-1.0, -1.0], ("-1",)),
    ],
)
@pytest.mark.filterwarnings("ignore:Field 'a'")
def test_the_self_check_reads_odd_columns_as_training_does(
    field, values, missing, tmp_path
):
    data = {"a": values * 4, "y": ([0, 1] * 6)[: 4 * len(values)]}
    schema = deepfm_tf.Schema((field,), "y", missing_values=missing)
    vocabulary = deepfm_tf.fit_vocabulary(pd.DataFrame(data), schema)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    randomize(model)

    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    serve = tf.saved_model.load(path).signatures["serving_default"]
    dtype = "float32" if isinstance(values[0], float) else object
    served = serve(a=tf.constant(np.array(values, dtype)))["probability"]
    packed = deepfm_tf.encode({"a": values}, vocabulary)
    expected = model(packed)["probability"][:, 0]
    np.testing.assert_allclose(served, expected, atol=1e-6)


def test_large_weights_that_cancel_are_no_disagreement(tmp_path):
    random = np.random.default_rng(0)
    data = {f"x{i}": random.normal(0, 30, 200) for i in range(30)}
    data |= {f"c{i}": random.choice(list("abcdef"), 200) for i in range(30)}
    fields = [
        deepfm_tf.NumericField(name)
        if name[0] == "x"
        else deepfm_tf.CategoricalField(name)
        for name in data
    ]
    schema = deepfm_tf.Schema(tuple(fields), "y")
    log = pd.DataFrame({**data, "y": [0, 1] * 100})
    vocabulary = deepfm_tf.fit_vocabulary(log, schema)
    model = deepfm_tf.DeepFM(vocabulary.schema)
    randomize(model)
    model.set_weights([3 * w for w in model.get_weights()])

    # One row at a time, this model itself is 6e-5 off its batches.
    path = deepfm_tf.export_saved_model(model, vocabulary, tmp_path)

    assert path.name == "1"
