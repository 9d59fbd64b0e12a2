"""One context, many candidates: the same as the rows with it repeated."""

import numpy as np
import pytest
import tensorflow as tf

import deepfm_tf
from deepfm_tf.export.rank import rank_signatures
from deepfm_tf.lookup import GraphLookup
from deepfm_tf.vocabulary import Vocabulary
from tests import saved_model_c_api
from tests.catalogue import build
from tests.conftest import make_schema, unchecked
from tests.export.conftest import (
    CONTEXT,
    NUMBERS,
    TEXTS,
    definitions,
    raw_of,
)
from tests.export.operations import KNOWN
from tests.test_conformance import randomize


def split(log, context=CONTEXT):
    """The inputs of `rank`, and of `serving_default` for the same rows."""
    ranked, repeated = raw_of(log), raw_of(log)
    for name in context:
        ranked[name] = ranked[name][:1]
        repeated[name] = np.repeat(ranked[name], len(log))
    return ranked, repeated


def to_matrices(ranked):
    """The inputs of `packed_rank`, from those of `rank`."""
    matrices = {}
    for prefix, in_context in (("context_", True), ("", False)):
        for kind, names in (("texts", TEXTS), ("numbers", NUMBERS)):
            columns = [ranked[n] for n in names if (n in CONTEXT) == in_context]
            matrices[prefix + kind] = np.stack(columns, axis=1)
    return matrices


@pytest.fixture(scope="module")
def whole_rows(exported, odd_log):
    """What the export gives for the rows with the context repeated."""
    _, repeated = split(odd_log)
    served = saved_model_c_api.run_signature(str(exported), repeated)
    return served["probability"]


@pytest.mark.parametrize("signature", ["rank", "packed_rank"])
@pytest.mark.parametrize("num_candidates", [0, 1, 50])
def test_candidates_score_as_whole_rows(
    num_candidates, signature, exported, odd_log, whole_rows
):
    ranked, _ = split(odd_log)
    for name in ranked.keys() - {*CONTEXT}:
        ranked[name] = ranked[name][:num_candidates]
    inputs = ranked if signature == "rank" else to_matrices(ranked)

    served = saved_model_c_api.run_signature(str(exported), inputs, signature)

    assert served["probability"].shape == (num_candidates,)
    np.testing.assert_allclose(
        served["probability"], whole_rows[:num_candidates], atol=1e-6
    )


LINEAR = ("site", "user", "price")


def split_linear(log):
    """What `split` gives, of the fields of the model without embeddings."""
    return [{n: part[n] for n in LINEAR} for part in split(log, ["user"])]


@pytest.fixture(scope="module")
def linear(log, tmp_path_factory):
    """A model without embeddings, with defaults on both sides."""
    fields = tuple(f for f in make_schema().fields if f.name in LINEAR)
    schema = deepfm_tf.Schema(fields, label="clicked")
    vocabulary = deepfm_tf.fit_vocabulary(log, schema)
    model = build("LogisticRegression", vocabulary.schema)
    randomize(model)
    with unchecked():
        return deepfm_tf.export_saved_model(
            model,
            vocabulary,
            tmp_path_factory.mktemp("linear"),
            context_fields=["user"],
            defaults={"site": "s 1", "user": "7"},
        )


def test_a_model_without_embeddings_ranks_too(linear, odd_log):
    ranked, repeated = split_linear(odd_log)

    served = saved_model_c_api.run_signature(str(linear), ranked, "rank")

    expected = saved_model_c_api.run_signature(str(linear), repeated)
    np.testing.assert_allclose(
        served["probability"], expected["probability"], atol=1e-6
    )


def test_candidates_may_leave_out_a_default_too(linear, odd_log):
    ranked, _ = split_linear(odd_log)
    num_rows = len(odd_log)
    given = ranked | {
        "site": np.array(["s 1"] * num_rows, object),
        "user": np.array(["7"], object),
    }
    # As TensorFlow Serving does, from the signature's `defaults`.
    left_out = ranked | {
        "site": np.array(["s 1"], object),
        "user": np.array(["7"], object),
    }

    served = [
        saved_model_c_api.run_signature(str(linear), inputs, "rank")
        for inputs in (given, left_out)
    ]

    np.testing.assert_array_equal(*(s["probability"] for s in served))
    assert set(definitions(linear)["rank"].defaults) == {"site", "user"}


def test_a_history_in_the_context_attends_to_each_candidate(tmp_path):
    history = deepfm_tf.MultiValuedField(
        "seen",
        max_length=3,
        keep="last",
        pooling="attention",
        candidate="item",
        share_with="item",
    )
    item = deepfm_tf.CategoricalField("item", min_count=1)
    vocabulary = Vocabulary(
        deepfm_tf.Schema((history, item), "clicked"),
        {"item": ["a", "b", "c", "d"]},
        {"seen": {}, "item": {}},
    )
    model = build("FM", vocabulary.schema)
    randomize(model)
    candidates = ["a", "c", "new", ""]
    lookup = GraphLookup(vocabulary, tmp_path / "values")

    rank, packed_rank = rank_signatures(model, lookup, ["seen"], {})
    raw = {"seen": tf.constant(["a|b|c|d"]), "item": tf.constant(candidates)}
    served = rank.function(raw)["probability"]

    # Of four values the last three, after OOV and missing.
    ids = [[3, 4, 5, id_] for id_ in (2, 4, 0, 1)]
    expected = model({"ids": np.array(ids)}, training=False)["probability"]
    np.testing.assert_allclose(served, expected[:, 0], atol=1e-6)
    graph = packed_rank.function.get_concrete_function().graph.as_graph_def()
    used = {node.op for f in graph.library.function for node in f.node_def}
    assert used <= {line.split()[0] for line in KNOWN.splitlines()}
