"""One optimizer for the tables, one for first order, one for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, UserTypeError
from deepfm_tf.keras_internals import merged, update_with, weight_decay_of
from deepfm_tf.kernels import tf_variable
from deepfm_tf.optimizers.dense_adam import update_dense
from deepfm_tf.optimizers.lazy_optimizer import (
    LazyOptimizer,
    is_table,
    number_of,
)
from deepfm_tf.optimizers.merged_gradients import MergedGradients

_CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")
_REFUSED = ("gradient_accumulation_steps", "loss_scale_factor")


@keras.saving.register_keras_serializable("deepfm_tf")
class CompositeOptimizer(LazyOptimizer):
    """Gives embeddings, first-order weights and dense weights their own rules.

    The customary split for CTR models: FTRL on the first-order weights,
    Adagrad or Adam on the latent vectors, Adam on the pyramid; still one
    optimizer to `compile` with. Where the first-order weight is a column of
    the shared table (`SharedEmbedding(first_order=True)`), it gets its own
    rule all the same.

    Args:
        embeddings: LazyOptimizer. For the tables (see `LazyOptimizer`).
        first_order: LazyOptimizer. For the first-order weights in them.
        dense: Keras optimizer. For all other variables. Not one that goes
            around others, such as `LossScaleOptimizer`.
        **kwargs: `clipnorm`, `global_clipnorm`, `clipvalue`, `use_ema`,
            `ema_momentum`, `ema_overwrite_frequency` and `name`. They act on
            all variables together, so the three must not have them.
            `weight_decay` is for each of the three, `batch_l2` for the
            first two. A `first_order_l2` of either is for the first-order
            weights, so that `embeddings` can have both from a preset.

    Attributes:
        learning_rate: What the learning rates of the three are multiplied by;
            1 at first, or a schedule. `ReduceLROnPlateau` and
            `LearningRateScheduler` so act on all of them.

    Raises:
        TypeError: One of the three is not such an optimizer.
        ValueError: One of the three clips or averages by itself.

    Example:

    >>> import keras
    >>> from deepfm_tf.optimizers import (
    ...     CompositeOptimizer, LazyFTRL, RowwiseAdagrad
    ... )
    >>> optimizer = CompositeOptimizer(
    ...     embeddings=RowwiseAdagrad(learning_rate=0.05),
    ...     first_order=LazyFTRL(learning_rate=0.05),
    ...     dense=keras.optimizers.Adam(learning_rate=0.001),
    ... )
    >>> float(optimizer.learning_rate)
    1.0

    Reference:
        [Cheng et al., 2016](https://arxiv.org/abs/1606.07792), section 3.3.
    """

    def __init__(
        self,
        embeddings: LazyOptimizer,
        first_order: LazyOptimizer,
        dense: keras.optimizers.Optimizer,
        learning_rate: float = 1.0,
        name: str = "composite_optimizer",
        **kwargs: Any,
    ) -> None:
        parts = {
            "embeddings": embeddings,
            "first_order": first_order,
            "dense": dense,
        }
        for part, optimizer in parts.items():
            _check_part(part, optimizer)
        if len(set(map(id, parts.values()))) < len(parts):
            raise UserError(
                "`embeddings`, `first_order` and `dense` must be three "
                "optimizers. Received one of them twice. Make one for each."
            )
        for option in ("weight_decay", "batch_l2", "first_order_l2"):
            if kwargs.get(option):
                raise UserError(
                    f"`{option}` must be given to the optimizers it is for. "
                    f"Received: {option}={kwargs[option]}."
                )
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.embeddings = embeddings
        self.first_order = first_order
        self.dense = dense

    @property
    def variables(self) -> list[Any]:
        """The variables of the three, and its own."""
        return [
            *super().variables,
            *(v for part in self._parts() for v in part.variables),
        ]

    def build(self, variables: list[Any]) -> None:
        """Make the state of the tables and the variables of `dense`."""
        if self.built:
            return
        self.dense.build([v for v in variables if not is_table(v)])
        super().build(variables)

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Update all variables, and count the step for each of the three."""
        super().apply(grads, trainable_variables)
        for part in self._parts():
            part.iterations.assign_add(1)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        config = super().get_config()
        for name in ("weight_decay", "batch_l2", "first_order_l2", *_REFUSED):
            config.pop(name)
        serialize = keras.saving.serialize_keras_object
        return config | {
            "embeddings": serialize(self.embeddings),
            "first_order": serialize(self.first_order),
            "dense": serialize(self.dense),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Any:
        """The optimizer that `get_config` describes."""
        config = dict(config)
        for part in ("embeddings", "first_order", "dense"):
            config[part] = keras.saving.deserialize_keras_object(
                config[part], custom_objects=custom_objects
            )
        # Which knows what to make of a schedule.
        return super().from_config(config, custom_objects)

    def _parts(self) -> tuple[keras.optimizers.Optimizer, ...]:
        return self.embeddings, self.first_order, self.dense

    def _rules(self, variable: Any) -> list[Any]:
        """(rule, its columns, columns of their state, penalty) of a table."""
        first_order_columns = getattr(variable, "first_order_columns", 0)
        latent = variable.shape[1] - first_order_columns
        return [
            (rule, columns, rule.state_columns(columns) + (l2 is not None), l2)
            for rule, columns, l2 in (
                (self.embeddings, latent, self.embeddings.batch_l2),
                (self.first_order, first_order_columns, self._first_order_l2()),
            )
            if columns
        ]

    def _first_order_l2(self) -> float | None:
        own, other = self.first_order, self.embeddings.first_order_l2
        given = (own.first_order_l2, own.batch_l2, other)
        return next((l2 for l2 in given if l2 is not None), None)

    def _state_columns_of(self, variable: Any) -> int:
        return sum(width for _, _, width, _ in self._rules(variable))

    def state_of_added(self, table: Any, values: Array, known: Array) -> Array:
        """See `LazyOptimizer`: each rule's, side by side."""
        rules = self._rules(table)
        values_of = np.cumsum([columns for _, columns, _, _ in rules])[:-1]
        known_of = np.cumsum([width for _, _, width, _ in rules])[:-1]
        rate = number_of(self.learning_rate)
        parts = [
            rule._added(*part, rate * number_of(rule.learning_rate), l2)
            for (rule, _, _, l2), *part in zip(
                rules,
                np.split(values, values_of, axis=1),
                np.split(known, known_of, axis=1),
                strict=True,
            )
        ]
        return np.concatenate(parts, axis=1)

    def update(
        self, grads: Sequence[Any], variables: Sequence[Any], rate: Any
    ) -> None:
        """Update the tables by two of the rules, all else by `dense`."""
        tables: list[tuple[Any, Any]] = []
        others: list[tuple[Any, Any]] = []
        for gradient, variable in zip(grads, variables, strict=True):
            chosen = tables if is_table(variable) else others
            chosen.append((gradient, variable))
        if tables:
            gradients, variables = map(list, zip(*tables, strict=True))
            super().update(gradients, variables, rate)
        if not others:
            return
        gradients, variables = map(list, zip(*others, strict=True))
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
        if not isinstance(self.dense, MergedGradients):
            # It adds up the replicas, which is done: each gives its share.
            num_replicas = tf.distribute.get_strategy().num_replicas_in_sync
            gradients = [gradient / num_replicas for gradient in gradients]
        rate = rate * tf.cast(self.dense.learning_rate, "float32")
        pairs = list(zip(gradients, variables, strict=True))
        pairs = update_dense(self.dense, pairs, rate)
        if pairs:
            gradients, variables = map(list, zip(*pairs, strict=True))
            update_with(self.dense, gradients, variables, rate)

    def decay(self, variables: Sequence[Any]) -> None:
        """As `dense` would, but by the product of both learning rates."""
        decays = [
            (tf_variable(variable), decay)
            for variable in variables
            if not is_table(variable)
            and (decay := weight_decay_of(self.dense, variable))
        ]
        if not decays:
            return
        rate = self.learning_rate * tf.cast(self.dense.learning_rate, "float32")

        def decay_all(strategy: Any, rate: Any) -> None:
            for variable, decay in decays:
                strategy.extended.update(
                    variable,
                    lambda variable, rate, decay: variable.assign_sub(
                        variable * decay * tf.cast(rate, variable.dtype)
                    ),
                    args=(rate, decay),
                    group=False,
                )

        merged(decay_all, rate)

    def _decay_and_update(
        self,
        variable: Any,
        gradient: Any,
        values: Any,
        state: Any,
        learning_rate: Any,
        l2: Any,  # of the rules
    ) -> tuple[Any, Any]:
        rules = self._rules(variable)
        columns = [columns for _, columns, _, _ in rules]
        updated = [
            rule._decay_and_update(
                variable,
                *part,
                learning_rate * tf.cast(rule.learning_rate, values.dtype),
                l2,
            )
            for (rule, _, _, l2), *part in zip(
                rules,
                tf.split(gradient, columns, axis=1),
                tf.split(values, columns, axis=1),
                tf.split(state, [width for _, _, width, _ in rules], axis=1),
                strict=True,
            )
        ]
        new_values, new_state = zip(*updated, strict=True)
        return tf.concat(new_values, axis=1), tf.concat(new_state, axis=1)


def _check_part(part: str, optimizer: Any) -> None:
    kind = keras.optimizers.Optimizer if part == "dense" else LazyOptimizer
    if not isinstance(optimizer, kind):
        raise UserTypeError(
            f"`{part}` must be a {kind.__name__}. Received: {optimizer!r}.",
            argument=part,
        )
    if type(optimizer).apply is not keras.optimizers.Optimizer.apply:
        raise UserTypeError(
            f"`{part}` must update variables "
            f"itself, not one around others. Received: "
            f"{type(optimizer).__name__}. Put its optimizer in its place; a "
            "LossScaleOptimizer goes around the CompositeOptimizer.",
            argument=part,
        )
    for option in (*_CLIPPING, "use_ema", *_REFUSED):
        if getattr(optimizer, option):
            raise UserError(
                f"`{part}` must not have `{option}`, which concerns all "
                "variables: give it to the CompositeOptimizer. Received: "
                f"{option}={getattr(optimizer, option)}.",
                argument=part,
            )
