"""Memory and CPU time of a vocabulary of many values.

    python -m tests.benchmarks.bench_values --values 1e7

Counts so many different texts of ten characters, once each, block by block,
makes the vocabulary and saves it; another process loads it and looks up a
million of them. Memory is what comes on top of the imports.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tests.benchmarks import arguments
from tests.benchmarks.machine import ROOT, emit, kibibytes

BLOCK_ROWS = 65_536
NUM_LOOK_UPS = 10**6
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)


def make_texts(first: int, count: int) -> pa.Array:
    """Texts that all differ, in no order, as the ids of users are."""
    numbers = np.arange(first, first + count, dtype=np.uint64)
    numbers *= np.uint64(0x9E3779B97F4A7C15)
    places = np.arange(24, 64, 4, dtype=np.uint64)
    digits = (numbers[:, None] >> places) & np.uint64(15)
    return pa.StringArray.from_buffers(
        count,
        pa.py_buffer(np.arange(0, 10 * count + 1, 10, dtype=np.int32)),
        pa.py_buffer(np.ascontiguousarray(_DIGITS[digits.astype(int)])),
    )


def blocks(num_values: int) -> Iterator[tuple[int, pa.Array]]:
    for number, first in enumerate(range(0, num_values, BLOCK_ROWS)):
        yield number, make_texts(first, min(BLOCK_ROWS, num_values - first))


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--values", type=float, default=1e7)
    options = parser.parse_args()
    record = {"benchmark": "values", "values": int(options.values)}
    with tempfile.TemporaryDirectory() as directory:
        for step in ("--fit", "--load"):
            command = [sys.executable, "-m", __spec__.name, step]
            done = subprocess.run(
                [*command, str(record["values"]), directory],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                check=True,
            )
            record |= json.loads(done.stdout)
    emit(record, options.output)


def fit(num_values: int, directory: str) -> dict:
    """Count, finish and save."""
    from deepfm_tf.counting.vocabulary_counts import VocabularyCounts
    from deepfm_tf.fields import CategoricalField
    from deepfm_tf.schema import Schema

    schema = Schema((CategoricalField("user", min_count=1),), "click")
    before, begin = _memory("VmRSS"), time.process_time()
    counts = VocabularyCounts(schema)
    for number, texts in blocks(num_values):
        partial = VocabularyCounts(schema)
        partial.count({"user": texts.dictionary_encode()}, number)
        counts.merge(partial)
    counted = time.process_time()
    vocabulary = counts.finish()
    finished = time.process_time()
    vocabulary.save(directory)
    return {
        "count_cpu_s": round(counted - begin, 1),
        "finish_cpu_s": round(finished - counted, 1),
        "save_cpu_s": round(time.process_time() - finished, 1),
        "fit_peak_gb": _memory("VmHWM") - before,
    }


def load(num_values: int, directory: str) -> dict:
    """Load, and look up values from everywhere."""
    from deepfm_tf.vocabulary import Vocabulary

    before, begin = _memory("VmRSS"), time.process_time()
    vocabulary = Vocabulary.load(directory)
    loaded, held = time.process_time(), _memory("VmRSS") - before
    step = max(1, num_values // 10)
    size = min(step, NUM_LOOK_UPS // 10)
    texts = pa.concat_arrays(
        [make_texts(first, size) for first in range(0, num_values, step)]
    ).dictionary_encode()
    asked = time.process_time()
    ids = vocabulary.look_up(vocabulary.schema.field("user"), texts)
    assert (ids > 0).all()
    return {
        "load_cpu_s": round(loaded - begin, 1),
        "bytes_a_value": round(held * 1e9 / num_values),
        "look_up_cpu_us": round(
            1e6 * (time.process_time() - asked) / len(ids), 2
        ),
    }


def _memory(key: str) -> float:
    return round(kibibytes("/proc/self/status", key) * 1024 / 1e9, 3)


if __name__ == "__main__":
    steps = {"--fit": fit, "--load": load}
    if sys.argv[1:2] and sys.argv[1] in steps:
        found = steps[sys.argv[1]](int(sys.argv[2]), sys.argv[3])
        print(json.dumps(found))
    else:
        main()
