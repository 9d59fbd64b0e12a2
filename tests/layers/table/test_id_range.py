"""Ids at or above the size of their block."""

import numpy as np
import pytest

from deepfm_tf.layers import LinearTerm, SharedEmbedding
from deepfm_tf.layers.table.id_range import check_ids


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[4, 6]], None),
        ([[-1, -1]], None),
        (np.empty((0, 2), int), None),
        (
            [[0, 0], [5, 0]],
            "Field 0 has id 5 in example 1, .* has 5 rows; ids .* 4",
        ),
        ([[0, 7]], "Field 1 has id 7 in example 0, .* has 7 rows"),
    ],
)
def test_each_id_column_has_the_size_of_its_block(ids, message):
    if message is None:
        check_ids(ids, [0, 1], [5, 7])
        return
    with pytest.raises(ValueError, match=message):
        check_ids(ids, [0, 1], [5, 7])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: LinearTerm((3, 5), (1, 2), (1, 0)),
        lambda: SharedEmbedding((3, 5), 2, (1, 2), (1, 0)),
    ],
)
def test_shared_blocks_and_many_id_columns_are_told_apart(layer):
    # Field 0 reads the block of 5 rows, both id columns of field 1 that of 3.
    layer = layer()
    layer(np.array([[4, 2, 2]]))

    with pytest.raises(ValueError, match="Field 1 has id 3 in example 0"):
        layer(np.array([[4, 2, 3]]))
