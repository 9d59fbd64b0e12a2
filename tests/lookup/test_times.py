"""Times in graphs that something else than Keras reads."""

import numpy as np
import tensorflow as tf

from deepfm_tf.lookup.times import look_up_times


def test_a_graph_for_one_row_is_read_where_its_shape_is_not_known():
    # As a server reads the bodies of functions: rank's context is one row.
    traced = tf.function(
        lambda text: look_up_times(text, ("hour",), 1, np.int32([0])),
        input_signature=[tf.TensorSpec((1,), tf.string)],
        autograph=False,
    ).get_concrete_function()
    definition = traced.graph.as_graph_def()
    for node in definition.node:
        node.attr.pop("_output_shapes", None)
        if node.op == "Placeholder":
            node.attr["shape"].shape.unknown_rank = True
            node.attr["shape"].shape.ClearField("dim")

    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with tf.compat.v1.Session(graph=graph) as session:
            ids = session.run(
                traced.outputs[0].name,
                {traced.inputs[0].name: ["2026-05-14 20:15:00"]},
            )

    assert ids.tolist() == [[21]]
