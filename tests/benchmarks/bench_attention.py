"""What attention to the candidate brings on histories, and what it costs.

    python -m tests.benchmarks.bench_attention

Makes clicks that follow from how much of a user's history is of the
candidate's kind, of which there are more than a vector has numbers. Trains
DeepFM with each pooling, over seeds, and prints a line per run: the test
metrics at the epoch of the best validation log loss, and the processor's
milliseconds a step. Then a line with what the truth itself scores.
"""

import time
from typing import Any

import numpy as np
import pandas as pd

import deepfm_tf
from tests.benchmarks import arguments
from tests.benchmarks.machine import emit

POOLINGS = ("mean", "sum", "attention")
# Values of a history, and how many of them are of the user's favourite kinds.
LENGTH, LIKED = 30, 0.6
BATCH_SIZE, LEARNING_RATE = 512, 0.003


def main() -> None:
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--kinds", type=int, default=50)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=7)
    options = parser.parse_args()
    log, odds = histories(options.rows, options.items, options.kinds)
    stops = int(0.75 * len(log)), int(0.85 * len(log))
    parts = np.split(np.arange(len(log)), stops)
    for seed in range(1, options.seeds + 1):
        for pooling in POOLINGS:
            record = _train(log, parts, pooling, seed, options.epochs)
            emit({"benchmark": "attention"} | record, options.output)
    label = log["label"].to_numpy()[parts[2]]
    truth = deepfm_tf.metrics.binary_metrics(label, odds[parts[2]])
    emit(
        {"benchmark": "attention", "pooling": "truth", **_shown(truth)},
        options.output,
    )


def histories(
    num_rows: int, num_items: int, num_kinds: int, seed: int = 0
) -> tuple[pd.DataFrame, Any]:
    """The clicks, and their probabilities."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, num_kinds, num_items)
    order = np.argsort(kind, kind="stable")
    starts = np.searchsorted(kind[order], np.arange(num_kinds))
    counts = np.bincount(kind, minlength=num_kinds)

    def item_of(kinds: Any) -> Any:
        place = (random.random(kinds.shape) * counts[kinds]).astype(int)
        return order[starts[kinds] + place]

    shape = (num_rows, LENGTH)
    favourites = random.integers(0, num_kinds, (num_rows, 3))
    which = random.integers(0, 3, shape)
    liked = item_of(np.take_along_axis(favourites, which, axis=1))
    anything = random.integers(0, num_items, shape)
    seen = np.where(random.random(shape) < LIKED, liked, anything)
    length = random.integers(0, LENGTH + 1, num_rows)
    candidate = np.where(
        random.random(num_rows) < 0.4,
        item_of(favourites[:, 0]),
        random.integers(0, num_items, num_rows),
    )
    is_there = np.arange(LENGTH) < length[:, None]
    same = (kind[seen] == kind[candidate][:, None]) & is_there
    quality = random.normal(0, 0.3, num_items)[candidate]
    logit = -2.5 + 1.2 * np.log1p(same.sum(axis=1)) + quality
    odds = 1 / (1 + np.exp(-logit))
    log = pd.DataFrame(
        {
            "label": (random.random(num_rows) < odds).astype(int),
            "candidate": [f"i{c}" for c in candidate],
            "history": [
                "|".join(f"i{s}" for s in row[:stop])
                for row, stop in zip(seen, length, strict=True)
            ],
        }
    )
    return log, odds


def _train(
    log: pd.DataFrame, parts: Any, pooling: str, seed: int, epochs: int
) -> dict[str, Any]:
    history = deepfm_tf.MultiValuedField(
        "history",
        max_length=LENGTH,
        keep="last",
        pooling=pooling,
        candidate="candidate" if pooling == "attention" else None,
        share_with="candidate",
    )
    item = deepfm_tf.CategoricalField("candidate")
    schema = deepfm_tf.Schema((item, history), "label")
    train, valid, test = (log.iloc[rows] for rows in parts)
    vocabulary = deepfm_tf.fit_vocabulary(train, schema)
    packed = deepfm_tf.encode(train, vocabulary)
    deepfm_tf.set_seed(seed)
    model = deepfm_tf.DeepFM(vocabulary.schema)
    deepfm_tf.compile_model(model, learning_rate=LEARNING_RATE)
    found, busy = [], []
    for epoch in range(epochs):
        batches = deepfm_tf.dataset_from_ids(
            packed,
            train["label"].to_numpy(),
            vocabulary.schema,
            BATCH_SIZE,
            shuffle=True,
            seed=100 * seed + epoch,
        )
        start = time.process_time()
        model.fit(batches, verbose=0, shuffle=False)
        busy.append(time.process_time() - start)
        both = [
            deepfm_tf.evaluate(
                model, deepfm_tf.dataset_from_memory(part, vocabulary, 4096)
            )
            for part in (valid, test)
        ]
        found.append((both[0]["log_loss"], epoch + 1, _shown(both[1])))
    _, epoch, metrics = min(found)
    steps = -(-len(train) // BATCH_SIZE)
    return {
        "pooling": pooling,
        "seed": seed,
        "epoch": epoch,
        **metrics,
        # Not the first, which traces the step.
        "cpu_ms_per_step": round(1e3 * min(busy[1:]) / steps, 2),
    }


def _shown(metrics: Any) -> dict[str, float]:
    return {name: round(metrics[name], 4) for name in ("auc", "log_loss")}


if __name__ == "__main__":
    main()
