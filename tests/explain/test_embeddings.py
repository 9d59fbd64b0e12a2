"""Embeddings as files, and what TensorBoard reads of them."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from tensorboard.plugins.projector import projector_plugin

import deepfm_tf
from tests.explain.small import shared_model, small_rows

NAMES = {
    "a": ["(OOV)", "tab\there", "line\nbreak"],
    "t": ["(OOV)", "one", "two", "\N{SNOWMAN}"],
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("embeddings") / "new"
    model = shared_model("DeepFM")
    data = tf.data.Dataset.from_tensor_slices(small_rows(30)).batch(8)
    deepfm_tf.explain.export_embeddings(
        model, directory, NAMES, dataset=data, projector_rows=2
    )
    return model, directory


def test_the_parquet_file_holds_every_row_of_the_table(exported):
    model, directory = exported

    table = pq.read_table(directory / "embeddings.parquet").to_pydict()

    assert table["field"] == ["a"] * 3 + ["t"] * 4 + ["x"] + ["z"] * 2
    assert table["value"] == [*NAMES["a"], *NAMES["t"], "", "", "(missing)"]
    assert table["id"] == [0, 1, 2, 0, 1, 2, 3, 0, 0, 1]
    weights = np.array(model.shared_embedding.embeddings)
    np.testing.assert_array_equal(table["vector"], weights[:, :-1])
    np.testing.assert_array_equal(table["first_order"], weights[:, -1])


def test_counts_are_those_of_the_data_set(exported):
    _, directory = exported
    rows = small_rows(30)

    counts = pq.read_table(directory / "embeddings.parquet")["count"]

    expected = [(rows["ids"][:, 0] == id_).sum() for id_ in range(3)]
    # t and u share their rows.
    expected += [(rows["ids"][:, 1:] == id_).sum() for id_ in range(4)]
    missing = np.isnan(rows["values"])
    expected += [(~missing[:, 0]).sum()]
    expected += [(~missing[:, 1]).sum(), missing[:, 1].sum()]
    assert counts.to_pylist() == expected


def test_the_projector_gets_the_first_ids_of_each_field(exported):
    model, directory = exported

    vectors = np.loadtxt(directory / "vectors.tsv", delimiter="\t")
    lines = (directory / "metadata.tsv").read_text("utf-8").split("\n")

    kept = [0, 1, 3, 4, 7, 8, 9]
    weights = np.array(model.shared_embedding.embeddings)[kept, :-1]
    np.testing.assert_allclose(vectors, weights, rtol=1e-5)
    assert lines[0] == "feature\tfield\tvalue\tcount"
    assert lines[2].split("\t")[:3] == ["a=tab here", "a", "tab here"]
    assert len(lines) == 1 + len(kept) + 1


def test_tensorboard_finds_the_files(exported):
    _, directory = exported

    config = tf.io.gfile.GFile(directory / "projector_config.pbtxt").read()

    message = projector_plugin.ProjectorConfig()
    projector_plugin.text_format.Parse(config, message)
    (embedding,) = message.embeddings
    for path in (embedding.tensor_path, embedding.metadata_path):
        assert (directory / path).is_file()
    tensor = projector_plugin._read_tensor_tsv_file(
        str(directory / embedding.tensor_path)
    )
    assert tensor.shape == (7, 2)


def test_without_a_data_set_counts_are_unknown(tmp_path, vocabulary):
    model = deepfm_tf.FM(vocabulary.schema, embedding_dim=2)

    deepfm_tf.explain.export_embeddings(model, tmp_path, vocabulary)

    table = pq.read_table(tmp_path / "embeddings.parquet")
    assert table["count"].null_count == len(table)
    assert "(OOV)" in table["value"].to_pylist()


def test_a_logistic_regression_has_weights_alone(tmp_path):
    model = shared_model("LogisticRegression")

    deepfm_tf.explain.export_embeddings(model, tmp_path)

    table = pq.read_table(tmp_path / "embeddings.parquet")
    assert "vector" not in table.column_names
    weights = np.array(model.linear_term.first_order.embeddings)[:, 0]
    np.testing.assert_array_equal(table["first_order"], weights)
    assert [p.name for p in tmp_path.iterdir()] == ["embeddings.parquet"]


def test_large_tables_are_written_block_by_block(tmp_path, monkeypatch):
    monkeypatch.setattr("deepfm_tf.explain.embeddings.BLOCK_ROWS", 2)
    model = shared_model("FM")

    deepfm_tf.explain.export_embeddings(model, tmp_path)

    file = pq.ParquetFile(tmp_path / "embeddings.parquet")
    assert file.num_row_groups == 6  # 3, 4, 1 and 2 rows
    weights = np.array(model.shared_embedding.embeddings)
    np.testing.assert_array_equal(
        file.read()["vector"].to_pylist(), weights[:, :-1]
    )
