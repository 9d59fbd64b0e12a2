"""How a model is built and trained where nobody says otherwise."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

from deepfm_tf.errors import Argument, UserError, did_you_mean

if TYPE_CHECKING:
    from deepfm_tf.schema import Schema

MODELS = ("DeepFM", "FM", "WideAndDeep", "NFM", "LogisticRegression")

# What each is good for, as `--help` says it.
PRESETS = {
    "default": "best on most data, at moderate cost",
    "gentle": "for few or noisy examples, without batch normalization and with "
    "a third of the learning rate",
    "strong": "wider layers, longer vectors and more epochs; slower, often "
    "better",
    "seed": "the textbook's hidden layers 30-20-10 and learning rate 0.01",
}
# What --auto and `train_best` try.
CANDIDATES = ("default", "gentle", "strong")

# Below this many examples batch normalization does harm; with more, it does
# where a feature has few: where the product of both numbers is below this.
_FEW_EXAMPLES = 4_000
_FEW_OF_A_FEATURE = 1_300_000
# Steps in an epoch, where the batch may be as large as that makes it.
_STEPS = 128
_SMALLEST_BATCH, _LARGEST_BATCH = 32, 2048
# With so many steps or more between two of them, an epoch has up to four
# evaluations: of many examples, half may be enough to overfit.
_STEPS_OF_EVALUATION, _MOST_EVALUATIONS = 250, 4
# Below this many positives, or negatives, the tenth of them that is usual for
# validation cannot tell an epoch from the next one. Tried where they are rare.
_FEW_LABELS, _RARE = 500, 0.05
_PATIENCE_OF_FEW = 7
# Of the log loss of the share of positives: see `Preset.min_delta`.
_LEAST_GAIN = 1e-4
# Of the penalties: see `Preset.batch_l2` and `Preset.first_order_l2`.
_L2_EXAMPLES, _L2_EXAMPLES_OF_FM = 3.0, 0.03
_LEAST_L2, _MOST_L2 = 5e-4, 0.05
_FIRST_ORDER_EXAMPLES, _MOST_FIRST_ORDER_L2 = 1e-3, 2e-5
# Over all examples. As a prior: numbers of vectors have a standard deviation
# of 5,000^-1/2 = .014, where they start with .01; those of first order, .45.
_MOST_L2_IN_ALL, _MOST_FIRST_ORDER_IN_ALL = 5_000, 5

# Of the pyramid; `auto` is one of the others.
PRECISIONS = ("float32", "mixed_bfloat16", "auto")
# The optimizers whose learning rate a preset knows.
LIKE_ADAM = ("lazy_adam", "adam")
XAVIER = "glorot_uniform"
SMALL_NORMAL = {"class_name": "RandomNormal", "config": {"stddev": 0.01}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """What decides how a model learns, besides its data.

    The arguments of the models' constructors, of `compile_model`, of
    `PreparedData.dataset` and of `training_callbacks`, under their names.

    Attributes:
        model: str. The class in `deepfm_tf`.
        embedding_dim: int. Length of the latent vectors.
        hidden_units: widths of the hidden layers.
        dropout: float. Drop probability after each hidden layer.
        batch_normalization: bool. In the hidden layers.
        embeddings_initializer: of the latent vectors.
        learning_rate: float. Of Adam.
        batch_size: int. Examples in a step: the power of 2 that makes about
            128 steps of an epoch, from 32 to 2048.
        batch_l2: float or None. L2 penalty on the rows of a batch: 3 over the
            mean number of examples that have a feature, from 5e-4 to .05. The
            fewer examples a feature has, the more it is held back. At most
            5,000 over the number of all examples: the loss is a mean, in
            which each example counts less the more there are. Of FM, whose
            vectors have no hidden layers beside them: .03 over the first
            number, and no least one.
        first_order_l2: float or None. The same of the first-order weights, of
            which a feature has but one: .001 over that number, at most 2e-5,
            and at most 5 over the number of all examples. Of logistic
            regression it is `batch_l2`.
        base_rate: float or None. The share of positives that training starts
            from.
        evaluations: int. In an epoch: 1, but 2 to 4 where it has 500 steps or
            more. Patience and the learning rate count these. `deepfm-tf train`
            and `train_best` do so; Keras's `fit` evaluates once an epoch.
        reduce_lr: bool. A tenth of the learning rate after each evaluation
            that brings no improvement, or after each `patience - 2`.
        patience: int. Evaluations without improvement before training stops:
            2, but 7 where less than 500 labels, and less than one in 20,
            differ from the others: one evaluation then says little.
        min_delta: float. A smaller gain of an evaluation is none: a
            ten-thousandth of the log loss of a constant prediction, the
            entropy of the share of positives.
        average_weights: bool. Average the best epoch and later ones that are
            not worse beyond noise: where patience is 7.
        chosen: str. The name of the preset and, where `"default"` became
            another one, why.
    """

    model: str
    embedding_dim: int = 10
    hidden_units: tuple[int, ...] = (128, 64)
    dropout: float = 0.2
    batch_normalization: bool = True
    embeddings_initializer: Any = dataclasses.field(
        default_factory=lambda: SMALL_NORMAL
    )
    learning_rate: float = 0.003
    batch_size: int = _LARGEST_BATCH
    batch_l2: float | None = None
    first_order_l2: float | None = None
    base_rate: float | None = None
    evaluations: int = 1
    reduce_lr: bool = True
    patience: int = 2
    min_delta: float = 0.0
    average_weights: bool = False
    # What it says is how the others came about, not one more of them.
    chosen: str = dataclasses.field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        """In words, as a run says it."""
        parts = []
        arguments = self.model_arguments()
        if "hidden_units" in arguments:
            parts.append("-".join(map(str, self.hidden_units)) or "no layer")
            if self.batch_normalization:
                parts.append("batch normalization")
            parts.append(f"dropout {self.dropout:g}")
        if "embedding_dim" in arguments:
            parts.append(f"vectors of {self.embedding_dim}")
        parts.append(f"learning rate {self.learning_rate:g}")
        parts.append(f"batches of {self.batch_size:,}")
        if self.batch_l2:
            parts.append(f"L2 {self.batch_l2:.2g}")
        if self.first_order_l2:
            parts[-1] += f" (first order {self.first_order_l2:.2g})"
        if self.evaluations > 1:
            parts.append(f"{self.evaluations} evaluations an epoch")
        return ", ".join(parts)

    def model_arguments(self) -> dict[str, Any]:
        """What the constructor takes, by name."""
        names = ["base_rate"] if self.base_rate is not None else []
        if self.model != "LogisticRegression":
            names += ["embedding_dim", "embeddings_initializer"]
        if self.model not in ("LogisticRegression", "FM"):
            names += ["hidden_units", "dropout", "batch_normalization"]
        return {name: getattr(self, name) for name in names}

    def compile_arguments(self) -> dict[str, Any]:
        """What `compile_model` takes besides the model, by name."""
        return {
            "learning_rate": self.learning_rate,
            "batch_l2": self.batch_l2,
            "first_order_l2": self.first_order_l2,
        }

    def callback_arguments(self) -> dict[str, Any]:
        """What `training_callbacks` takes besides the data, by name."""
        names = ("patience", "min_delta", "reduce_lr", "average_weights")
        return {name: getattr(self, name) for name in names}


def usual_rate(model: str, optimizer: str) -> float:
    """The learning rate, where neither preset nor user says another one.

    Args:
        model: str. The class in `deepfm_tf`, or one of the user's own.
        optimizer: str. Its name for `compile_model`.
    """
    is_adam = optimizer in LIKE_ADAM
    return 0.003 if is_adam and model != "LogisticRegression" else 0.01


def choose_preset(
    model: str,
    schema: Schema,
    num_examples: int,
    name: str = "default",
    *,
    num_positives: int | None = None,
) -> Preset:
    """What a model is built and trained with, by its data's size.

    Args:
        model: str. `"DeepFM"`, `"FM"`, `"WideAndDeep"`, `"NFM"` or
            `"LogisticRegression"`.
        schema: Schema of a fitted vocabulary, such as `prepared.schema`.
        num_examples: int. Those to learn from: `prepared.num_rows`.
        name: str. One of `PRESETS`: `"default"`; `"gentle"`, for few or noisy
            examples, which is also the default below 4,000, and where their
            number times that of the examples of a feature, on average, is
            below 1.3 million; `"strong"`, wide and slow, without batch
            normalization there too; or `"seed"`, the textbook's.
        num_positives: int. Those of them whose label is 1. Where they are
            rare or frequent, examples tell less: as many count as 4 p (1 - p)
            of them, where p is the share of positives. Training starts from
            that share, unless rows have weights of their own. Defaults to
            half of the examples.

    Raises:
        UserError: an unknown name; a schema without vocabulary sizes.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema
    >>> fields = (
    ...     CategoricalField("site", vocabulary_size=500),
    ...     CategoricalField("hour", vocabulary_size=24),
    ... )
    >>> schema = Schema(fields, label="click")
    >>> preset = choose_preset("DeepFM", schema, num_examples=60_000)
    >>> preset.hidden_units, preset.batch_size, round(preset.batch_l2, 4)
    ((128, 64), 512, 0.0131)
    """
    for what, given, known in (
        ("model", model, MODELS),
        ("name", name, tuple(PRESETS)),
    ):
        if given not in known:
            raise UserError(
                Argument(what),
                f" must be one of {', '.join(known)}. Received: ",
                Argument(what, given),
                f".{did_you_mean(given, known)}",
            )
    if name == "seed":
        return Preset(
            model=model,
            chosen=name,
            hidden_units=(30, 20, 10),
            dropout=0.1,
            batch_normalization=False,
            embeddings_initializer=XAVIER,
            learning_rate=0.01,
            reduce_lr=False,
        )
    examples_of_feature = (
        num_examples * len(schema.fields) / sum(schema.vocabulary_sizes)
    )
    batch = 2 ** round(math.log2(max(1, num_examples) / _STEPS))
    batch = min(max(batch, _SMALLEST_BATCH), _LARGEST_BATCH)
    evaluations = num_examples // batch // _STEPS_OF_EVALUATION
    rate, telling, is_rare = None, num_examples, False
    share = 0.5
    if num_positives and num_positives < num_examples:
        share = num_positives / num_examples
        telling = round(4 * share * (1 - share) * num_examples)
        rare = min(num_positives, num_examples - num_positives)
        is_rare = rare < min(_FEW_LABELS, _RARE * num_examples)
        if is_rare:
            evaluations = 1
        # Weights may even out what is rare.
        rate = share if schema.example_weight is None else None
    entropy = -share * math.log(share) - (1 - share) * math.log1p(-share)
    l2 = max(_L2_EXAMPLES / examples_of_feature, _LEAST_L2)
    if model == "FM":
        l2 = _L2_EXAMPLES_OF_FM / examples_of_feature
    first_order_l2 = min(
        _FIRST_ORDER_EXAMPLES / examples_of_feature,
        _MOST_FIRST_ORDER_L2,
        _MOST_FIRST_ORDER_IN_ALL / num_examples,
    )
    preset = Preset(
        model=model,
        learning_rate=usual_rate(model, "lazy_adam"),
        batch_size=batch,
        batch_l2=min(l2, _MOST_L2, _MOST_L2_IN_ALL / num_examples),
        first_order_l2=first_order_l2,
        base_rate=rate,
        evaluations=min(max(evaluations, 1), _MOST_EVALUATIONS),
        min_delta=_LEAST_GAIN * entropy,
        chosen=name,
    )
    if model == "LogisticRegression":
        return dataclasses.replace(
            preset, batch_l2=first_order_l2, first_order_l2=None
        )
    if model == "FM":
        return preset
    if is_rare:
        preset = dataclasses.replace(
            preset, patience=_PATIENCE_OF_FEW, average_weights=True
        )
    few = _few(num_examples, telling, examples_of_feature)
    chosen = f"gentle, because {few}"
    if name == "strong":
        preset = dataclasses.replace(
            preset, hidden_units=(256, 128), embedding_dim=16
        )
        chosen = f"strong, without batch normalization, because {few}"
    if name == "gentle" or few:
        return dataclasses.replace(
            preset,
            batch_normalization=False,
            learning_rate=0.001,
            chosen="gentle" if name == "gentle" else chosen,
        )
    return preset


def _few(num_examples: int, telling: int, of_feature: float) -> str:
    """Why batch normalization would do harm; nothing where it would not."""
    if telling >= _FEW_EXAMPLES and telling * of_feature >= _FEW_OF_A_FEATURE:
        return ""
    rows = f"there are only {num_examples:,} training rows"
    if telling < 0.75 * num_examples:
        rows += (
            f", which are worth {telling:,} rows with equal numbers of "
            "positives and negatives"
        )
    if telling < _FEW_EXAMPLES:
        return f"{rows} (below {_FEW_EXAMPLES:,})"
    return (
        f"{rows}, and {of_feature:.0f} per value on average (the product is "
        f"below {_FEW_OF_A_FEATURE:,})"
    )
