"""The card beside the graph."""

import json
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.export import model_card
from tests.export.conftest import CONTEXT, NUMBERS, TEXTS


@pytest.fixture(scope="module")
def card(exported):
    path = Path(exported) / "assets.extra" / "model_card.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_it_says_what_the_model_is(card, model, vocabulary):
    assert card["model"]["class"] == "DeepFM"
    assert card["model"]["parameters"] == model.count_params()
    assert card["model"]["config"]["embedding_dim"] == 3
    assert card["context_fields"] == list(CONTEXT)
    assert card["table"] == {"dtype": "float32"}
    assert card["calibration"] is None
    assert deepfm_tf.Schema.from_dict(card["schema"]) == vocabulary.schema
    assert card["vocabulary_sizes"]["user"] == 52  # OOV, missing, 50 buckets


def test_it_says_what_a_server_warms_up_with(card):
    assert card["warm_up"] == {
        "rows": [1, 10, 100],
        "signatures": [
            "classify", "explain", "fields", "ids", "packed", "packed_rank",
            "rank", "regress", "serving_default",
        ],
    }  # fmt: skip


def test_it_names_the_columns_of_packed(card):
    assert card["packed_columns"] == {
        "texts": list(TEXTS),
        "numbers": list(NUMBERS),
    }


def test_it_names_the_columns_of_packed_rank(card):
    assert card["packed_rank_columns"] == {
        "context_texts": ["ad2", "user", "tags"],
        "context_numbers": ["price"],
        "texts": ["site", "ad", "genres"],
        "numbers": ["age", "count"],
    }


def test_it_names_the_columns_of_explain(card):
    # Numeric fields come behind those with ids.
    fields = ["site", "ad", "ad2", "user", "genres", "tags", "age", "count"]
    fields += ["price"]
    explain = dict(card["explain"])
    note = explain.pop("note")
    assert "probability is its sigmoid or, where there is a calibration" in note
    assert explain == {
        "fields": fields,
        "pairs": [
            [a, b] for i, a in enumerate(fields) for b in fields[i + 1 :]
        ],
    }


def test_it_has_a_row_to_try_the_model_with(card):
    inputs = card["signatures"]["serving_default"]["inputs"]

    assert sorted(card["example"]) == sorted(inputs)


def test_it_lists_the_signatures(card):
    assert list(card["signatures"]) == [
        "classify",
        "explain",
        "fields",
        "ids",
        "packed",
        "packed_rank",
        "rank",
        "regress",
        "serving_default",
        "unseen",
    ]
    rank = card["signatures"]["rank"]
    assert rank["method_name"] == "tensorflow/serving/predict"
    assert rank["inputs"]["user"] == {"dtype": "string", "shape": [1]}
    assert rank["inputs"]["age"] == {"dtype": "float32", "shape": [None]}
    assert rank["outputs"]["probability"]["shape"] == [None]
    assert rank["defaults"] == {}


def test_it_says_where_the_model_comes_from(card, vocabulary):
    assert card["training_data"] == {
        "fingerprint": "f00d",
        "vocabulary_fingerprint": vocabulary.fingerprint(),
        "files": ["c0ffee"],
    }
    assert card["metrics"] == {"auc": 0.75, "log_loss": None}
    assert card["versions"]["deepfm_tf"] == deepfm_tf.__version__
    assert card["versions"]["tensorflow"] == tf.__version__
    assert card["created"].endswith("+00:00")


def test_the_commit_is_that_of_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    outside = model_card.git_commit()
    run = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*run, "init", "-q"], check=True, timeout=60)
    subprocess.run(
        [*run, "commit", "-q", "--allow-empty", "-m", "x"],
        check=True,
        timeout=60,
    )
    inside = model_card.git_commit()

    assert outside is None
    assert inside is not None and len(inside) == 40


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")

    assert model_card.git_commit() is None
