"""Helpers around Keras `fit`: seed, precision, compile."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from numbers import Real

import keras
import tensorflow as tf

from deepfm_tf.cpus import has_bfloat16
from deepfm_tf.errors import Argument, UserError, with_known_arguments
from deepfm_tf.losses import GlobalBinaryCrossentropy
from deepfm_tf.models.batches import check_model
from deepfm_tf.native.choice import told
from deepfm_tf.optimizers import (
    SGD,
    Adagrad,
    Adam,
    Ftrl,
    LazyAdam,
    LazyFTRL,
    LazyOptimizer,
    RMSprop,
    RowwiseAdagrad,
)
from deepfm_tf.presets import PRECISIONS, usual_rate
from deepfm_tf.seeds import check_seed

# Those with a lazy rule first; the others touch whole tables at every step.
OPTIMIZERS = {
    "lazy_adam": LazyAdam,
    "rowwise_adagrad": RowwiseAdagrad,
    "lazy_ftrl": LazyFTRL,
    "adam": Adam,
    "adagrad": Adagrad,
    "ftrl": Ftrl,
    "rmsprop": RMSprop,
    "sgd": SGD,
}
# Examples that are learnt from without a look at Ctrl-C or a progress bar: on
# two cores a fraction of a second.
_ROWS_OF_CALL = 2**16
# Hidden units from which products in bfloat16 save more than casts cost.
_WIDE = 200


def set_seed(seed: int) -> None:
    """Seed Python, numpy and TensorFlow, so that a run can be repeated.

    Call it before the model is built.

    Args:
        seed: int. From 0 to 4294967295, as are all seeds.
    """
    keras.utils.set_random_seed(check_seed(seed))


def set_precision(precision: str, hidden_units: Sequence[int] = ()) -> str:
    """Train the pyramids of models built from now on in this precision.

    Evaluation, predictions, explanations and exports are in float32 always.

    Args:
        precision: str. `"float32"`; `"mixed_bfloat16"`: matrix products of
            training in bfloat16, which pays for wide hidden layers on hardware
            that has it and costs for narrow ones; or `"auto"`: the second
            where it pays. Weights, tables, the optimizer's state, first and
            second order and the logits stay in float32.
        hidden_units: widths of the hidden layers, which `"auto"` goes by: the
            first must be 200 wide, and the GPU, or the CPU if there is none,
            must compute in bfloat16. Where it must emulate it, a step takes
            twice as long as in float32.

    Returns:
        str. The precision that was chosen.

    Raises:
        UserError: there is no such precision.

    Example:

    >>> set_precision("auto", hidden_units=(30, 20, 10))
    'float32'
    """
    precision = choose_precision(precision, hidden_units)
    keras.config.set_dtype_policy(precision)
    return precision


def choose_precision(precision: str, hidden_units: Sequence[int] = ()) -> str:
    """What `set_precision` would set: the `dtype` of one model.

    Args:
        precision, hidden_units: as there.

    Raises:
        UserError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise UserError(
            f"`precision` must be one of {', '.join(PRECISIONS)}. Received: "
            f"precision={precision!r}."
        )
    if precision != "auto":
        return precision
    is_wide = bool(hidden_units) and hidden_units[0] >= _WIDE
    pays = is_wide and _computes_in_bfloat16()
    return "mixed_bfloat16" if pays else "float32"


def _computes_in_bfloat16() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return has_bfloat16()
    details = map(tf.config.experimental.get_device_details, gpus)
    # Ampere, the first that has it, is 8.0.
    return all(
        each.get("compute_capability", (0, 0)) >= (8, 0) for each in details
    )


def kernels_told(strategy: tf.distribute.Strategy) -> str:
    """Whether a training takes our own kernels for its tables, in a line.

    They are built by `deepfm-tf build-kernels`; without them a step takes
    longer and computes the same.

    Args:
        strategy: of `create_strategy`.

    Raises:
        ValueError: the environment variable DEEPFM_TF_KERNELS is neither
            `auto` nor `off`.
    """
    return told(strategy)


@with_known_arguments
def compile_model(
    model: keras.Model,
    optimizer: str = "lazy_adam",
    learning_rate: float | None = None,
    *,
    clip_norm: float | None = None,
    batch_l2: float | None = None,
    first_order_l2: float | None = None,
) -> None:
    """`model.compile` as these models need it.

    Binary cross-entropy, which Keras computes from the logits, the mean of a
    whole batch on any number of replicas; no forced XLA, which breaks
    embeddings under a strategy.

    Args:
        model: a model of this package.
        optimizer: str. `"lazy_adam"`, `"rowwise_adagrad"` or `"lazy_ftrl"`,
            whose cost does not grow with the tables (see
            `deepfm_tf.optimizers`), or Keras's own `"adam"`, `"adagrad"`,
            `"ftrl"`, `"rmsprop"` or `"sgd"`, on the sum of a row's gradients
            (see `deepfm_tf.optimizers.MergedGradients`). For anything else,
            such as a `CompositeOptimizer`, call `model.compile` yourself.
        learning_rate: float or None. Defaults to 0.003 for Adam, lazy or
            not, but 0.01 for logistic regression, and to 0.01 for the others.
        clip_norm: float or None. Scale the gradient of all variables together
            down to this norm where it is larger: Keras's `global_clipnorm`.
        batch_l2: float or None. L2 penalty on the rows of a batch, weighed
            by how rare they are; for the lazy optimizers (see
            `deepfm_tf.optimizers.LazyOptimizer`). For L2 on whole tables, give
            the model `embeddings_regularizer=keras.regularizers.L2(l2 / 2)`:
            Keras's L2 is `l2 ||W||^2`, without the half of the papers.
        first_order_l2: float or None. The penalty on first-order weights,
            where it is another than `batch_l2`.
    """
    if optimizer not in OPTIMIZERS:
        raise UserError(
            f"`optimizer` must be one of {', '.join(OPTIMIZERS)}. Received: "
            f"optimizer={optimizer!r}."
        )
    check_model(model)
    if learning_rate is None:
        learning_rate = usual_rate(type(model).__name__, optimizer)
    if not isinstance(learning_rate, Real) or not learning_rate > 0:
        raise UserError(
            Argument("learning_rate"),
            " must be a positive number. Received: ",
            Argument("learning_rate", learning_rate),
            ". For a schedule, call `model.compile` yourself.",
        )
    options: dict[str, float] = {}
    if clip_norm is not None:
        if not isinstance(clip_norm, Real) or not clip_norm > 0:
            raise UserError(
                Argument("clip_norm"),
                " must be a positive number, or None. Received: ",
                Argument("clip_norm", clip_norm),
                ".",
            )
        options["global_clipnorm"] = float(clip_norm)
    for name, l2 in (
        ("batch_l2", batch_l2),
        ("first_order_l2", first_order_l2),
    ):
        if l2 is None:
            continue
        if not issubclass(OPTIMIZERS[optimizer], LazyOptimizer):
            lazy = [
                known
                for known, rule in OPTIMIZERS.items()
                if issubclass(rule, LazyOptimizer)
            ]
            raise UserError(
                f"`{name}` must go with an optimizer that knows which rows "
                f"a batch touches: {', '.join(lazy)}. Received: "
                f"optimizer={optimizer!r}."
            )
        options[name] = float(l2)
    model.compile(
        optimizer=OPTIMIZERS[optimizer](
            learning_rate=float(learning_rate), **options
        ),
        loss=GlobalBinaryCrossentropy(),
        jit_compile=False,
    )
    # Keras would make its variables within the first step, which TensorFlow
    # would then trace twice.
    with model.distribute_strategy.scope():
        model.optimizer.build(model.trainable_variables)


@contextlib.contextmanager
def many_steps_a_call(
    model: keras.Model, stretch: int, batch_size: int
) -> Iterator[None]:
    """Let `fit`, in this block, take steps without Python between them.

    The steps are the same, bit for bit. Those of a small model take a third
    to two thirds less processor time. It is Keras's `steps_per_execution`,
    taken back at the end: with it, `predict` would trace as many copies of
    the model. Under a strategy it does nothing.

    Args:
        model: a compiled model.
        stretch: int. Steps after which something is to happen; as many as
            divide it are taken in a call.
        batch_size: int. Examples in a step.
    """
    most = min(stretch, max(1, _ROWS_OF_CALL // batch_size))
    count = next(n for n in range(most, 0, -1) if stretch % n == 0)
    # Tried on CPUs without replicas only.
    if model.distribute_strategy is not tf.distribute.get_strategy():
        count = 1
    model.steps_per_execution = count
    model.make_train_function(force=True)
    try:
        yield
    finally:
        model.steps_per_execution = 1
        model.make_train_function(force=True)
