"""What the lazy optimizers share: which rows of a table they touch, and how."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError, refuse_unknown
from deepfm_tf.keras_internals import weight_decay_of
from deepfm_tf.kernels import local_value, tf_variable
from deepfm_tf.native.choice import kernels_for
from deepfm_tf.native.table_kernels import Rule
from deepfm_tf.optimizers.frozen_rows import frozen_rows, keep_frozen
from deepfm_tf.optimizers.merged_gradients import MergedGradients
from deepfm_tf.optimizers.sharded_tables import check_shardable
from deepfm_tf.row_shards import held_apart, is_sharded


class LazyOptimizer(MergedGradients):
    """Updates only the rows of embedding tables that a batch has touched.

    Keras's own optimizers read and write every row of a table at every step,
    and take each occurrence of a row in a batch for a gradient of its own.
    Mixed into one of them, this class

    - adds up the gradients of the replicas, then those of equal rows, and
      only then clips (see `MergedGradients`): `clipnorm`, `global_clipnorm`
      and `clipvalue` see the gradient that a dense one would be;
    - gathers the touched rows and their state, applies `update_rows`, and
      writes them back. All other rows, their state and their weight decay are
      left alone, bit for bit.

    A table is a variable of two axes named `embeddings`, as the layers of this
    package and `keras.layers.Embedding` name it. Every other variable gets the
    rule of the Keras optimizer, which follows this class in the bases. A table
    whose gradient is dense (it has a regularizer) is touched in all its rows:
    the steps are then those of the dense rule, at its cost. There is no way
    around it with Adam: an L2 penalty goes through both moments, and what a
    row becomes while it rests has no closed form.

    `batch_l2` is an L2 penalty for tables too large to be read in full, at
    no more cost than the update of the touched rows. With `t` the number of
    the step and `c` the number of steps so far that touched the row, both
    counted from 1, it adds to the gradient of a touched row

        batch_l2 (t / c) w

    so that a row in every batch gets `batch_l2 w` each time, and one in
    every hundredth batch a hundred times that: over all steps about what the
    penalty `batch_l2 / 2 ||W||^2` on the whole table adds up to, and as
    there the step follows from the gradient and the penalty together. It is
    not the same: a row rests between its batches, and a row that no batch
    touches stays as it is. It comes after clipping. `first_order_l2` is the
    same for the column of first-order weights, in the place of `batch_l2`,
    which it needs beside it.

    `use_ema` works, but reads and writes the whole tables. What cannot keep to
    the touched rows is refused: `gradient_accumulation_steps` (use a larger
    batch) and `loss_scale_factor` (wrap the optimizer in
    `keras.optimizers.LossScaleOptimizer`).
    """

    def __init__(
        self,
        *,
        batch_l2: float | None = None,
        first_order_l2: float | None = None,
        **kwargs: Any,
    ) -> None:
        for option, l2 in (
            ("batch_l2", batch_l2),
            ("first_order_l2", first_order_l2),
        ):
            if l2 is not None and not 0 < l2 < float("inf"):
                raise UserError(
                    f"`{option}` must be a positive number, or None for no "
                    f"penalty. Received: {option}={l2}."
                )
        if first_order_l2 is not None and batch_l2 is None:
            raise UserError(
                "`first_order_l2` must go with `batch_l2`, the penalty on the "
                f"other columns. Received: first_order_l2={first_order_l2}."
            )
        for name, hint in (
            ("gradient_accumulation_steps", "Use a larger batch."),
            (
                "loss_scale_factor",
                "Wrap it in keras.optimizers.LossScaleOptimizer, which Keras "
                "does by itself under mixed_float16; mixed_bfloat16 needs no "
                "scaling.",
            ),
        ):
            if kwargs.get(name) is not None:
                raise UserError(
                    f"`{name}` must be None: {type(self).__name__} does not "
                    f"support it. {hint} Received: {name}={kwargs[name]}."
                )
        refuse_unknown(type(self), kwargs)
        super().__init__(**kwargs)
        self.batch_l2 = batch_l2
        self.first_order_l2 = first_order_l2

    def state_columns(self, num_columns: int) -> int:
        """How many numbers are kept for a row of `num_columns` weights."""
        raise NotImplementedError

    def update_rows(
        self,
        gradient: tf.Tensor,
        values: tf.Tensor,
        state: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The rule for touched rows.

        Args:
            gradient, values: (rows, columns).
            state: (rows, state columns), zero for a row never touched.
            learning_rate: scalar.

        Returns:
            The new `values` and `state`.
        """
        raise NotImplementedError

    def kernel_rule(self, learning_rate: tf.Tensor) -> Rule | None:
        """What `update_rows` is called in our kernels; None if they lack it.

        A class that overrides `update_rows` alone is updated by that.
        """
        return None

    def new_state(self, values: Array, learning_rate: float) -> Array:
        """The state of rows that training has not touched.

        Args:
            values: (rows, columns). What they start from.
            learning_rate: float.

        Returns:
            (rows, state columns), zero unless the rule takes the weights
            themselves from its state.
        """
        columns = self.state_columns(values.shape[1])
        return np.zeros((len(values), columns), values.dtype)

    def state_of(self, table: Any) -> Any:
        """The variable that holds the state of a table's rows.

        Args:
            table: one of the variables that the optimizer was built for.
        """
        return self._state[self._table_ids.index(id(table))]

    def state_of_added(self, table: Any, values: Array, known: Array) -> Array:
        """The state of rows that come to a table that is trained already.

        `batch_l2` weighs a row by how rare it is, which nobody knows of a new
        one: it counts as often as the usual one of those beside it. Counted
        from 0 it would be as rare as a row that all training has not met.

        Args:
            table: the variable that the rows are of.
            values: (rows, columns). What they start from.
            known: (others, state columns). The state of rows like them.
        """
        rate = number_of(self.learning_rate)
        return self._added(values, known, rate, self.batch_l2)

    def _added(
        self, values: Array, known: Array, rate: float, l2: Any
    ) -> Array:
        state = self.new_state(values, rate)
        if l2 is None:
            return state
        counts = known[:, -1]
        touched = counts[counts > 0]
        usual = number_of(self.iterations)
        if len(touched):
            usual = float(np.median(touched))
        count = np.full((len(values), 1), usual, values.dtype)
        return np.concatenate([state, count], axis=1)

    def build(self, variables: list[Any]) -> None:
        """Make the state of the tables. Called by Keras."""
        if self.built:
            return
        super().build(variables)
        tables = [v for v in variables if is_table(v)]
        self._state = [self._add_state(table) for table in tables]
        # Not the tables: Keras would take them for variables of the optimizer.
        self._table_ids = [id(table) for table in tables]

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, JSON-ready."""
        return {
            **super().get_config(),
            "batch_l2": self.batch_l2,
            "first_order_l2": self.first_order_l2,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> Any:
        """The optimizer that `get_config` describes."""
        config = dict(config)
        # As versions before 0.5 wrote it.
        if "touched_l2" in config:
            config["batch_l2"] = config.pop("touched_l2")
        return super().from_config(config, custom_objects)

    def add_optimizer_variables(
        self, trainable_variables: Any, name: Any, initializer: Any = "zeros"
    ) -> Any:
        """The variables of the Keras rule: for all but the tables."""
        if name == "average":  # of `use_ema`, which is the same for tables
            return super().add_optimizer_variables(
                trainable_variables, name, initializer
            )
        dense = [v for v in trainable_variables if not is_table(v)]
        added = super().add_optimizer_variables(dense, name, initializer)
        if isinstance(name, str):
            return _spread(added, trainable_variables)
        return tuple(_spread(part, trainable_variables) for part in added)

    def _step_of(self, variable: Any) -> Callable[[Any, Any, Any], None]:
        if not is_table(variable):
            return lambda part, gradient, rate: self.update_step(
                tf.convert_to_tensor(gradient), part, rate
            )
        state = self.state_of(variable)
        return functools.partial(self._update_table, variable, state)

    def _update_table(
        self,
        variable: Any,
        state: Any,
        table: tf.Variable,
        gradient: Any,
        learning_rate: Any,
    ) -> None:
        """Update a table on one replica, whose part of it is `table`."""
        state = local_value(state, table.device)
        learning_rate = tf.cast(learning_rate, table.dtype)
        if not isinstance(gradient, tf.IndexedSlices):
            values = tf.convert_to_tensor(table)
            new_values, new_state = self._decay_and_update(
                variable,
                gradient,
                values,
                tf.convert_to_tensor(state),
                learning_rate,
                self._l2_of(variable),
            )
            table.assign(keep_frozen(variable, None, values, new_values))
            state.assign(new_state)
            return
        if self._update_natively(
            variable, state, table, gradient, learning_rate
        ):
            return
        rows = gradient.indices
        values = tf.gather(table, rows)
        new_values, new_state = self._decay_and_update(
            variable,
            gradient.values,
            values,
            tf.gather(state, rows),
            learning_rate,
            self._l2_of(variable),
        )
        new_values = keep_frozen(variable, rows, values, new_values)
        table.scatter_update(tf.IndexedSlices(new_values, rows))
        state.scatter_update(tf.IndexedSlices(new_state, rows))

    def _update_natively(
        self,
        variable: Any,
        state: Any,
        table: tf.Variable,
        gradient: tf.IndexedSlices,
        learning_rate: tf.Tensor,
    ) -> bool:
        """Update the touched rows by our kernels, if they can."""
        owners = [
            next(kind for kind in type(self).__mro__ if name in vars(kind))
            for name in ("kernel_rule", "update_rows")
        ]
        kernels = None if is_sharded(variable) else kernels_for(table)
        if kernels is None or owners[0] is not owners[1]:
            return False
        rule = self.kernel_rule(learning_rate)
        if rule is None or frozen_rows(variable):
            return False
        decay = weight_decay_of(self, variable)
        step = tf.cast(self.iterations + 1, table.dtype)
        kernels.update(
            table,
            state,
            gradient,
            rule,
            1 - learning_rate * decay if decay else 1.0,
            None if self.batch_l2 is None else self._l2_of(variable) * step,
        )
        return True

    def _decay_and_update(
        self,
        variable: Any,
        gradient: Any,
        values: Any,
        state: Any,
        learning_rate: Any,
        l2: Any,
    ) -> tuple[Any, Any]:
        if decay := weight_decay_of(self, variable):
            values = values * (1 - learning_rate * decay)
        if l2 is None:
            return self.update_rows(gradient, values, state, learning_rate)
        # The last column of the state counts the steps that touched the row.
        state, count = state[:, :-1], state[:, -1:] + 1
        step = tf.cast(self.iterations + 1, values.dtype)
        gradient += l2 * (step / count) * values
        values, state = self.update_rows(gradient, values, state, learning_rate)
        return values, tf.concat([state, count], axis=1)

    def _l2_of(self, variable: Any) -> Any:
        """The penalty, (1, columns) where it is not the same for all."""
        first_order = getattr(variable, "first_order_columns", 0)
        if self.first_order_l2 is None or not first_order:
            return self.batch_l2  # None for no penalty
        l2 = np.full((1, variable.shape[1]), self.batch_l2)
        l2[:, -first_order:] = self.first_order_l2
        return tf.constant(l2, variable.dtype)

    def _state_columns_of(self, variable: Any) -> int:
        counts = self.batch_l2 is not None
        return self.state_columns(variable.shape[1]) + counts

    def _add_state(self, variable: Any) -> Any:
        table = tf_variable(variable)
        strategy = tf.distribute.get_strategy()
        if isinstance(table, tf.distribute.DistributedValues):
            strategy = table.distribute_strategy
        with contextlib.ExitStack() as stack:
            stack.enter_context(strategy.extended.colocate_vars_with(table))
            if is_sharded(variable):
                stack.enter_context(held_apart())
            state = self.add_variable(
                (variable.shape[0], self._state_columns_of(variable)),
                dtype=variable.dtype,
                name=f"{_path(variable).replace('/', '_')}_slots",
            )
        if is_sharded(variable):
            state.row_shards = variable.row_shards
            state.num_rows = variable.num_rows
        return state

    def _check_tables(self, variables: Sequence[Any]) -> None:
        check_shardable(self, variables)

    def decay(self, variables: Sequence[Any]) -> None:
        """Apply weight decay to all but the tables."""
        super().decay([v for v in variables if not is_table(v)])


def number_of(scalar: Any) -> float:
    """A scalar of an optimizer, which on replicas has several copies."""
    return float(ops.convert_to_numpy(scalar))


def is_table(variable: Any) -> bool:
    """Whether a variable is an embedding table."""
    name = _path(variable).split("/")[-1].split(":")[0]
    return name == "embeddings" and len(variable.shape) == 2


def _spread(added: list[Any], variables: list[Any]) -> list[Any]:
    """`added`, which holds none for the tables, with `None` for these."""
    remaining = iter(added)
    return [None if is_table(v) else next(remaining) for v in variables]


def _path(variable: Any) -> str:
    return str(getattr(variable, "path", variable.name))
