"""The file that TensorFlow Serving warms up with."""

import collections
import os
from pathlib import Path

import numpy as np
import pytest

from deepfm_tf.errors import UserError
from deepfm_tf.export.requests import Request, Rows
from deepfm_tf.export.warm_up import (
    WARM_UP_FILE,
    check_warm_up_rows,
    chosen_for_warm_up,
    read_warm_up,
    replay,
    write_warm_up,
)

SIGNATURES = [
    "serving_default",
    "packed",
    "ids",
    "classify",
    "regress",
    "rank",
    "packed_rank",
    "explain",
]


@pytest.fixture(scope="module")
def logs(exported):
    return list(read_warm_up(Path(exported)))


def request_of(log):
    return getattr(log, log.WhichOneof("log_type")).request


def test_every_signature_is_asked_about_few_batch_sizes(logs):
    sizes = collections.defaultdict(list)
    for log in logs:
        request = request_of(log)
        if log.HasField("predict_log"):
            size = max(
                t.tensor_shape.dim[0].size for t in request.inputs.values()
            )
        else:
            size = len(request.input.example_list.examples)
        sizes[request.model_spec.signature_name].append(size)

    assert sizes == {name: [1, 10, 100] for name in SIGNATURES} | {
        "fields": [1]
    }


def test_the_kind_of_a_record_is_its_signatures_method(logs):
    kinds = {
        request_of(log).model_spec.signature_name: log.WhichOneof("log_type")
        for log in logs
    }

    assert kinds == dict.fromkeys(SIGNATURES, "predict_log") | {
        "fields": "predict_log",
        "classify": "classify_log",
        "regress": "regress_log",
    }
    assert {request_of(log).model_spec.name for log in logs} == {"deepfm"}


def test_each_record_runs(logs, loaded):
    for log in logs:
        outputs = replay(log, loaded)

        assert all(len(array) for array in outputs.values())
        for array in outputs.values():
            assert array.dtype == object or np.isfinite(array).all()


def requests_of(*sizes):
    """Two of each size, one of them to rank."""
    return [
        Request(signature, Rows({"site": np.array(["a"] * size)}, {}), {})
        for size in sizes
        for signature in ("packed", "packed_rank")
    ]


def test_a_server_replays_the_sizes_asked_for():
    chosen = chosen_for_warm_up(requests_of(1, 10, 64, 100), (1, 64), True)

    assert [(r.signature, r.rows.num_rows) for r in chosen] == [
        ("packed", 1),
        ("packed_rank", 1),
        ("packed", 64),
        ("packed_rank", 64),
    ]


def test_requests_to_rank_may_be_left_out():
    chosen = chosen_for_warm_up(requests_of(1, 10), (1, 10), False)

    assert {request.signature for request in chosen} == {"packed"}
    assert len(chosen) == 2


def test_without_requests_there_is_no_file(tmp_path):
    file = tmp_path / WARM_UP_FILE
    file.parent.mkdir()
    file.write_bytes(b"of the check")

    write_warm_up([], "clicks", tmp_path)

    assert not file.exists()


def test_numbers_of_rows_are_sorted_and_come_once():
    assert check_warm_up_rows([64, 1, np.int64(64)]) == (1, 64)
    assert check_warm_up_rows([]) == ()


@pytest.mark.parametrize(
    "rows", [(0, 1), (1.5,), (True,), "100", 100, tuple(range(1, 127))]
)
def test_other_numbers_of_rows_are_refused(rows):
    with pytest.raises(
        UserError, match="`warm_up_rows` must be up to 125 positive whole"
    ) as caught:
        check_warm_up_rows(rows)

    assert caught.value.argument == "warm_up_rows"


def test_the_file_is_small(exported):
    size = os.path.getsize(
        Path(exported) / "assets.extra" / "tf_serving_warmup_requests"
    )

    assert size < 100_000
