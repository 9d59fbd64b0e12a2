"""How a model learns: the options, and what is made of them."""

from __future__ import annotations

import contextlib
import errno
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import deepfm_tf
from deepfm_tf.experiment.arguments import (
    positive_float,
    positive_int,
    seed,
    share_kept,
)

# The name of each in `deepfm_tf`, which imports TensorFlow for it.
MODELS = {
    "deepfm": "DeepFM",
    "fm": "FM",
    "wide_and_deep": "WideAndDeep",
    "nfm": "NFM",
    "logistic_regression": "LogisticRegression",
}
# Those of `deepfm_tf.training.OPTIMIZERS`.
OPTIMIZERS = (
    *("lazy_adam", "rowwise_adagrad", "lazy_ftrl"),
    *("adam", "adagrad", "ftrl", "rmsprop", "sgd"),
)
WITHOUT_PYRAMID = ("fm", "logistic_regression")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu")
# As Keras knows them.
INITIALIZERS: dict[str, Any] = {
    "xavier": "glorot_uniform",
    "normal": {"class_name": "RandomNormal", "config": {"stddev": 1e-4}},
}
# What the system says of a file that the user named: no room, no permission,
# not there, of another kind.
_ABOUT_FILES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EACCES, errno.EPERM),
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
)
# Weights in a table of which L2 is not put on the whole unasked: a step
# then takes about half a second on two cores.
_LARGE_TABLE = 50_000_000


# Something about the data or the options that the user can fix.
UserError = deepfm_tf.UserError


def say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a line of its own, without the source that it is from."""
    print(f"warning: {message}", file=sys.stderr)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Warnings, and what the system says of files, become a sentence each."""
    with warnings.catch_warnings():
        warnings.showwarning = say_warning  # type: ignore[assignment]
        try:
            yield
        except UserError:
            raise
        except OSError as error:
            if error.errno not in _ABOUT_FILES:
                raise
            named = f"{error.filename}: " if error.filename else ""
            raise UserError(f"{named}{error.strerror}.") from error


def add_options(model: Any, training: Any) -> None:
    """Add this module's options to two groups of an argument parser."""
    model.add_argument(
        "--activation",
        choices=ACTIVATIONS,
        default="relu",
        help="of the hidden layers (default: relu)",
    )
    model.add_argument(
        "--embedding-init",
        choices=tuple(INITIALIZERS),
        default="xavier",
        help="latent vectors start from Xavier's distribution, or from a "
        "normal one of standard deviation 1e-4 (default: xavier)",
    )
    training.add_argument(
        "--embedding-l2",
        type=positive_float,
        metavar="L",
        help="L2 penalty on embeddings and first-order weights (see --l2-mode)",
    )
    training.add_argument(
        "--l2-mode",
        choices=("table", "batch"),
        help="table: L/2 times the squared norm of the whole table, whose "
        "every row each step then reads and writes. batch: only on the rows "
        "of a batch, weighed by how rare they are, at no further cost "
        "(default: table)",
    )
    training.add_argument(
        "--clip-norm",
        type=positive_float,
        metavar="N",
        help="scale all gradients down to this common norm where it is larger",
    )
    training.add_argument(
        "--reduce-lr",
        action="store_true",
        help="a tenth of the learning rate after each evaluation that brings "
        "no improvement",
    )
    training.add_argument(
        "--negative-sampling",
        type=share_kept,
        default=1.0,
        metavar="W",
        help="train on this share of the negatives, drawn by --seed; "
        "probabilities are corrected for it (default: 1, all of them)",
    )
    training.add_argument(
        "--evaluate-every",
        type=positive_int,
        metavar="STEPS",
        help="evaluate after each so many steps, in the place of each epoch: "
        "--patience, --reduce-lr and checkpoints go by it",
    )
    training.add_argument("--seed", type=seed, default=1, metavar="N")


def check(settings: Any) -> None:
    """Raise UserError now for what no data could mend.

    Args:
        settings: the options.
    """
    if settings.l2_mode is not None and settings.embedding_l2 is None:
        raise UserError(
            f"--l2-mode {settings.l2_mode} needs a penalty. Give "
            "--embedding-l2 too."
        )


def build(
    settings: Any, name: str, train: deepfm_tf.PreparedData
) -> deepfm_tf.CTRModel:
    """The model called `name`, compiled."""
    schema = train.schema
    arguments: dict[str, Any] = {"negative_sampling": train.negative_sampling}
    columns, penalized = 1, "weights_regularizer"
    if name != "logistic_regression":
        columns = settings.embedding_dim + 1
        penalized = "embeddings_regularizer"
        arguments |= {
            "embedding_dim": settings.embedding_dim,
            "embeddings_initializer": INITIALIZERS[settings.embedding_init],
        }
    if name not in WITHOUT_PYRAMID:
        arguments |= {
            "hidden_units": settings.hidden_units,
            "activation": settings.activation,
            "dropout": settings.dropout,
            "batch_normalization": settings.batch_norm,
        }
    l2, mode = settings.embedding_l2, settings.l2_mode
    num_weights = sum(schema.vocabulary_sizes) * columns
    if l2 is not None and mode is None and num_weights > _LARGE_TABLE:
        raise UserError(
            f"L2 on the whole table would read and write {num_weights:,} "
            "weights, and twice as many numbers of the optimizer's, at every "
            "step. If that is what you want, as the benchmarks do, say "
            "--l2-mode table; for the rows of each batch only, --l2-mode batch."
        )
    if l2 is not None and mode != "batch":
        # Keras's L2 has no half.
        arguments[penalized] = {"class_name": "L2", "config": {"l2": l2 / 2}}
    model = getattr(deepfm_tf, MODELS[name])(schema, **arguments)
    deepfm_tf.compile_model(
        model,
        settings.optimizer,
        settings.learning_rate,
        clip_norm=settings.clip_norm,
        batch_l2=l2 if mode == "batch" else None,
    )
    return model


def training_data(
    settings: Any, train: deepfm_tf.PreparedData, first_epoch: int
) -> tuple[Any, dict[str, int]]:
    """The batches to learn from, and the arguments of `fit` beside them.

    With `--evaluate-every`, what Keras calls an epoch is a stretch of so many
    steps, and what follows an epoch (evaluation, patience, checkpoints)
    follows it.

    Args:
        settings: the options.
        train: the data.
        first_epoch: what is done already, in Keras's epochs.
    """
    size = min(settings.batch_size, train.num_rows)
    every = settings.evaluate_every

    def batches(epoch: int, step: int = 0) -> Any:
        return train.dataset(
            size,
            shuffle=True,
            seed=settings.seed,
            first_epoch=epoch,
            first_step=step,
        )

    if every is None:
        return batches(first_epoch), {"epochs": settings.epochs}
    steps = num_steps(settings, train)
    if every > settings.epochs * steps:
        raise UserError(
            f"--evaluate-every {every} must not exceed the {steps} steps of "
            f"an epoch times the {settings.epochs} epochs, or nothing would "
            "be evaluated."
        )
    epoch, step = divmod(first_epoch * every, steps)
    dataset = batches(epoch)
    if step:
        rest = batches(epoch, step)
        dataset = rest.concatenate(batches(epoch + 1).repeat())
    else:
        dataset = dataset.repeat()
    return dataset, {
        "epochs": settings.epochs * steps // every,
        "steps_per_epoch": every,
    }


def num_steps(settings: Any, train: deepfm_tf.PreparedData) -> int:
    """Steps in a pass through the data."""
    return -(-train.num_rows // min(settings.batch_size, train.num_rows))
