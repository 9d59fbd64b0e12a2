"""What an epoch leaves of variables, in files."""

import keras
import numpy as np
import pytest

from deepfm_tf.callbacks import epoch_values, shard_files
from deepfm_tf.callbacks.epoch_values import (
    read_values,
    variables_of,
    write_shared,
    write_values,
)
from deepfm_tf.errors import MissingFileError, UserError
from deepfm_tf.row_shards import RowShards


def test_other_weights_are_written_in_place_of_a_models_own(tmp_path):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    table = model.layers[-1].kernel
    table.row_shards, table.num_rows = RowShards(0, 1), 3
    mean = [np.arange(6.0, dtype="float32").reshape(3, 2), np.float32([7, 8])]

    shared = write_shared(tmp_path, "mean.npz", model, mean)
    write_values(tmp_path / "mean.npz", model, mean)

    model.optimizer.learning_rate.assign(0.5)
    read_values(tmp_path / "mean.npz", shared, model, variables_of(model))
    for weight, expected in zip(model.get_weights(), mean, strict=True):
        np.testing.assert_array_equal(weight, expected)
    # The optimizer's are its own, of when they were written.
    assert float(model.optimizer.learning_rate) == np.float32(0.01)


@pytest.fixture
def table(monkeypatch, tmp_path):
    """A file of a table of 5 rows, which is read and written 2 at a time."""
    monkeypatch.setattr(shard_files, "BLOCK_ROWS", 2)
    monkeypatch.setattr(epoch_values, "BLOCK_ROWS", 2)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Embedding(5, 3)])
    model.compile("sgd", "mse")
    model.layers[-1].embeddings.assign(np.arange(15.0).reshape(5, 3))
    write_values(tmp_path / "epoch.npz", model)
    return model, tmp_path / "epoch.npz"


def test_numpy_reads_a_table_that_is_written_in_blocks(table):
    model, path = table

    with np.load(path) as file:
        found = [file[name] for name in file.files]

    expected = [np.arange(15.0).reshape(5, 3), 0, np.float32(0.01)]
    for value, each in zip(found, expected, strict=True):
        np.testing.assert_array_equal(value, each)
    assert found[0].dtype == np.float32


def test_a_table_is_read_in_blocks(table):
    model, path = table
    weights = model.layers[-1].embeddings
    array = np.zeros((5, 3), np.float32)
    weights.assign(array)

    read_values(path, None, model, [array])
    read_values(path, None, model, [weights])

    for found in (array, weights.numpy()):
        np.testing.assert_array_equal(found, np.arange(15.0).reshape(5, 3))


def test_a_damaged_file_is_told(table):
    model, path = table
    whole = path.read_bytes()
    # The last number of the table, its header, and the file's last bytes.
    place = whole.index(np.float32(14).tobytes())
    for damaged in (
        whole[:place] + b"\1" + whole[place + 1 :],
        whole.replace(b"NUMPY", b"numpy"),
        whole[:-5],
    ):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"epoch\.npz must hold .* damaged"):
            read_values(path, None, model, variables_of(model))


def test_a_file_of_another_model_is_told(table):
    _, path = table
    for layer, said in (
        (
            keras.layers.Embedding(6, 3),
            r"\(5, 3\) for a variable of .*\(6, 3\)",
        ),
        (keras.layers.Dense(3), "3 arrays in place of 4"),
    ):
        model = keras.Sequential([keras.Input((1,)), layer])
        model.compile("sgd", "mse")
        with pytest.raises(UserError, match=said):
            read_values(path, None, model, variables_of(model))


def test_a_missing_file_is_told(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")

    with pytest.raises(
        MissingFileError, match="epoch.npz is missing. It holds"
    ):
        read_values(tmp_path / "epoch.npz", None, model, model.weights)
