"""One export with everything in it, and rows to ask its signatures about."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

import deepfm_tf
from tests.catalogue import build
from tests.conftest import make_log, unchecked
from tests.test_conformance import randomize

NUMBERS = ("price", "age", "count")
CONTEXT = ("ad2", "user", "tags", "price")
TEXTS = ("site", "ad", "ad2", "user", "genres", "tags")


@pytest.fixture(scope="session")
def model(vocabulary):
    with deepfm_tf.create_strategy(2).scope():
        model = build("DeepFM", vocabulary.schema)
    randomize(model)
    return model


@pytest.fixture(scope="session")
def explainer(model, vocabulary, log):
    rows = deepfm_tf.encode(log.head(500), vocabulary)
    return deepfm_tf.Explainer(model, [rows])


@pytest.fixture(scope="session")
def exported(model, vocabulary, explainer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    path = deepfm_tf.export_saved_model(
        model,
        vocabulary,
        folder / "deepfm",
        context_fields=CONTEXT,
        explainer=explainer,
        metrics={"auc": 0.75, "log_loss": float("nan")},
        data_fingerprint="f00d",
        trained_files=("c0ffee",),
    )
    # Nothing may point back to where it was made.
    return shutil.move(path, folder / "moved")


@pytest.fixture(scope="session")
def loaded(exported):
    return tf.saved_model.load(exported)


@pytest.fixture(scope="session")
def odd_log():
    """Rows with unseen and missing values."""
    log = make_log(50, seed=8)
    log.loc[::7, "site"] = "never seen"
    log.loc[::5, "ad"] = ""
    return log


@pytest.fixture(scope="session")
def expected(odd_log, model, vocabulary):
    """The model's probabilities of `odd_log`."""
    packed = deepfm_tf.encode(odd_log, vocabulary)
    return model.predict(packed, verbose=0)["probability"][:, 0]


@pytest.fixture(scope="session")
def calibrated(small_vocabulary, odd_log, tmp_path_factory):
    """An export with an isotonic calibration, and what it should say."""
    model = build("FM", small_vocabulary.schema)
    randomize(model)
    packed = deepfm_tf.encode(odd_log, small_vocabulary)
    expected = model(packed, training=False)["probability"].numpy()[:, 0]
    x = np.quantile(expected, [0.1, 0.3, 0.301, 0.8]).astype(np.float32)
    y = [0.001, 0.05, 0.2, 0.7]
    calibration = deepfm_tf.calibration.Calibration(
        "isotonic", {"probability": x.tolist(), "calibrated": y}, rows=500
    )
    with unchecked():
        path = deepfm_tf.export_saved_model(
            model,
            small_vocabulary,
            tmp_path_factory.mktemp("calibrated"),
            context_fields=["tags", "price"],
            calibration=calibration,
        )
    return path, np.interp(expected, x, y)


@pytest.fixture(scope="session")
def feeds(odd_log, vocabulary):
    """For each signature, the rows of `odd_log` as it takes them."""
    packed = deepfm_tf.encode(odd_log, vocabulary)
    examples = np.array(examples_of(odd_log), object)
    return {
        "serving_default": raw_of(odd_log),
        "explain": raw_of(odd_log),
        "packed": matrices_of(odd_log),
        "ids": packed,
        "classify": {"inputs": examples},
        "regress": {"inputs": examples},
    }


def raw_of(log):
    """A column for each field."""
    return {name: log[name].to_numpy(object) for name in TEXTS} | {
        name: log[name].to_numpy(np.float32) for name in NUMBERS
    }


def matrices_of(log):
    return {
        "texts": log[list(TEXTS)].to_numpy(object),
        "numbers": log[list(NUMBERS)].to_numpy(np.float32),
    }


def examples_of(log):
    """Serialized; missing values are left out."""
    serialized = []
    for row in log[[*TEXTS, *NUMBERS]].to_dict("records"):
        example = tf.train.Example()
        for name, value in row.items():
            feature = example.features.feature[name]
            if name in TEXTS and value:
                feature.bytes_list.value.append(value.encode())
            if name in NUMBERS and value == value:
                feature.float_list.value.append(value)
        serialized.append(example.SerializeToString())
    return serialized


def clicks(outputs):
    """The probability in whatever a signature answers."""
    if "scores" in outputs:
        return np.asarray(outputs["scores"])[:, 1]
    if "probability" in outputs:
        return np.asarray(outputs["probability"])
    (probability,) = outputs.values()
    return np.asarray(probability)


def definitions(path):
    """The SignatureDefs of a SavedModel, by name."""
    with open(f"{path}/saved_model.pb", "rb") as file:
        content = saved_model_pb2.SavedModel.FromString(file.read())
    return content.meta_graphs[0].signature_def
