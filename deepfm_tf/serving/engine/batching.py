"""Several requests in one run, by TensorFlow's own batcher.

TensorFlow Serving queues requests in front of its session; here the same
scheduler, `BatchFunction`, sits inside the graph, behind the parsing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from deepfm_tf.cpus import num_cpus
from deepfm_tf.errors import UserError
from deepfm_tf.serving.engine.parsing import find_tensor, tensor_name
from deepfm_tf.serving.errors import invalid_argument


@dataclass(frozen=True)
class BatchingOptions:
    """TensorFlow Serving's BatchingParameters, with the same defaults.

    Args:
        max_batch_size: int. Rows in a batch, and in a request unless large
            batches are split. Defaults to 1000.
        batch_timeout_micros: int. How long a batch waits for more, in
            microseconds. Defaults to 0.
        max_enqueued_batches: int. Batches that may wait; more are refused
            with UNAVAILABLE. Defaults to 10.
        num_batch_threads: int. Batches that run at once. Defaults to the
            number of processors.
        allowed_batch_sizes: tuple of int. A batch is padded to the next of
            these with copies of a row; ascending, the last one being
            `max_batch_size`, or `max_execution_batch_size` where large
            batches are split. Defaults to any size.
        enable_large_batch_splitting: bool. Whether a request of more than
            `max_execution_batch_size` rows is cut. Defaults to False.
        max_execution_batch_size: int or None. Rows in a batch where large
            batches are split. Defaults to `max_batch_size`.
        pad_variable_length_inputs: bool. Only False: requests whose rows
            differ in shape from the signature's run by themselves.

    Example:

    >>> BatchingOptions(max_batch_size=64, allowed_batch_sizes=(16, 64))
    BatchingOptions(max_batch_size=64, ..., allowed_batch_sizes=(16, 64), ...)
    """

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int = field(default_factory=num_cpus)
    allowed_batch_sizes: tuple[int, ...] = ()
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None
    pad_variable_length_inputs: bool = False

    def __post_init__(self) -> None:
        for name in (
            "max_batch_size",
            "max_enqueued_batches",
            "num_batch_threads",
        ):
            if getattr(self, name) < 1:
                raise UserError(
                    f"`{name}` must be at least 1. Received: "
                    f"{name}={getattr(self, name)}."
                )
        if self.batch_timeout_micros < 0:
            raise UserError(
                "`batch_timeout_micros` must be at least 0. Received: "
                f"batch_timeout_micros={self.batch_timeout_micros}."
            )
        if self.pad_variable_length_inputs:
            raise UserError(
                "`pad_variable_length_inputs` must be False: this server "
                "batches rows of one shape only. Remove it, or serve with "
                "tensorflow_model_server."
            )
        if not 1 <= self.execution_size <= self.max_batch_size:
            raise UserError(
                "`max_execution_batch_size` must be from 1 to "
                f"max_batch_size={self.max_batch_size}. Received: "
                f"max_execution_batch_size={self.max_execution_batch_size}."
            )
        sizes = self.allowed_batch_sizes
        if sizes and (
            sorted(set(sizes)) != list(sizes)
            or sizes[0] < 1
            or sizes[-1] != self.execution_size
        ):
            raise UserError(
                "`allowed_batch_sizes` must ascend from 1 or more and end "
                f"with the size of a batch, {self.execution_size}. Received: "
                f"allowed_batch_sizes={sizes}."
            )

    @property
    def execution_size(self) -> int:
        """Rows in the largest batch that runs."""
        if not self.enable_large_batch_splitting:
            return self.max_batch_size
        return self.max_execution_batch_size or self.max_batch_size

    @property
    def padded_sizes(self) -> list[int] | None:
        """The batcher's `allowed_batch_sizes`; it has no execution size."""
        sizes = list(self.allowed_batch_sizes)
        if not sizes and self.execution_size < self.max_batch_size:
            sizes = list(range(1, self.execution_size + 1))
        return sizes or None


def rows_are_batchable(
    signature: meta_graph_pb2.SignatureDef,
) -> bool:
    """Whether it takes any number of rows, each of one known shape."""
    for info in signature.inputs.values():
        dims = [dim.size for dim in info.tensor_shape.dim]
        if info.tensor_shape.unknown_rank or dims[:1] != [-1]:
            return False
        if -1 in dims[1:]:
            return False
    return bool(signature.inputs)


def fits_in_batch(
    signature: meta_graph_pb2.SignatureDef,
    feeds: Mapping[str, tensor_pb2.TensorProto],
) -> bool:
    """Whether a request's rows have the shapes of the signature.

    One that does not runs by itself, or it would fail the requests of others
    in its batch.

    Raises:
        ServingError: INVALID_ARGUMENT, when it does but for unequal numbers
            of rows.
    """
    rows = set()
    for alias, info in signature.inputs.items():
        given = feeds[alias].tensor_shape.dim
        expected = info.tensor_shape.dim
        if len(given) != len(expected):
            return False
        for size, wanted in zip(given[1:], expected[1:], strict=True):
            if size.size != wanted.size:
                return False
        rows.add(given[0].size)
    if len(rows) != 1:
        raise invalid_argument(
            "Batching session Run() input tensors must have equal "
            "0th-dimension size"
        )
    return True


def batched_outputs(
    graph: tf.Graph,
    graph_def: tf.compat.v1.GraphDef,
    inputs: Mapping[str, tf.Tensor],
    outputs: Sequence[str],
    options: BatchingOptions,
) -> dict[str, tf.Tensor]:
    """Adds a batched copy of a signature to its graph.

    Args:
        graph: tf.Graph. Where the model is loaded.
        graph_def: GraphDef. The model as it was saved.
        inputs: dict. The parsed tensor in place of each placeholder's name.
        outputs: list of str. Names of the tensors to compute.
        options: BatchingOptions.

    Returns:
        dict. The batched tensor for each of `outputs`; none at all where
        they cannot be put into a function: TensorFlow 1's reference
        variables, or an output that is no tensor.
    """
    nodes = {node.name: node for node in graph_def.node}
    if not outputs or any(find_tensor(graph, name) is None for name in outputs):
        return {}
    body = tf.compat.v1.GraphDef(
        library=graph_def.library, versions=graph_def.versions
    )
    # Variables and tables stay where they are, whatever runs on them.
    handles: list[tf.Tensor] = []
    seen = {name.partition(":")[0] for name in inputs}
    pending = [name.partition(":")[0] for name in outputs]
    while pending:
        node = nodes[pending.pop()]
        if node.name in seen:
            continue
        seen.add(node.name)
        tensors = graph.get_operation_by_name(node.name).outputs
        if any(tensor.dtype._is_ref_dtype for tensor in tensors):
            return {}
        if not node.input and tensors and tensors[0].dtype == tf.resource:
            handles.extend(tensors)
            continue
        body.node.append(node)
        pending += [i.lstrip("^").partition(":")[0] for i in node.input]

    @tf.nondifferentiable_batch_function(
        num_batch_threads=options.num_batch_threads,
        max_batch_size=options.max_batch_size,
        batch_timeout_micros=options.batch_timeout_micros,
        allowed_batch_sizes=options.padded_sizes,
        max_enqueued_batches=options.max_enqueued_batches,
        autograph=False,
        enable_large_batch_splitting=options.enable_large_batch_splitting,
    )
    def run(*tensors: tf.Tensor) -> list[tf.Tensor]:
        function = tf.compat.v1.get_default_graph()
        replaced = dict(zip(inputs, tensors, strict=True))
        for handle in handles:
            replaced[handle.name] = function.capture(handle)
        tf.import_graph_def(body, replaced, name="")
        return [
            replaced[name]
            if name in replaced
            else function.get_tensor_by_name(tensor_name(name))
            for name in outputs
        ]

    with graph.as_default():
        answers = run(*inputs.values())
    return dict(zip(outputs, answers, strict=True))
