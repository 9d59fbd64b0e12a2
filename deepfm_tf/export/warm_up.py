"""Requests that TensorFlow Serving replays before it serves a version."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.export.requests import Request

# Where TensorFlow Serving looks for them in a version.
WARM_UP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
# Few, as each is run at every load; each batch size that is new costs time.
WARM_UP_ROWS = (1, 10, 100)
# A server that merges requests refuses inputs of unequal numbers of rows.
RANK_SIGNATURES = ("rank", "packed_rank")
# Nobody waits for the first answer of these.
_UNHURRIED = ("unseen",)
# What TensorFlow Serving replays at most, and a version's signatures.
_MAX_RECORDS, _MAX_SIGNATURES = 1000, 8


def check_warm_up_rows(warm_up_rows: Sequence[int]) -> tuple[int, ...]:
    """The numbers, ascending, each once; raises UserError for others."""
    most = _MAX_RECORDS // _MAX_SIGNATURES
    if (
        isinstance(warm_up_rows, str | bytes)
        or not isinstance(warm_up_rows, Iterable)
        or len(warm_up_rows) > most
        or not all(
            isinstance(rows, int | np.integer)
            and not isinstance(rows, bool)
            and rows > 0
            for rows in warm_up_rows
        )
    ):
        raise UserError(
            f"`warm_up_rows` must be up to {most} positive whole numbers, such "
            f"as (1, 10, 100). Received: warm_up_rows={warm_up_rows!r}.",
            argument="warm_up_rows",
        )
    return tuple(sorted({int(rows) for rows in warm_up_rows}))


def chosen_for_warm_up(
    requests: Iterable[Request],
    warm_up_rows: Collection[int],
    warm_up_rank: bool,
) -> list[Request]:
    """Those of the checked requests that a server is to replay.

    Args:
        requests: to any signatures.
        warm_up_rows: numbers of rows.
        warm_up_rank: bool. Whether those to `rank` are among them.
    """
    left_out = _UNHURRIED if warm_up_rank else (*_UNHURRIED, *RANK_SIGNATURES)
    return [
        request
        for request in requests
        if request.rows.num_rows in warm_up_rows
        and request.signature not in left_out
    ]


def write_warm_up(
    requests: Iterable[Request], model_name: str, saved_model: Path
) -> None:
    """Write the requests as a TFRecord of PredictionLog.

    Args:
        requests: to any signatures; without any there is no file.
        model_name: the servable's; TensorFlow Serving does not look at it.
        saved_model: the directory of the version.
    """
    requests = list(requests)
    file = saved_model / WARM_UP_FILE
    file.parent.mkdir(exist_ok=True)
    if not requests:
        file.unlink(missing_ok=True)
        return
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = _to_log(request, model_name)
            writer.write(log.SerializeToString(deterministic=True))


def read_warm_up(saved_model: Path) -> Iterator[Any]:
    """The PredictionLogs of a version."""
    for record in tf.data.TFRecordDataset(str(saved_model / WARM_UP_FILE)):
        yield prediction_log_pb2.PredictionLog.FromString(record.numpy())


def replay(log: Any, loaded: Any) -> dict[str, Array]:
    """Run a logged request as TensorFlow Serving does.

    Args:
        log: PredictionLog.
        loaded: what `tf.saved_model.load` gave.

    Returns:
        The signature's outputs.
    """
    request = getattr(log, log.WhichOneof("log_type")).request
    if log.WhichOneof("log_type") == "predict_log":
        feeds = {
            name: tf.constant(tf.make_ndarray(tensor))
            for name, tensor in request.inputs.items()
        }
    else:
        examples = request.input.example_list.examples
        texts = [example.SerializeToString() for example in examples]
        feeds = {"inputs": tf.constant(texts)}
    outputs = loaded.signatures[request.model_spec.signature_name](**feeds)
    return {name: tensor.numpy() for name, tensor in outputs.items()}


def _to_log(request: Request, model_name: str) -> Any:
    log = prediction_log_pb2.PredictionLog()
    if isinstance(request.inputs, Mapping):
        message = log.predict_log.request
        for name, array in request.inputs.items():
            message.inputs[name].CopyFrom(tf.make_tensor_proto(array))
    else:
        kind = {"classify": log.classify_log, "regress": log.regress_log}
        message = kind[request.signature].request
        message.input.example_list.examples.extend(request.inputs)
    message.model_spec.name = model_name
    message.model_spec.signature_name = request.signature
    return log
