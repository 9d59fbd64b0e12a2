"""A server that is asked about a value looks up what training looked up.

Each way in is given the same values, and the model answers with a probability
that only the right ids lead to.
"""

import contextlib
import dataclasses
import json
import operator

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from hypothesis import strategies as st

import deepfm_tf
from deepfm_tf.serving import PredictClient
from deepfm_tf.serving.client import arrays as client_arrays, predict_command
from deepfm_tf.serving.server.flags import Options
from deepfm_tf.serving.server.server import Server
from deepfm_tf.vocabulary import Vocabulary
from tests.raw_values.kinds import KINDS, SETTINGS, WRITTEN
from tests.serving.rest_client import call

BUCKETS = 2**12
# A field for each storage of a kind, and one that had whole numbers alone.
FIELDS = tuple(f"f{number}" for number in range(8))
WHOLE = "w"
# These have their ids in every storage, says `raw_values/test_texts`; here, by
# each way in, the others alone, and all where CI runs.
IN_CI = {"integers", "large integers", "single numbers", "half numbers"}
IN_CI |= {"seconds", "dates", "times", "decimals", "uuids", "intervals"}


def cases(values, kind_of=str):
    """Parameters, of which some are for CI."""
    return [
        pytest.param(
            *(value if isinstance(value, tuple) else (value,)),
            marks=[pytest.mark.long] if kind_of(value) in IN_CI else [],
        )
        for value in values
    ]


# JSON has these types; what has none is text there.
IN_JSON = ("small integers", "integers", "numbers", "booleans", "texts")


@dataclasses.dataclass
class Served:
    """A served model, and what it must answer."""

    port: int
    rest_port: int
    client: PredictClient
    weights: np.ndarray

    def expected(self, texts):
        """(rows,) probabilities of columns of text, None where missing."""
        num_rows = len(next(iter(texts.values())))
        logits = np.zeros(num_rows)
        for number, name in enumerate((*FIELDS, WHOLE)):
            column = texts.get(name, [None] * num_rows)
            hashes = tf.strings.to_hash_bucket_fast(
                [text or "" for text in column], BUCKETS
            ).numpy()
            # OOV and missing stand before the buckets.
            ids = np.where([not text for text in column], 1, hashes + 2)
            logits += self.weights[number * (BUCKETS + 2) + ids]
        return 1 / (1 + np.exp(-logits))

    def by_command(self, path):
        """What `predict` writes of a file."""
        output = path.with_name("scored.parquet")
        status = predict_command.main(
            [
                f"--address=localhost:{self.port}",
                "--model_name=m",
                f"--input={path}",
                f"--output={output}",
            ]
        )
        assert status == 0
        return pd.read_parquet(output, columns=["probability"])["probability"]

    def by_rest(self, columns):
        """The answers to rows of JSON."""
        rows = [
            dict.fromkeys((*FIELDS, WHOLE), "")
            | dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
        status, answer = call(
            self.rest_port, "/v1/models/m:predict", {"instances": rows}
        )
        assert status == 200, answer
        return answer["predictions"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    schema = deepfm_tf.Schema(
        tuple(
            deepfm_tf.CategoricalField(name, hash_buckets=BUCKETS)
            for name in (*FIELDS, WHOLE)
        ),
        "click",
    )
    known = {
        name: {"whole_numbers": name == WHOLE} for name in (*FIELDS, WHOLE)
    }
    vocabulary = Vocabulary(schema, {}, known)
    model = deepfm_tf.LogisticRegression(vocabulary.schema)
    bias, table = model.get_weights()
    # Small, so that float32 tells the sums of 9 of them apart.
    weights = np.random.default_rng(1).uniform(-0.5, 0.5, table.shape)
    model.set_weights([0 * bias, weights])
    base = tmp_path_factory.mktemp("served") / "m"
    deepfm_tf.export_saved_model(model, vocabulary, base, warm_up_rows=())
    options = Options(
        port=0, rest_api_port=-1, model_name="m", model_base_path=str(base)
    )
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(Server(options))
        client = PredictClient(f"localhost:{server.port}", "m")
        stack.enter_context(client)
        yield Served(server.port, server.rest_port, client, weights[:, 0])


def values_of(kind):
    values, _, _ = KINDS[kind]
    if kind == "moments of a zone":  # lists already
        return values
    return st.lists(values | st.none(), min_size=5)


def texts_of(kind, rows):
    _, text_of, _ = KINDS[kind]
    return [None if value is None else text_of(value) for value in rows]


def run(rows, check):
    """Let hypothesis find rows that `check` fails on."""
    SETTINGS(hypothesis.given(rows)(check))()


def assert_same(found, expected, what):
    np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=repr(what))


def storages_of(kind, in_parquet):
    _, _, storages = KINDS[kind]
    return [
        storage
        for name, storage in storages.items()
        if name.startswith("Parquet") == in_parquet
    ]


def stored(rows, texts, storages):
    """Columns, one for each storage, and the texts that each stands for."""
    columns = {
        name: storage(rows)
        for name, storage in zip(FIELDS, storages, strict=False)
    }
    return columns, dict.fromkeys(columns, texts)


@pytest.mark.parametrize("kind", cases(KINDS))
def test_a_frame_has_its_ids_by_the_client(kind, served, monkeypatch):
    def check(rows):
        texts = texts_of(kind, rows)
        hypothesis.assume(any(texts))
        columns, right = stored(rows, texts, storages_of(kind, False))
        columns |= {
            name: [None] * len(rows)
            for name in (*FIELDS, WHOLE)
            if name not in columns
        }

        for num_rows in (0, 1000):  # as many rows would be, as a few are
            monkeypatch.setattr(client_arrays, "FEW_ROWS", num_rows)
            found = served.client.predict(pd.DataFrame(columns))
            assert_same(found, served.expected(right), rows)

    run(values_of(kind), check)


@pytest.mark.parametrize(
    "kind", cases(kind for kind in KINDS if storages_of(kind, True))
)
def test_a_parquet_file_has_its_ids_by_the_command(
    kind, served, tmp_path_factory
):
    path = tmp_path_factory.mktemp("x") / "x.parquet"

    def check(rows):
        texts = texts_of(kind, rows)
        hypothesis.assume(any(texts))
        columns, right = stored(rows, texts, storages_of(kind, True))
        columns |= {
            name: pa.nulls(len(rows))
            for name in (*FIELDS, WHOLE)
            if name not in columns
        }
        pyarrow.parquet.write_table(pa.table(columns), path)

        found = served.by_command(path)

        assert_same(found, served.expected(right), rows)

    run(values_of(kind), check)


@pytest.mark.parametrize("kind", IN_JSON)
def test_json_lines_have_their_ids_by_the_command(
    kind, served, tmp_path_factory
):
    path = tmp_path_factory.mktemp("x") / "x.jsonl"

    def check(rows):
        texts = texts_of(kind, rows)
        hypothesis.assume(any(texts))
        others = dict.fromkeys((*FIELDS[1:], WHOLE))
        lines = [json.dumps({"f0": value, **others}) for value in rows]
        path.write_text("".join(f"{line}\n" for line in lines))

        found = served.by_command(path)

        assert_same(found, served.expected({"f0": texts}), rows)

    run(values_of(kind), check)


# The others are asked for as pandas writes them, below.
@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in {k for k, *_ in WRITTEN}]
)
def test_texts_have_their_ids_by_rest(kind, served):
    def check(rows):
        texts = texts_of(kind, rows)
        hypothesis.assume(any(texts))

        found = served.by_rest({"f0": [text or "" for text in texts]})

        assert_same(found, served.expected({"f0": texts}), rows)

    run(values_of(kind), check)


@pytest.mark.parametrize(
    ("kind", "storage", "is_kept"), cases(WRITTEN, operator.itemgetter(0))
)
def test_a_csv_file_has_its_ids_by_the_command_and_by_rest(
    kind, storage, is_kept, served, tmp_path_factory
):
    path = tmp_path_factory.mktemp("x") / "x.csv"
    values, _, storages = KINDS[kind]
    rows = st.lists(values.filter(is_kept or bool) | st.none(), min_size=5)
    if is_kept is None:
        rows = values_of(kind)
    if kind == "moments of a zone":
        storage = storages["zone"]
        rows = values.map(lambda ms: [m.replace(microsecond=0) for m in ms])

    def check(rows):
        texts = texts_of(kind, rows)
        hypothesis.assume(any(texts))
        others = dict.fromkeys(FIELDS)
        frame = pd.DataFrame({WHOLE: storage(rows), **others})
        frame.to_csv(path, index=False)
        right = served.expected({WHOLE: texts})
        written = pd.read_csv(path, dtype=str, keep_default_na=False)[WHOLE]

        by_command = served.by_command(path)
        by_rest = served.by_rest({WHOLE: written.tolist()})

        assert_same(by_command, right, rows)
        assert_same(by_rest, right, rows)

    run(rows, check)


@pytest.mark.parametrize(
    ("value", "shown"), [(7, "7"), (7.5, "7.5"), (True, "true"), (None, "null")]
)
def test_json_that_is_no_text_is_refused_by_rest(value, shown, served):
    rows = [dict.fromkeys((*FIELDS, WHOLE), "a") | {"f0": value}]

    status, answer = call(
        served.rest_port, "/v1/models/m:predict", {"instances": rows}
    )

    assert status == 400
    assert "key: f0" in answer["error"]
    assert f"JSON Value: {shown} Type" in answer["error"]
