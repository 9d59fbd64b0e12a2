"""On which devices and hosts a model is trained, and what workers agree on."""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from deepfm_tf.cluster import Cluster, read_cluster
from deepfm_tf.copies import copy_of
from deepfm_tf.errors import Argument, UserError
from deepfm_tf.meeting import wait_for_workers
from deepfm_tf.native.choice import kernels_key
from deepfm_tf.row_shards import (
    RowShards,
    find_row_shards,
    refuse_other_updates,
)

_Result = TypeVar("_Result")
# Bytes of a text that workers tell each other; collective operations want one
# size of all.
_TOLD = 1024
# What TensorFlow says where a worker has gone, in one of these errors.
_LOST = (
    *("collective", "coordination", "heartbeat", "peer", "connect"),
    *("socket closed", "task ", "barrier", "shut down", "unhealthy"),
)


def create_strategy(
    num_replicas: int | None = None, *, shard_tables: bool = False
) -> tf.distribute.Strategy:
    """`MirroredStrategy` over all GPUs; on the CPU alone, TensorFlow's default.

    Where `TF_CONFIG` or Slurm names several workers (see `read_cluster`), one
    model is trained by all of them, each with its GPUs or its CPU: a
    `MultiWorkerMirroredStrategy`. It waits until all of them are there, for an
    hour at most.

    Build and compile the model inside `strategy.scope()`. Each batch is split
    between the replicas, so its size should be a multiple of their number. A
    model that `compile_model` has compiled learns the same on any number of
    them, but for what dropout draws, which differs.

    Args:
        num_replicas: int or None. Replicas to train on. `None` takes every
            GPU (one replica on a CPU-only machine). On a CPU, more than one
            makes as many logical devices, to try things out; that must
            happen before TensorFlow has run its first operation.
        shard_tables: bool. Whether several workers share out the rows of
            tables, in place of a copy each. Experimental: see
            pipelines/several_hosts.md. Defaults to `False`.

    Raises:
        ValueError: fewer GPUs than replicas; TensorFlow runs already, with
            fewer logical devices or without the other workers; `TF_CONFIG`
            names no workers that could start, or one for `shard_tables`.

    Example:

    >>> create_strategy().num_replicas_in_sync
    1
    """
    if num_replicas is not None and (
        not isinstance(num_replicas, int) or num_replicas < 1
    ):
        raise UserError(
            Argument("num_replicas"),
            " must be a positive integer. Received: ",
            Argument("num_replicas", num_replicas),
            ".",
        )
    cluster = read_cluster()
    if cluster.num_workers > 1:
        cluster.check_replicas(num_replicas)
        return _workers_strategy(cluster, shard_tables)
    cluster.check_sharding(shard_tables)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        count = len(gpus) if num_replicas is None else num_replicas
        if count > len(gpus):
            raise UserError(
                Argument("num_replicas"),
                " must not exceed the number of GPUs. Received: ",
                Argument("num_replicas", num_replicas),
                f", with {len(gpus)} GPUs.",
            )
        return _mirrored_strategy("GPU", count)
    if num_replicas is None or num_replicas == 1:
        # One device has nothing to mirror, and mirroring costs time.
        return tf.distribute.get_strategy()
    _make_logical_cpus(num_replicas)
    return _mirrored_strategy("CPU", num_replicas)


class WorkersStrategy(tf.distribute.MultiWorkerMirroredStrategy):
    """A `MultiWorkerMirroredStrategy` that Keras 3 can `fit` under.

    Args:
        cluster: Cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.row_shards: RowShards | None = None
        self.has_kernels = False  # until all are known to have the same
        resolvers = tf.distribute.cluster_resolver
        super().__init__(
            resolvers.SimpleClusterResolver(
                tf.train.ClusterSpec({"worker": list(cluster.addresses)}),
                task_type="worker",
                task_id=cluster.index,
                num_accelerators={
                    "GPU": len(tf.config.get_visible_devices("GPU"))
                },
                rpc_layer="grpc",
            )
        )
        # In a graph: without one, TensorFlow makes one at each call.
        self.gather_rows = tf.function(
            lambda rows: self.gather(rows, axis=0), autograph=False
        )
        refuse_other_updates(self.extended)

    def reduce(
        self, reduce_op: Any, value: Any, axis: int | None = None
    ) -> Any:
        """As the base class does, but for what Keras asks wrongly.

        Keras 3 (keras-team/keras#20585) reduces a whole batch, of which it
        wants shapes and types, and the logs of a step, over an axis that a
        scalar has not.
        """
        if tf.nest.is_nested(value):
            # Any part of the batch will do.
            return tf.nest.map_structure(
                lambda part: self.experimental_local_results(part)[0], value
            )
        local = self.experimental_local_results(value)
        if axis is not None and local[0].shape.rank == 0:
            # The logs of an epoch come from metrics, which add up all workers.
            return tf.reduce_mean(tf.stack(local))
        return super().reduce(reduce_op, value, axis)

    def experimental_distribute_dataset(
        self, dataset: Any, options: Any = None
    ) -> Any:
        """As the base class does; refuses what it would split once too often.

        Each batch is split between the workers, also where each has read rows
        of its own: most of them would never be trained on.
        """
        policy = dataset.options().experimental_distribute.auto_shard_policy
        if policy == tf.data.experimental.AutoShardPolicy.OFF:
            raise UserError(
                "A data set with `shard` must not be given to `fit` under "
                "several workers: its batches would be split between them "
                "again. Give train.distributed(strategy, batch_size), where "
                "each worker reads its own rows, or leave out `shard`."
            )
        return super().experimental_distribute_dataset(dataset, options)


def cluster_of(strategy: tf.distribute.Strategy) -> Cluster:
    """The workers of a strategy; of one that is not ours, this process alone.

    Args:
        strategy: of `create_strategy`.
    """
    return getattr(strategy, "cluster", None) or Cluster()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process prepares, writes and exports for all workers.

    Args:
        strategy: of `create_strategy`.
    """
    return cluster_of(strategy).is_chief


def exchange(strategy: tf.distribute.Strategy, text: str) -> list[str]:
    """What each worker says, by its place; waits until all have said it.

    If one of them has gone, TensorFlow raises an error within a minute, of
    which `lost_worker` knows.

    Args:
        strategy: of `create_strategy`.
        text: str. What this one says; of a longer text, the first 1 kB.
    """
    cluster = cluster_of(strategy)
    if cluster.num_workers == 1:
        return [text]
    told = np.zeros((1, 1 + _TOLD), np.float32)
    data = text.encode()[:_TOLD]
    told[0, 0] = cluster.index
    # As floats, which collective operations take on all devices.
    told[0, 1 : 1 + len(data)] = np.frombuffer(data, np.uint8)
    with _ending_at_ctrl_c():
        rows = strategy.gather_rows(tf.constant(told)).numpy()
    return [
        row[1:].astype(np.uint8).tobytes().rstrip(b"\0").decode(errors="ignore")
        for row in sorted(rows, key=lambda row: row[0])
    ]


def agree(strategy: tf.distribute.Strategy, text: str, what: str) -> None:
    """Wait for all workers, and see that all say the same.

    Args:
        strategy: of `create_strategy`.
        text: str.
        what: str. What it tells of, for the message.

    Raises:
        UserError: on all workers, if one says something else.
    """
    texts = exchange(strategy, text)
    others = [str(n) for n, each in enumerate(texts) if each != texts[0]]
    if others:
        raise UserError(
            f"All workers must have the same {what}. Those of worker "
            f"{', '.join(others)} differ from the chief's. Start the same "
            "command on all hosts, with folders that all of them share."
        )


def on_chief(
    strategy: tf.distribute.Strategy, function: Callable[[], _Result]
) -> _Result | None:
    """Call a function on the chief, while the other workers wait for it.

    Args:
        strategy: of `create_strategy`.
        function: uses no operation that all workers take part in.

    Returns:
        What the function gives; None on the others.

    Raises:
        UserError: on the others, if the function raises an error. The chief
            gets that error itself.
    """
    result, failure = None, None
    if is_chief(strategy):
        try:
            result = function()
        except Exception as error:
            failure = error
    told = exchange(strategy, "" if failure is None else f"!{failure}")[0]
    if failure is not None:
        raise failure
    if told:
        raise UserError(f"The chief has stopped: {told[1:]}")
    return result


def on_one_host(model: Any) -> Any:
    """A model with the same weights that needs no other workers.

    Under several workers, `predict` and whatever calls it wait for all.

    Args:
        model: Keras model. If its table is shared out between the workers,
            all of them must call this.

    Returns:
        A copy, not compiled, with all of its table; the model itself if it was
        trained on one host. Of a table that is shared out, for the chief
        alone: the others get None.
    """
    strategy = model.distribute_strategy
    if cluster_of(strategy).num_workers == 1:
        return model
    return copy_of(model, is_chief(strategy))


def lost_worker(error: BaseException, cluster: Cluster) -> UserError | None:
    """What to say of an error that the loss of a worker has led to.

    Args:
        error: what an operation of all workers raised.
        cluster: of this process.

    Returns:
        UserError; None if it is an error of another kind.
    """
    if cluster.num_workers == 1 or not isinstance(error, tf.errors.OpError):
        return None
    said = str(error).lower()
    if not any(word in said for word in _LOST):
        return None
    return UserError(
        f"Worker {cluster.index} of {cluster.num_workers} has lost another "
        "one, whose output says why it ended. The training up to the last "
        "complete epoch is kept: start the same command on all hosts again "
        "to continue from there."
    )


@functools.cache
def _workers_strategy(cluster: Cluster, shard_tables: bool) -> WorkersStrategy:
    """The one strategy of several workers that a process can have."""
    _check_not_started(cluster)
    wait_for_workers(cluster)
    with _ending_at_ctrl_c():
        strategy = WorkersStrategy(cluster)
    # Else those that share would wait for the others, and these for them.
    agree(strategy, str(shard_tables), "`shard_tables`")
    if shard_tables:
        strategy.row_shards = find_row_shards(strategy)
    keys = exchange(strategy, kernels_key())
    strategy.has_kernels = bool(keys[0]) and len(set(keys)) == 1
    return strategy


def _check_not_started(cluster: Cluster) -> None:
    """Raise UserError where TensorFlow has run an operation already."""
    threads = tf.config.threading
    count = threads.get_inter_op_parallelism_threads()
    try:
        # Refused once it runs, and of no effect before.
        threads.set_inter_op_parallelism_threads(count + 1)
        threads.set_inter_op_parallelism_threads(count)
    except RuntimeError as error:
        raise UserError(
            f"{cluster.source} names {cluster.num_workers} workers, which "
            "must find each other before TensorFlow runs its first operation. "
            "Call `create_strategy` at the start of the program."
        ) from error


@contextlib.contextmanager
def _ending_at_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends the process in this block, where it waits for others.

    Python would not hear of it before TensorFlow returns. SIGTERM is what it
    was before, too: TensorFlow takes it for itself when workers meet.
    """
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.getsignal(kind) for kind in kinds}
    is_main = threading.current_thread() is threading.main_thread()
    if None in before.values() or not is_main:
        # Not one of Python's, or not ours to set.
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


@functools.cache
def _mirrored_strategy(kind: str, count: int) -> tf.distribute.Strategy:
    """The one strategy over these devices.

    Two of them in a process number their collective operations alike, and
    the second fails on shapes that the runtime remembers from the first.
    """
    devices = [f"{kind}:{number}" for number in range(count)]
    if kind == "CPU":
        return tf.distribute.MirroredStrategy(
            devices, cross_device_ops=tf.distribute.ReductionToOneDevice()
        )
    return tf.distribute.MirroredStrategy(devices)


def _make_logical_cpus(count: int) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    existing = tf.config.get_logical_device_configuration(cpu) or ()
    if len(existing) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * count
        )
    except RuntimeError as error:
        raise UserError(
            f"{count} replicas on the CPU need {count} logical devices, which "
            "must be made before TensorFlow runs its first operation. Call "
            "`create_strategy` at the start of the program.",
            argument="num_replicas",
        ) from error
