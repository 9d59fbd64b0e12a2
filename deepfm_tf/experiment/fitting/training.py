"""How a model learns, as the options say."""

from __future__ import annotations

import contextlib
import errno
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import deepfm_tf
from deepfm_tf.experiment.options.arguments import split_field_file
from deepfm_tf.experiment.options.settings import (
    MODELS,
    Settings,
)

# What the system says of a file that the user named: no room, no permission,
# not there, of another kind.
_ABOUT_FILES = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS),
    *(errno.EACCES, errno.EPERM),
    *(errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG),
)
# Weights in a table of which L2 is not put on the whole unasked: a step
# then takes about half a second on two cores.
LARGE_TABLE = 50_000_000


# Something about the data or the options that the user can fix.
UserError = deepfm_tf.UserError


def say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as a line of its own, without the source that it is from."""
    print(f"warning: {message}", file=sys.stderr)


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Warnings, and what the system says of files, become a sentence each."""
    with warnings.catch_warnings():
        warnings.showwarning = say_warning
        try:
            yield
        except UserError:
            raise
        except OSError as error:
            if error.errno not in _ABOUT_FILES:
                raise
            named = f"{error.filename}: " if error.filename else ""
            raise UserError(f"{named}{error.strerror}.") from error


def check(settings: Settings) -> None:
    """Raise UserError now for what no data could mend.

    Args:
        settings: the options.
    """
    if settings.l2_mode is not None and not settings.embedding_l2:
        raise UserError(
            f"--l2-mode {settings.l2_mode} needs a penalty. Give "
            "--embedding-l2 too."
        )
    for each in settings.options.values():
        default = settings.recipe.defaults.get(each.name, each.default)
        if not each.models or getattr(settings, each.name) == default:
            continue
        if not set(each.models) & set(settings.model):
            raise UserError(
                f"{each.flag} is an option of {', '.join(each.models)} only. "
                f"Received: --model {','.join(settings.model)}. Leave out "
                f"{each.flag}, or name one of them."
            )


def build(
    settings: Settings, name: str, train: deepfm_tf.PreparedData
) -> deepfm_tf.CTRModel:
    """The model called `name`, compiled; perhaps one that is gone on with."""
    model: deepfm_tf.CTRModel
    schema, preset = train.schema, settings.preset_for(name, train)
    if settings.origin is not None:
        model = settings.origin.grow(train.vocabulary)
        print(settings.origin.told(train.vocabulary))
        if model.compiled:
            # What yesterday's plateaus made of it was for yesterday's data.
            model.optimizer.learning_rate = preset.learning_rate
        else:
            _compile(settings, preset, model)
        return model
    arguments = preset.model_arguments()
    for each in settings.options.values():
        if name in each.models:
            arguments.setdefault(each.builds, getattr(settings, each.name))
    vectors = arguments.pop("embeddings", ())
    l2 = settings.embedding_l2
    if l2 and not settings.has_batch_l2:
        columns = arguments.get("embedding_dim", 0) + 1
        num_weights = sum(schema.vocabulary_sizes) * columns
        if settings.l2_mode is None and num_weights > LARGE_TABLE:
            raise UserError(
                f"L2 on the whole table would read and write {num_weights:,} "
                "weights, and twice as many numbers of optimizer state, at "
                "every step. If you want that, give --l2-mode table. To "
                "penalize only the rows of each batch, give --optimizer "
                "lazy_adam."
            )
        penalized = (
            "embeddings_regularizer" if columns > 1 else "weights_regularizer"
        )
        # Keras's L2 has no half.
        arguments[penalized] = {"class_name": "L2", "config": {"l2": l2 / 2}}
    precision = deepfm_tf.training.choose_precision(
        settings.precision, arguments.get("hidden_units", ())
    )
    if settings.precision == "auto":
        print(f"Precision of training: {precision}")
    model = getattr(deepfm_tf, MODELS[name])(
        schema,
        negative_sampling=train.negative_sampling,
        dtype=precision,
        **arguments,
    )
    for each in vectors:
        field, file = split_field_file(each)
        try:
            told = deepfm_tf.models.set_embeddings(
                model, field, train.vocabulary, file
            )
        except UserError as error:
            raise UserError(f"--embeddings {each}: {error}") from error
        print(told)
    _compile(settings, preset, model)
    return model


def _compile(
    settings: Settings, preset: deepfm_tf.Preset, model: deepfm_tf.CTRModel
) -> None:
    deepfm_tf.compile_model(
        model,
        settings.optimizer,
        preset.learning_rate,
        clip_norm=settings.clip_norm,
        batch_l2=preset.batch_l2,
        first_order_l2=preset.first_order_l2,
    )


def training_data(
    settings: Settings,
    preset: deepfm_tf.Preset,
    train: deepfm_tf.PreparedData,
    first_epoch: int,
    strategy: Any,
) -> tuple[Any, dict[str, int]]:
    """The batches to learn from, and the arguments of `fit` beside them.

    The data set has no end, so that Keras reads all epochs by one iterator:
    of a set with an end it makes two for each epoch, which takes as long as
    some 40 steps of a small model.

    Where an epoch has several evaluations, what Keras calls an epoch is the
    stretch up to the next one, and what follows an epoch (evaluation,
    patience, checkpoints) follows it.

    Args:
        settings: the options.
        preset: of the model.
        train: the data.
        first_epoch: what is done already, in Keras's epochs.
        strategy: of `deepfm_tf.create_strategy`.
    """
    # Room for an example of each worker, where there are fewer than workers.
    num_workers = deepfm_tf.strategies.cluster_of(strategy).num_workers
    size = min(preset.batch_size, max(train.num_rows, num_workers))
    order: dict[str, Any] = {"shuffle": True, "seed": settings.seed}
    steps = num_steps(preset, train)
    every = steps_between(settings, preset, train)
    if every > settings.epochs * steps:
        raise UserError(
            f"--evaluate-every {every} must not exceed the {steps} steps of "
            f"an epoch times the {settings.epochs} epochs, or nothing would "
            "be evaluated."
        )
    epoch, step = divmod(first_epoch * every, steps)
    dataset = train.distributed(
        strategy,
        size,
        **order,
        first_epoch=epoch,
        first_step=step,
        endless=True,
    )
    return dataset, {
        "epochs": settings.epochs * steps // every,
        "steps_per_epoch": every,
    }


def steps_between(
    settings: Settings, preset: deepfm_tf.Preset, train: deepfm_tf.PreparedData
) -> int:
    """Steps from one evaluation to the next."""
    steps = num_steps(preset, train)
    return settings.evaluate_every or max(1, steps // preset.evaluations)


def num_steps(preset: deepfm_tf.Preset, train: deepfm_tf.PreparedData) -> int:
    """Steps in a pass through the data."""
    return -(-train.num_rows // min(preset.batch_size, train.num_rows))
