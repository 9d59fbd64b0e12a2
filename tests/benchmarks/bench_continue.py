"""A fortnight of daily training: going on from yesterday, or from scratch.

A generated log of clicks drifts: items come and go, and their quality walks.
Each day a model is trained on what is known by then, and measured on the next
day, whose true odds are known too.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd

import deepfm_tf
from tests.benchmarks import arguments
from tests.benchmarks.plot import GREY

matplotlib.use("svg")
from matplotlib import pyplot  # noqa: E402

USERS, DIM = 3_000, 4
FIRST_ITEMS, ITEMS_A_DAY = 400, 25
# Days that the first model learns from, and "the last 7".
WEEK = 7
TITLES = {
    "continue": ("goes on, one epoch a day", "#2f8fdd", "o"),
    "continue_stop": ("goes on, early stopping", "#7a5fd0", "v"),
    "last_1": ("from scratch, last day", "#e0792f", "s"),
    "last_7": ("from scratch, last 7 days", "#4a9c4a", "D"),
    "truth": ("true odds", GREY, ""),
}


class World:
    """Users, and items that come, fade and change.

    Args:
        num_days: int.
        seed: int.
    """

    def __init__(self, num_days: int, seed: int) -> None:
        self._random = random = np.random.default_rng(seed)
        num_items = FIRST_ITEMS + ITEMS_A_DAY * num_days
        self._taste = random.normal(0, 0.6, (USERS, DIM))
        self._trait = random.normal(0, 0.8, (num_items, DIM))
        # The day that an item comes on; the first ones were there before.
        start = np.repeat(np.arange(num_days), ITEMS_A_DAY)
        before = random.integers(-20, 0, FIRST_ITEMS)
        self._start = np.concatenate([before, start])
        walk = random.normal(0, 0.12, (num_days, num_items)).cumsum(axis=0)
        self._quality = random.normal(0, 0.7, num_items) + walk
        self._fame = random.pareto(1.5, num_items) + 0.2
        self._habit = random.pareto(1.2, USERS) + 0.1

    def rows(self, day: int, num_rows: int) -> tuple[pd.DataFrame, np.ndarray]:
        """The log of a day, and the true odds of its rows."""
        random, age = self._random, day - self._start
        fame = np.where(age >= 0, self._fame * np.exp(-age / 10), 0)
        item = random.choice(len(fame), num_rows, p=fame / fame.sum())
        habit = self._habit / self._habit.sum()
        user = random.choice(USERS, num_rows, p=habit)
        hour = random.integers(0, 24, num_rows)
        evening = 0.4 * np.sin((hour - 9) / 24 * 2 * np.pi)
        logit = -1.8 + self._quality[day, item] + evening
        logit += (self._taste[user] * self._trait[item]).sum(axis=1)
        odds = 1 / (1 + np.exp(-logit))
        frame = pd.DataFrame(
            {
                "user": [f"u{u}" for u in user],
                "item": [f"i{i}" for i in item],
                "hour": [f"h{h}" for h in hour],
                "clicked": (random.random(num_rows) < odds).astype(int),
            }
        )
        return frame, odds


SCHEMA = deepfm_tf.Schema(
    tuple(
        deepfm_tf.CategoricalField(name, min_count=3)
        for name in ("user", "item", "hour")
    ),
    label="clicked",
)


def fit(model, preset, train, valid, epochs):
    """Train: with early stopping, unless it is one epoch."""
    callbacks = []
    if epochs > 1:
        callbacks = deepfm_tf.training_callbacks(
            valid.dataset(4096), patience=1, reduce_lr=preset.reduce_lr
        )
    model.fit(
        train.dataset(preset.batch_size, shuffle=True, seed=1),
        epochs=epochs,
        callbacks=callbacks,
        shuffle=False,
        verbose=0,
    )


def from_scratch(rows, folder, seed):
    """A model of these rows alone, and what it was trained with."""
    train, valid = parts(rows, folder, schema=SCHEMA)
    preset = deepfm_tf.choose_preset("DeepFM", train.schema, train.num_rows)
    deepfm_tf.set_seed(seed)
    model = deepfm_tf.DeepFM(train.schema, **preset.model_arguments())
    deepfm_tf.compile_model(model, **preset.compile_arguments())
    fit(model, preset, train, valid, 30)
    return model, train.vocabulary, preset


def go_on(model, vocabulary, preset, rows, folder, epochs):
    """Yesterday's model, trained on a further day."""
    everything = epochs == 1  # nothing is to be held back
    if everything:
        train = deepfm_tf.prepare(rows, folder / "train", extends=vocabulary)
        valid = None
    else:
        train, valid = parts(rows, folder, extends=vocabulary)
    model = deepfm_tf.grow_model(model, train.vocabulary)
    model.optimizer.learning_rate = preset.learning_rate
    fit(model, preset, train, valid, epochs)
    return model, train.vocabulary, preset


def parts(rows, folder, **how):
    """Nine tenths to learn from, one to stop by."""
    train = deepfm_tf.prepare(
        rows, folder / "train", part=deepfm_tf.Part(0.0, 0.9, 1), **how
    )
    valid = deepfm_tf.prepare(
        *(rows, folder / "valid"),
        vocabulary=train.vocabulary,
        part=deepfm_tf.Part(0.9, 1.0, 1),
    )
    return train, valid


def log_loss(model, vocabulary, rows):
    """On a day that the model has not seen."""
    packed = deepfm_tf.encode(rows, vocabulary)
    found = model.predict(packed, batch_size=8192, verbose=0)["probability"]
    return deepfm_tf.metrics.log_loss(rows["clicked"].to_numpy(), found[:, 0])


def simulate(num_days, num_rows, seed, folder):
    """(day, way, log loss on the next day, seconds of the processor)."""
    world = World(WEEK + num_days + 1, seed)
    days = [world.rows(day, num_rows) for day in range(WEEK + num_days + 1)]
    first = from_scratch(
        pd.concat([rows for rows, _ in days[:WEEK]]), folder / "first", seed
    )
    ways = {"continue": first, "continue_stop": first}
    found = []
    for day in range(WEEK, WEEK + num_days):
        rows, (after, odds) = days[day][0], days[day + 1]
        own = folder / str(day)
        week = pd.concat([r for r, _ in days[day - WEEK + 1 : day + 1]])
        for name, train, *given in (
            ("continue", go_on, *ways["continue"], rows, own / "a", 1),
            ("continue_stop", go_on, *ways["continue_stop"], rows, own, 30),
            ("last_1", from_scratch, rows, own / "b", seed),
            ("last_7", from_scratch, week, own / "c", seed),
        ):
            begin = time.process_time()
            ways[name] = train(*given)
            seconds = time.process_time() - begin
            loss = log_loss(*ways[name][:2], after)
            found.append(
                {"day": day + 1, "way": name, "log_loss": loss}
                | {"seconds": round(seconds, 2)}
                | {"rows_in_table": sum(ways[name][1].schema.vocabulary_sizes)}
            )
            print(json.dumps(found[-1]), flush=True)
        label = after["clicked"].to_numpy()
        loss = deepfm_tf.metrics.log_loss(label, odds)
        found.append({"day": day + 1, "way": "truth", "log_loss": loss})
    return found


def table(found):
    """Means over the days, as Markdown."""
    frame = pd.DataFrame(found)
    lines = [
        "| | log loss on the next day | CPU seconds a day |",
        "|---|---|---|",
    ]
    for name, (title, *_) in TITLES.items():
        own = frame[frame["way"] == name]
        mean, seconds = own["log_loss"].mean(), own["seconds"].mean()
        cost = "" if np.isnan(seconds) else f"{seconds:.1f}"
        lines.append(f"| {title} | {mean:.4f} | {cost} |")
    return "\n".join(lines)


def draw(found, path):
    """Log loss by day."""
    matplotlib.rcParams.update(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "deepfm_tf",
            "font.family": "sans-serif",
            "font.size": 11,
            **dict.fromkeys(
                ("text.color", "axes.labelcolor", "axes.edgecolor"), GREY
            ),
            **dict.fromkeys(("xtick.color", "ytick.color"), GREY),
        }
    )
    figure, axes = pyplot.subplots(figsize=(6.8, 3.6))
    frame = pd.DataFrame(found)
    for name, (title, color, marker) in TITLES.items():
        own = frame[frame["way"] == name]
        axes.plot(
            own["day"],
            own["log_loss"],
            color=color,
            marker=marker,
            linewidth=2,
            linestyle="-" if marker else "--",
            label=title,
        )
    axes.set_xlabel("day that is predicted")
    axes.set_ylabel("log loss")
    axes.grid(color=GREY, alpha=0.25)
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    figure.savefig(
        path, transparent=True, bbox_inches="tight", metadata={"Date": None}
    )


def main() -> None:
    """Print a line for each day and way, then the table."""
    parser = arguments.parser(__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=14)
    parser.add_argument("--rows", type=int, default=20_000, help="of a day")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plot", type=Path, help="SVG file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = simulate(options.days, options.rows, options.seed, Path(folder))
    if options.output:
        with open(options.output, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in found)
    print(table(found))
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()
