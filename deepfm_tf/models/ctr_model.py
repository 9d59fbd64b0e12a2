"""What all models share: one sigmoid, how they are taken apart, the config."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
from keras import ops

from deepfm_tf.errors import (
    Argument,
    UserError,
    arguments_of,
    refuse_unknown,
)
from deepfm_tf.keras_internals import is_saving_hdf5
from deepfm_tf.layers import SamplingOffset
from deepfm_tf.layers.pair_products import field_sums, products_of_sums
from deepfm_tf.models.shared_table import freeze_fields
from deepfm_tf.models.training_precision import (
    in_training,
    keep_for_training,
)
from deepfm_tf.schema import Schema

# Keras's own arguments of a model.
_KERAS_ARGUMENTS = {"name", "trainable", "dtype"}
_HDF5 = (".h5", ".hdf5")


class CTRModel(keras.Model):
    """A functional Keras model from packed inputs to a click probability.

    The inputs are `"ids"` (batch, id columns) int32, `"values"` (batch,
    numeric fields) float32 and `"weights"` (batch, weighted id columns)
    float32, each only where the schema needs it; `Vocabulary.encode` says what
    they hold. The output is `{"probability": (batch, 1)}`. The sigmoid comes
    last and in float32, so that Keras computes the loss from the logits.

    Under `mixed_bfloat16` its layers compute in 16 bits in training,
    `model(x, training=True)`, and there alone. `model(x)`, `evaluate`,
    `predict`, validation, explanations and exports are those of a float32
    model with the same weights; see `TrainingPrecision`.

    A model of your own is trained, evaluated and exported as it is. It can
    also be explained, exported with a context (`rank`) or with a table in 16
    bits if it declares how its logits are taken apart:

        logits = linear_term(sum_i w_i x_i) + sum_{i<j} <v_i, v_j> x_i x_j
                 + deep_logits([v_1 x_1, ..., v_f x_f])

    where `v_i x_i` of a field that attends to a candidate is `v_U(A)` (see
    `TargetAttention`).

    - `shared_embedding` holds the table: the function of this name makes it.
    - `linear_term` adds the bias: a `FirstOrderBias`.
    - `has_pairs` says whether the logits have the terms of the pairs.
    - `deep_logits` is all the rest, as a function of the embeddings.

    Args:
        schema: the Schema of a fitted vocabulary.
        inputs: what `packed_inputs` gave.
        logits: (batch, 1), a Keras tensor.
        negative_sampling: float in (0, 1]. The share `w` of the negatives
            that the training data keeps (see `Part`). The model learns from
            them, yet its probabilities are those of all the data: `p / (p +
            (1 - p) / w)`, where `p` is what it would say of the data it was
            given. To that end `log w` is subtracted from the logits in
            training, and only there; evaluation and export need no further
            correction. Defaults to 1.0: all of them.
        base_rate: float in (0, 1), or None. The share of positives in the rows
            to learn from: the bias starts at its log odds, which training
            else has to find, at the cost of all other weights where positives
            are rare. Not in the config, as it is the bias that is kept.
            Defaults to `None`: even odds.
        freeze_embeddings: names of fields whose vectors training leaves as
            they are (see `set_embeddings`), those of the fields that share
            them too; their first-order weights learn. As with Keras's
            `trainable`, it may be set later: `model.freeze_embeddings =
            ["item"]`, then compile anew. Optimizers of this package also keep
            weight decay and penalties off these vectors; give others none.
            Defaults to `()`.
        **kwargs: `name`, `trainable` and `dtype` (a dtype policy; by default
            the one that `set_precision` set), as for every Keras model.

    Attributes:
        logits: (batch, 1), the Keras tensor that the sigmoid takes.

    Raises:
        TypeError: an argument that the model does not have.

    Example:

    >>> import keras
    >>> from deepfm_tf import CategoricalField, Schema
    >>> from deepfm_tf.layers import FirstOrderBias
    >>> from deepfm_tf.models import CTRModel, packed_inputs, shared_embedding
    >>> class Maximum(CTRModel):
    ...     def __init__(self, schema, **kwargs):
    ...         self.shared_embedding = shared_embedding(schema, 4)
    ...         self.linear_term = FirstOrderBias()
    ...         inputs, features = packed_inputs(schema)
    ...         embeddings, linear = self.shared_embedding(**features)
    ...         logits = self.linear_term(linear) + self.deep_logits(embeddings)
    ...         super().__init__(schema, inputs, logits, **kwargs)
    ...
    ...     def deep_logits(self, embeddings):
    ...         return keras.ops.max(embeddings, axis=(1, 2))[:, None]
    >>> field = CategoricalField("site", vocabulary_size=5)
    >>> Maximum(Schema((field,), label="click")).can_be_taken_apart
    True
    """

    shared_embedding: Any = None
    linear_term: Any = None
    has_pairs: bool = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let each model refuse what it does not know, and take a dtype."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__init__ = _checked(cls, cls.__init__)  # type: ignore[method-assign]

    def __init__(
        self,
        schema: Schema,
        inputs: dict[str, Any],
        logits: Any,
        negative_sampling: float = 1.0,
        freeze_embeddings: Sequence[str] = (),
        base_rate: float | None = None,
        **kwargs: Any,
    ) -> None:
        if not 0 < negative_sampling <= 1:
            raise UserError(
                "`negative_sampling` must be the share of the negatives that "
                "the training data keeps, above 0 and at most 1. Received: "
                f"negative_sampling={negative_sampling}."
            )
        if base_rate is not None and not 0 < base_rate < 1:
            raise UserError(
                Argument("base_rate"),
                " must be a share of positives above 0 and below 1, or None. "
                "Received: ",
                Argument("base_rate", base_rate),
                ".",
            )
        shift = math.log(negative_sampling)
        if negative_sampling < 1:
            logits = SamplingOffset(
                -shift, dtype="float32", name="sampling_offset"
            )(logits)
        probability = keras.layers.Activation(
            "sigmoid", dtype="float32", name="probability"
        )(logits)
        super().__init__(
            inputs=inputs, outputs={"probability": probability}, **kwargs
        )
        keep_for_training(self)
        self.schema = schema
        self.logits = logits
        self.negative_sampling = negative_sampling
        if self.embedding_layer is not None:
            names = tuple(f.name for f in schema.embedded_fields)
            self.embedding_layer.field_names = names
        self.freeze_embeddings = freeze_embeddings
        # So that training, where `shift` is taken off, starts from that rate.
        rate = 0.5 if base_rate is None else base_rate
        start = shift + math.log(rate / (1 - rate))
        if start and self.linear_term is not None:
            self.linear_term.bias.assign(start)

    def call(
        self,
        inputs: Any,
        training: bool | None = None,
        mask: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Keras's `call`, of which all layers know whether it is training."""
        with in_training(training):
            return super().call(inputs, training=training, mask=mask, **kwargs)

    @property
    def embedding_layer(self) -> Any:
        """The `SharedEmbedding` that holds the table; None if there is none.

        Its columns are the latent vector and then the first-order weight.
        """
        return self.shared_embedding

    @property
    def freeze_embeddings(self) -> tuple[str, ...]:
        """Names of the fields whose vectors do not learn."""
        return self._frozen_fields

    @freeze_embeddings.setter
    def freeze_embeddings(self, names: Sequence[str]) -> None:
        names = (names,) if isinstance(names, str) else tuple(names)
        freeze_fields(self.schema, self.embedding_layer, names)
        self._frozen_fields = names

    def deep_logits(self, embeddings: Any) -> Any:
        """What neither single features nor pairs add to the logits.

        A model that has such terms defines this. Do not pass `training` to
        the layers: Keras tells them whether they are training.

        Args:
            embeddings: (batch, fields, embedding_dim), all fields.

        Returns:
            (batch, 1) logits.
        """
        raise NotImplementedError(
            f"{type(self).__name__} defines no `deep_logits`."
        )

    @property
    def has_deep(self) -> bool:
        """Whether `deep_logits` is one of the model's terms."""
        return type(self).deep_logits is not CTRModel.deep_logits

    @property
    def can_be_taken_apart(self) -> bool:
        """Whether the model declares the terms that its logits consist of."""
        has_both = None not in (self.shared_embedding, self.linear_term)
        return has_both and (self.has_pairs or self.has_deep)

    def first_kernel(self, fields: Sequence[int]) -> Any:
        """What `deep_terms` needs of some fields, collected once.

        Args:
            fields: positions in `schema.embedded_fields`.

        Returns:
            Such as the first hidden layer's rows for the columns of these
            fields; None if nothing is needed.
        """
        return None

    def terms(self, columns: Any, fields: Sequence[int], kernel: Any) -> Any:
        """What some of the fields contribute, before anything joins them.

        The terms of two groups of fields add up, each on its own, to those of
        both: what many examples have in common need be computed only once.
        See `FieldTerms`.

        Args:
            columns: (batch, fields, columns), `SharedEmbedding.lookup`.
            fields: positions in `schema.embedded_fields`, ascending.
            kernel: `first_kernel` of the same fields.

        Returns:
            Name -> (batch, ...) tensor.
        """
        if not self.can_be_taken_apart:
            raise NotImplementedError(
                f"{type(self).__name__} must declare the terms of its "
                "logits, so that they can be computed for some of its "
                "fields: see CTRModel."
            )
        dim = columns.shape[2] - 1
        if self.has_pairs:
            sums, squares = field_sums(columns)
            terms = {"sums": sums, "squares": squares}
        else:
            terms = {"linear": ops.sum(columns[:, :, dim:], axis=1)}
        if self.has_deep:
            terms |= self.deep_terms(columns, fields, kernel)
        return terms

    def deep_terms(
        self, columns: Any, fields: Sequence[int], kernel: Any
    ) -> dict[str, Any]:
        """The `terms` that `deep_logits` is computed from.

        By default the embeddings, with zeros for all other fields. A model
        that can add up earlier, in its first layer, saves time in `rank`.

        Args:
            columns, fields, kernel: as for `terms`.
        """
        embeddings = columns[:, :, :-1]
        num_fields = len(self.schema.embedded_fields)
        if len(fields) < num_fields:
            zeros = ops.zeros_like(embeddings[:, :1])
            padded = ops.concatenate([embeddings, zeros], axis=1)
            places = [len(fields)] * num_fields
            for place, field in enumerate(fields):
                places[field] = place
            embeddings = ops.take(padded, places, axis=1)
        return {"embeddings": embeddings}

    def deep_logits_of_terms(self, terms: Mapping[str, Any]) -> Any:
        """`deep_logits`, from the `deep_terms` of all fields."""
        return self.deep_logits(terms["embeddings"])

    def from_terms(self, terms: Mapping[str, Any]) -> Any:
        """(batch, 1) logits in inference, from the terms of all fields.

        Of fields that attend to a candidate `FieldTerms` has no such terms
        yet: `JoinedTerms` makes them, and calls this.
        """
        dim = self.embedding_layer.num_columns - 1
        if not self.has_pairs:
            logits = ops.add(terms["linear"], self.linear_term.bias)
        else:
            sums, squares = terms["sums"], terms["squares"]
            products = products_of_sums(sums[:, :dim], squares[:, :dim])
            logits = ops.add(sums[:, dim:], self.linear_term.bias)
            logits += ops.sum(products, axis=1, keepdims=True)
        if self.has_deep:
            deep = self.deep_logits_of_terms(terms)
            logits += ops.cast(deep, "float32")
        return logits

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Keras's `save`, but for HDF5, which it could not load again."""
        if str(filepath).endswith(_HDF5):
            _refuse_hdf5(filepath)
        super().save(filepath, *args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor, and the precision, JSON-ready."""
        # Set by Keras while it writes HDF5: `keras.saving.save_model` comes by
        # no method of the model but this one.
        if is_saving_hdf5():
            _refuse_hdf5("an HDF5 file")
        frozen = list(self.freeze_embeddings)
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self.dtype_policy.name,
            "schema": self.schema.to_dict(),
            "negative_sampling": self.negative_sampling,
            # Versions before 0.6 read the file of a model that has none.
            **({"freeze_embeddings": frozen} if frozen else {}),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None
    ) -> CTRModel:
        """The model that `get_config` describes, with fresh weights."""
        config = dict(config)
        config["schema"] = Schema.from_dict(config["schema"])
        trainable = config.pop("trainable", True)
        model = cls(**config)
        model.trainable = trainable
        return model


def _checked(cls: type, construct: Callable[..., None]) -> Callable[..., None]:
    """The constructor of a model, which knows all of its arguments."""

    @functools.wraps(construct)
    def check_and_construct(self: Any, *args: Any, **kwargs: Any) -> None:
        known = arguments_of(cls, CTRModel) - {"inputs", "logits"}
        refuse_unknown(cls, kwargs, known | _KERAS_ARGUMENTS)
        with _policy(kwargs.pop("dtype", None)):
            construct(self, *args, **kwargs)

    return check_and_construct


def _refuse_hdf5(filepath: Any) -> None:
    raise UserError(
        "A model must be saved as a .keras file, as Keras cannot load it from "
        f"HDF5. Received: {filepath}. Write model.save('model.keras').",
        argument="filepath",
    )


@contextlib.contextmanager
def _policy(policy: Any) -> Iterator[None]:
    """Layers are made with this dtype policy; None: with that of now."""
    now = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy or now)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(now)
