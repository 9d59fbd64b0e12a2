"""A row of the shapes that a model takes."""

import types
from pathlib import Path

import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from deepfm_tf.serving.engine.example_row import example_row


def servable_of(inputs, path="/nowhere"):
    """A servable whose default signature has inputs: (type, shape) by name."""
    signature = SignatureDef()
    for name, (dtype, shape) in inputs.items():
        signature.inputs[name].dtype = dtype
        for size in shape:
            signature.inputs[name].tensor_shape.dim.add(size=size)
    return types.SimpleNamespace(
        path=Path(path), signature_defs={"serving_default": signature}
    )


def test_without_a_card_the_row_has_the_shapes_of_the_signature():
    servable = servable_of(
        {
            "text": (types_pb2.DT_STRING, (-1,)),
            "matrix": (types_pb2.DT_FLOAT, (-1, 3)),
            "history": (types_pb2.DT_INT64, (-1, -1)),
            "flag": (types_pb2.DT_BOOL, (-1,)),
        }
    )

    assert example_row(servable) == {
        "text": "",
        "matrix": [0.0, 0.0, 0.0],
        "history": [0],
        "flag": False,
    }


def test_a_card_of_other_inputs_is_left_aside(tmp_path):
    (tmp_path / "assets.extra").mkdir()
    card = tmp_path / "assets.extra" / "model_card.json"
    card.write_text('{"example": {"other": "a"}}')
    servable = servable_of({"text": (types_pb2.DT_STRING, (-1,))}, tmp_path)

    assert example_row(servable) == {"text": ""}


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"scalar": (types_pb2.DT_STRING, ())},
        {"complex": (types_pb2.DT_COMPLEX64, (-1,))},
    ],
)
def test_no_row_is_made_up_where_json_has_none(inputs):
    assert example_row(servable_of(inputs)) is None
