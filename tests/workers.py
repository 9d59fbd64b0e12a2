"""Processes on this machine that train one model, for the tests.

All are forked off one that has imported TensorFlow and done nothing with it:
an import takes six seconds of a CPU.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import traceback

import keras
import numpy as np
import tensorflow as tf

import deepfm_tf
from deepfm_tf import strategies
from deepfm_tf.__main__ import main
from deepfm_tf.cluster import read_cluster
from deepfm_tf.errors import UserError
from tests.conftest import XLA_FLAGS

_CONTEXT = multiprocessing.get_context("forkserver")
# Seconds. The slowest takes half a minute on two cores that are free.
LIMIT = 240


class Workers:
    """So many processes that call one function with the same arguments.

    Args:
        count: int.
        folder: Path. Where what they print goes, a file for each.
        function: of a module that can be imported; gives the exit status.
        *arguments: of the function.
    """

    def __init__(self, count, folder, function, *arguments):
        self.outputs = [folder / f"worker{n}.txt" for n in range(count)]
        addresses = [f"localhost:{port}" for port in free_ports(count)]
        _CONTEXT.set_forkserver_preload([__name__])
        self.processes = []
        for index, output in enumerate(self.outputs):
            config = {
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            }
            arguments_of_run = (json.dumps(config), output, function, arguments)
            process = _CONTEXT.Process(target=run_one, args=arguments_of_run)
            process.start()
            self.processes.append(process)

    def statuses(self, limit=LIMIT):
        """The exit status of each, None where one does not end."""
        for process in self.processes:
            process.join(limit)
        return [process.exitcode for process in self.processes]

    def texts(self):
        """What each has printed."""
        return [path.read_text(encoding="utf-8") for path in self.outputs]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.join(LIMIT)


def free_ports(count):
    """Ports that nobody uses now."""
    with contextlib.ExitStack() as stack:
        ports = []
        for _ in range(count):
            probe = stack.enter_context(socket.socket())
            probe.bind(("localhost", 0))
            ports.append(probe.getsockname()[1])
        return ports


def run_one(config, output, function, arguments):
    """What one process does."""
    os.environ["TF_CONFIG"] = config
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with open(output, "wb", buffering=0) as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = open(1, "w", buffering=1, closefd=False)
    sys.stderr = open(2, "w", buffering=1, closefd=False)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    try:
        status = function(*arguments)
    except BaseException:
        traceback.print_exc()
        status = 1
    sys.stdout.flush()
    os._exit(status or 0)


def trace_quickly():
    """As all tests do: see `tests.conftest`."""
    os.environ.setdefault("XLA_FLAGS", XLA_FLAGS)
    tf.config.optimizer.set_experimental_options(
        {"disable_meta_optimizer": True}
    )


def command(folder, *words):
    """`deepfm-tf` in a folder."""
    trace_quickly()
    os.chdir(folder)
    return main(list(words))


def script(folder, text):
    """A script of ours in a folder."""
    trace_quickly()
    os.chdir(folder)
    exec(text, {})


def command_killed(folder, index, *words):
    """The same; one worker is killed in the second epoch."""
    if read_cluster().index == index:
        keras.callbacks.EarlyStopping.on_epoch_begin = _note_epoch
        keras.callbacks.EarlyStopping.on_train_batch_end = _kill_in_epoch_2
    return command(folder, *words)


def _note_epoch(stopping, epoch, logs=None):
    stopping.epoch = epoch


def _kill_in_epoch_2(stopping, batch, logs=None):
    if stopping.epoch == 1 and batch == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def digest(folder):
    """Of the variables that a run ended with."""
    model, _ = deepfm_tf.load_checkpoint(folder)
    values = [
        np.asarray(v) for v in (*model.weights, *model.optimizer.variables)
    ]
    return hashlib.md5(b"".join(v.tobytes() for v in values)).hexdigest()


# Name of the optimizer, the norm that gradients are clipped to, and whether
# with batch normalization.
CASES = (
    ("sgd", 1.0, False),
    ("sgd", 1.0, True),
    ("rowwise_adagrad", 1.0, False),
    ("lazy_adam", 1.0, False),
)
BATCH_SIZE = 64


# Four whole batches of 64, and one row that one worker alone gets.
NUM_ROWS = 257
# Of three workers, one takes TensorFlow's operations: so must all.
WITHOUT_KERNELS = 2
# Of three workers, one has no row at all.
FEW_ROWS = 2


def shares(num_workers):
    """First row of each worker, and its rows of a whole batch, by hand."""
    return {
        2: [(0, 32), (128, 32)],
        3: [(0, 21), (84, 21), (168, 22)],
    }[num_workers]


def side_by_side(data, num_workers):
    """What the workers read, as a data set of one."""
    (whole,) = data.dataset(NUM_ROWS)
    places = [
        [
            np.arange(start + step * size, start + (step + 1) * size)
            for start, size in shares(num_workers)
        ]
        for step in range(4)
    ]
    batches = [*map(np.concatenate, places), np.array([NUM_ROWS - 1])]
    whole = tf.nest.map_structure(lambda column: column.numpy(), whole)
    batches = [
        tf.nest.map_structure(lambda column, rows=rows: column[rows], whole)
        for rows in batches
    ]
    return tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=data.dataset(1).element_spec
    ).apply(tf.data.experimental.assert_cardinality(len(batches)))


def model_of(schema, optimizer, clip_norm, batch_normalization=False):
    """A small DeepFM, compiled."""
    deepfm_tf.set_seed(1)
    model = deepfm_tf.DeepFM(
        schema,
        embedding_dim=4,
        hidden_units=(8,),
        dropout=0.0,
        batch_normalization=batch_normalization,
    )
    # A row that no example touches shows it: the penalty would shrink it.
    l2 = 0.01 if optimizer == "rowwise_adagrad" else None
    deepfm_tf.compile_model(
        model, optimizer, 0.05, clip_norm=clip_norm, batch_l2=l2
    )
    return model


def learn(folder):
    """Train one model a case; keep its losses, weights and metrics."""
    trace_quickly()
    if read_cluster().index == WITHOUT_KERNELS:
        os.environ["DEEPFM_TF_KERNELS"] = "off"
    strategy = deepfm_tf.create_strategy()
    index = strategy.cluster.index
    data = deepfm_tf.PreparedData.load(folder / "train")
    few = deepfm_tf.PreparedData.load(folder / "few")
    kept = {}
    for name, case in enumerate(CASES):
        with strategy.scope():
            model = model_of(data.schema, *case)
        history = model.fit(
            data.distributed(strategy, BATCH_SIZE),
            epochs=2,
            shuffle=False,
            verbose=0,
        )
        last = model.fit(
            few.distributed(strategy, BATCH_SIZE), shuffle=False, verbose=0
        )
        kept[f"{name} loss"] = history.history["loss"] + last.history["loss"]
        for number, weight in enumerate(model.get_weights()):
            kept[f"{name} weight {number}"] = weight
    # Of the last case, with a last batch of one row again.
    metrics = deepfm_tf.evaluate(model, data.dataset(BATCH_SIZE))
    kept["metrics"] = [metrics["auc"], metrics["log_loss"], metrics["rows"]]
    kept["probability"] = deepfm_tf.evaluation.predict_with_labels(
        model, data.dataset(BATCH_SIZE)
    )[1]
    kept["few"] = deepfm_tf.evaluation.predict_with_labels(
        model, few.dataset(BATCH_SIZE)
    )[1]
    kept["kernels"] = deepfm_tf.training.kernels_told(strategy)
    kept["told"] = strategies.exchange(strategy, f"I am {index}")
    kept["refused"] = [refusal(strategy, model, data, kind) for kind in REFUSED]
    np.savez(folder / f"{index}.npz", **kept)
    return 0


REFUSED = ("shard", "disagree", "chief")


def refusal(strategy, model, data, kind):
    """What is said of a mistake."""
    index = strategy.cluster.index
    try:
        if kind == "shard":
            place = index, strategy.cluster.num_workers
            part = data.dataset(32, shard=place)
            model.fit(part, verbose=0, shuffle=False)
        elif kind == "disagree":
            strategies.agree(strategy, f"{index}", "options")
        else:
            strategies.on_chief(strategy, lambda: 1 / 0)
    except (UserError, ZeroDivisionError) as error:
        return str(error)
