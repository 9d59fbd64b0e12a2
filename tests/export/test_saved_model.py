"""The export as a whole: what it refuses, and who can read the result."""

import errno
import io
import json
import pathlib
import sys
from importlib.metadata import entry_points

import keras
import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.export import saved_model
from pipelines import score
from tests.catalogue import build
from tests.conftest import unchecked
from tests.export.conftest import NUMBERS, TEXTS, clicks, examples_of, raw_of
from tests.test_conformance import randomize

STAGES = ["write", "write_warm_up", "check", "write_model_card"]


def test_saved_model_cli_and_the_scoring_script_give_the_same(
    exported, odd_log, expected, tmp_path, monkeypatch, capsys
):
    raw = raw_of(odd_log)
    inputs = []
    for name, values in raw.items():
        array = values
        if name not in NUMBERS:
            array = np.array([value.encode() for value in values])
        np.save(tmp_path / f"{name}.npy", array)
        inputs.append(f"{name}={tmp_path / name}.npy")
    (cli,) = entry_points(group="console_scripts", name="saved_model_cli")
    words = ["saved_model_cli", "run", "--dir", exported, "--tag_set", "serve"]
    words += ["--signature_def", "serving_default", "--overwrite"]
    words += ["--inputs", ";".join(inputs), "--outdir", tmp_path]

    # What the command itself does, in a process that has TensorFlow already.
    monkeypatch.setattr(sys, "argv", list(map(str, words)))
    with pytest.raises(SystemExit) as end:
        cli.load()()
    assert not end.value.code
    columns = {
        name: [None if v != v else v for v in values.tolist()]
        for name, values in raw.items()
    }
    # The demo runs it in a process of its own.
    monkeypatch.setattr(sys, "argv", ["score", str(exported)])
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(columns)))
    capsys.readouterr()
    score.main()
    scored = json.loads(capsys.readouterr().out)

    from_cli = np.load(tmp_path / "probability.npy")
    np.testing.assert_allclose(from_cli, expected, atol=1e-6)
    np.testing.assert_allclose(scored, expected, atol=1e-6)


def test_nan_weights_are_not_published(vocabulary, tmp_path):
    model = build("FM", vocabulary.schema)
    model.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])

    with pytest.raises(ValueError, match="must be finite to be served"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path)


@pytest.fixture(scope="module")
def loaded_calibrated(calibrated):
    return tf.saved_model.load(calibrated[0])


@pytest.mark.parametrize(
    "name", ["serving_default", "packed", "ids", "classify", "regress"]
)
def test_every_signature_is_calibrated(
    name, calibrated, loaded_calibrated, odd_log, small_vocabulary
):
    _, expected = calibrated
    raw = small_raw(odd_log)
    examples = {"inputs": np.array(examples_of(odd_log), object)}
    feeds = {
        "serving_default": raw,
        "packed": {
            "texts": np.stack([raw["site"], raw["tags"]], axis=1),
            "numbers": raw["price"][:, None],
        },
        "ids": deepfm_tf.encode(odd_log, small_vocabulary),
        "classify": examples,
        "regress": examples,
    }

    outputs = loaded_calibrated.signatures[name](
        **{key: tf.constant(value) for key, value in feeds[name].items()}
    )

    np.testing.assert_allclose(clicks(outputs), expected, atol=1e-5)


def small_raw(log):
    """The columns of `small_vocabulary`."""
    raw = raw_of(log)
    return {name: raw[name] for name in ("site", "tags", "price")}


def test_ranking_is_calibrated(calibrated, loaded_calibrated, odd_log):
    _, expected = calibrated
    signatures = loaded_calibrated.signatures
    raw = small_raw(odd_log)
    context = {name: raw[name][3:4] for name in ("tags", "price")}
    repeated = {name: np.repeat(column, 50) for name, column in context.items()}

    ranked = signatures["rank"](
        **{k: tf.constant(v) for k, v in {**raw, **context}.items()}
    )
    one_by_one = signatures["serving_default"](
        **{k: tf.constant(v) for k, v in {**raw, **repeated}.items()}
    )

    np.testing.assert_allclose(clicks(ranked), clicks(one_by_one), atol=1e-5)
    assert clicks(ranked)[3] == pytest.approx(expected[3], abs=1e-5)


def test_the_card_has_the_calibration(calibrated):
    card = json.loads(
        (calibrated[0] / "assets.extra" / "model_card.json").read_text()
    )

    calibration = deepfm_tf.calibration.Calibration.from_dict(
        card["calibration"]
    )
    assert calibration.method == "isotonic" and calibration.rows == 500
    assert calibration.parameters["calibrated"] == [0.001, 0.05, 0.2, 0.7]


def test_only_a_calibration_calibrates(model, vocabulary, tmp_path):
    with pytest.raises(TypeError, match="must be what `fit_calibration` gave"):
        deepfm_tf.export_saved_model(
            model, vocabulary, tmp_path, calibration={"temperature": 2.0}
        )


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


SHARE = 0.05  # of the negatives


@pytest.fixture(scope="module")
def reloaded(small_vocabulary, tmp_path_factory):
    """A model, and the export of what its file holds, beside a version 7."""
    folder = tmp_path_factory.mktemp("reloaded")
    model = build(
        "LogisticRegression", small_vocabulary.schema, negative_sampling=SHARE
    )
    randomize(model)
    model.save(folder / "m.keras")
    (folder / "sm" / "7").mkdir(parents=True)
    with unchecked():
        return model, deepfm_tf.export_saved_model(
            keras.saving.load_model(folder / "m.keras"),
            small_vocabulary,
            folder / "sm",
        )


def test_a_reloaded_model_is_exported_as_the_next_version(reloaded):
    assert reloaded[1].name == "8"


@pytest.fixture(scope="module")
def linear(small_vocabulary):
    """A model where it is no matter what is exported."""
    return build("LogisticRegression", small_vocabulary.schema)


@pytest.fixture
def untraced(monkeypatch):
    """What a version holds is no matter: no signature is made."""
    monkeypatch.setattr(saved_model, "signatures", lambda *_: [])
    for name in ("traced_encode", "unseen_signature"):
        monkeypatch.setattr(saved_model, name, lambda *_: None)


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("stage", STAGES)
def test_a_failure_at_any_stage_publishes_nothing(
    stage, linear, small_vocabulary, tmp_path, monkeypatch
):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in STAGES:
        monkeypatch.setattr(saved_model, name, lambda *_, **__: None)
    monkeypatch.setattr(saved_model, stage, fail)

    with pytest.raises(OSError, match="No space left"):
        deepfm_tf.export_saved_model(linear, small_vocabulary, tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("untraced")
@pytest.mark.parametrize("keep", [None, 1, 2])
def test_as_many_versions_as_asked_for_are_kept(
    keep, linear, small_vocabulary, tmp_path, monkeypatch
):
    def write(_, __, path, *___):
        path.mkdir()
        (path / "saved_model.pb").touch()

    monkeypatch.setattr(saved_model, "write", write)
    for name in STAGES[1:]:
        monkeypatch.setattr(saved_model, name, lambda *_, **__: None)
    for number in ("1", "2", "3"):
        write(None, None, tmp_path / number)

    path = deepfm_tf.export_saved_model(
        linear, small_vocabulary, tmp_path, keep_versions=keep
    )

    left = sorted(p.name for p in tmp_path.iterdir())
    assert path.name == "4"
    assert left == ["1", "2", "3", "4"][-(keep or 4) :]


def test_what_a_server_replays_was_checked(
    linear, small_vocabulary, tmp_path, monkeypatch
):
    """All is written for the check, then what was asked for."""
    written, checked = [], []
    monkeypatch.setattr(
        saved_model, "write", lambda _, __, path, ___: path.mkdir()
    )
    for name in STAGES[1:]:
        monkeypatch.setattr(saved_model, name, lambda *_, **__: None)
    monkeypatch.setattr(
        saved_model, "write_warm_up", lambda r, *_: written.append(list(r))
    )
    monkeypatch.setattr(
        saved_model, "check", lambda _, r, *__: checked.append(list(r))
    )

    deepfm_tf.export_saved_model(
        linear,
        small_vocabulary,
        tmp_path,
        context_fields=["site"],
        warm_up_rows=[1, 64],
        warm_up_rank=False,
    )

    (checked,) = checked
    assert {r.rows.num_rows for r in checked} == {1, 10, 64, 100}
    assert written[0] == checked
    assert {r.rows.num_rows for r in written[1]} == {1, 64}
    assert {r.signature for r in checked} - {
        r.signature for r in written[1]
    } == {"rank", "packed_rank", "unseen"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warm_up_rows": [0]}, "`warm_up_rows` must be"),
        ({"keep_versions": 0}, "a whole number of at least 1"),
        ({"table_dtype": "int8"}, "must be one of .'bfloat16', 'float16'"),
        ({"evaluation_data": []}, "Give both, or neither"),
        ({"keep_versions": True}, "a whole number of at least 1"),
        ({"context_fields": ["sit"]}, "no field 'sit'"),
        (
            {"context_fields": [*TEXTS, *NUMBERS]},
            "must leave at least one field to the candidates",
        ),
        (
            {
                "context_fields": [*TEXTS, "price", "age"],
                "defaults": {"count": 1},
            },
            r"for all of \['count'\]",
        ),
        ({"defaults": {"sit": ""}}, "no field 'sit'"),
        ({"defaults": {"site": 1}}, "'site' must be text, as its values are"),
        ({"defaults": {"price": "1"}}, "'price' must be a number"),
        (
            {
                "defaults": dict.fromkeys(TEXTS, "")
                | dict.fromkeys(NUMBERS, 0.0)
            },
            "At least one field .* must have no default",
        ),
    ],
)
def test_wrong_options_are_refused_at_once(
    options, message, model, vocabulary, tmp_path
):
    with pytest.raises(ValueError, match=message):
        deepfm_tf.export_saved_model(
            model, vocabulary, tmp_path / "new", **options
        )

    assert not (tmp_path / "new").exists()


def test_the_files_are_those_of_a_servable(exported):
    files = {
        str(path.relative_to(exported))
        for path in pathlib.Path(exported).rglob("*")
        if path.is_file()
    }

    assert files == {
        "saved_model.pb",
        "fingerprint.pb",
        "assets/vocabulary.txt",
        "assets.extra/model_card.json",
        "assets.extra/tf_serving_warmup_requests",
        # What the model is made of again, to go on with it.
        "assets.extra/vocabulary.json",
        "assets.extra/weights.npz",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
    }


def test_sampled_negatives_are_corrected_for_in_what_is_served(
    reloaded, small_vocabulary, odd_log
):
    model, path = reloaded
    packed = deepfm_tf.encode(odd_log, small_vocabulary)
    p = model(packed, training=True)["probability"].numpy()[:, 0]

    raw = raw_of(odd_log)
    served = tf.saved_model.load(path).signatures["serving_default"](
        **{f.name: tf.constant(raw[f.name]) for f in model.schema.fields}
    )

    expected = p / (p + (1 - p) / SHARE)
    np.testing.assert_allclose(
        served["probability"], expected, rtol=1e-4, atol=1e-6
    )
    assert np.abs(expected - p).max() > 0.1


def test_an_export_has_operations_of_tensorflow_alone(exported):
    graph = (exported / "saved_model.pb").read_bytes()

    assert b"ResourceGather" in graph
    for ours in (b"DeepfmPool", b"DeepfmMerge", b"DeepfmUpdate"):
        assert ours not in graph


def test_signatures_are_made_and_checked_on_the_cpu(
    model, vocabulary, tmp_path, monkeypatch
):
    # The second of two CPUs plays a GPU, whose products are rounded.
    devices = []

    def note(*_):
        devices.append(tf.zeros(()).device[-5:])
        raise RuntimeError("far enough")

    monkeypatch.setattr(saved_model, "signatures", note)

    with pytest.raises(RuntimeError, match="far enough"), tf.device("CPU:1"):
        deepfm_tf.export_saved_model(model, vocabulary, tmp_path / "deepfm")

    assert devices == ["CPU:0"]
