"""A call that a user can paste into a shell, made for the served model."""

from __future__ import annotations

import json
import shlex
import urllib.parse

from tensorflow_serving.apis import model_pb2

from deepfm_tf.serving.engine.example_row import example_row
from deepfm_tf.serving.errors import ServingError
from deepfm_tf.serving.versions.store import ModelStore

# Longer lines do not help; a terminal takes 4,096 bytes.
_MAX_LENGTH = 3_500


def curl_line(store: ModelStore, name: str, port: int) -> str | None:
    """A `curl` command that asks the newest version for one row.

    The row is that of the model card, if the version has one, else one of the
    shapes that the signature takes: empty texts and zeros.

    Args:
        store: the models.
        name: str. One of them.
        port: int. Of REST.

    Returns:
        The line, quoted for the shell. None if no version is available, or
        if no row of a moderate length can be sent as JSON.
    """
    try:
        with store.acquire(model_pb2.ModelSpec(name=name)) as loaded:
            row = example_row(loaded.servable)
    except ServingError:
        return None
    if row is None:
        return None
    # ASCII, so that every terminal can show it.
    data = json.dumps({"instances": [row]})
    model = urllib.parse.quote(name, safe="")
    url = f"http://localhost:{port}/v1/models/{model}:predict"
    line = shlex.join(["curl", "-d", data, url])
    return line if len(line) <= _MAX_LENGTH else None
