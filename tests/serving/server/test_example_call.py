"""The call that a server prints for its model."""

import json
import math
import subprocess
import types
import urllib.request
from contextlib import nullcontext
from pathlib import Path

import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from deepfm_tf.serving.server.example_call import curl_line
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from tests.serving.toy_model import copy_with_bias

HOSTILE = 'it\'s "b" $HOME `id` \\ !x 100% é|b\n'
ROW = {"c0": HOSTILE, "c1": "b", "c2": "", "n0": -1.5, "n1": 1e-7}


def words_of(line):
    """What bash gives to curl, without a curl."""
    shell = 'curl() { printf "%s\\0" "$@"; }\n' + line
    done = subprocess.run(
        ["bash", "-euc", shell], capture_output=True, check=True, timeout=60
    )
    return done.stdout.decode().split("\0")[:-1]


@pytest.fixture(scope="module")
def server(toy_path, tmp_path_factory):
    """A server of the toy, whose card holds a row, and its line."""
    base = tmp_path_factory.mktemp("models") / "my toy"
    copy_with_bias(toy_path, base / "1", 0.5)
    card = base / "1" / "assets.extra"
    card.mkdir(exist_ok=True)
    (card / "model_card.json").write_text(json.dumps({"example": ROW}))
    options = Options(
        port=0, rest_api_port=-1, model_name="my toy", model_base_path=str(base)
    )
    with Server(options) as server:
        yield server


def test_bash_sends_the_row_of_the_card_and_the_server_answers_it(server):
    line = curl_line(server.store, "my toy", server.rest_port)

    option, data, url = words_of(line)

    assert (option, json.loads(data)) == ("-d", {"instances": [ROW]})
    with urllib.request.urlopen(url, data.encode(), timeout=60) as answer:
        (probability,) = json.load(answer)["predictions"]
    # See the toy: c1 is "b", which counts as 2.
    logit = 0.5 - 0.5 * 2 + 0.5 * -1.5 - 0.25 * 1e-7
    assert probability == pytest.approx(1 / (1 + math.exp(-logit)), abs=1e-6)


def test_no_line_is_longer_than_a_terminal_takes():
    signature = SignatureDef()
    signature.inputs["x"].dtype = types_pb2.DT_FLOAT
    for size in (-1, 1000):
        signature.inputs["x"].tensor_shape.dim.add(size=size)
    wide = types.SimpleNamespace(
        path=Path("/nowhere"), signature_defs={"serving_default": signature}
    )
    store = types.SimpleNamespace(
        acquire=lambda _: nullcontext(types.SimpleNamespace(servable=wide))
    )

    assert curl_line(store, "x", 8501) is None
