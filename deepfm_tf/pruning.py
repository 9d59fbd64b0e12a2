"""A model without the rows that training has never touched."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import numpy as np

from deepfm_tf.arrays import Array
from deepfm_tf.copies import TOUCHED, state_of, touched_rows
from deepfm_tf.errors import UserError
from deepfm_tf.models import CTRModel
from deepfm_tf.models.other_rows import with_rows
from deepfm_tf.packed_layout import PackedLayout
from deepfm_tf.row_shards import OUTSIDE, is_sharded
from deepfm_tf.vocabulary import OOV_ID, Vocabulary


@dataclasses.dataclass(frozen=True)
class Pruned:
    """A model and its vocabulary, made smaller together.

    Args:
        model: not compiled.
        vocabulary: its Vocabulary.
        new_ids: owner of a vocabulary -> for each id that it had the new one,
            which is OOV's of a value that is gone.
    """

    model: CTRModel
    vocabulary: Vocabulary
    new_ids: Mapping[str, Array]

    def encoded(self, batches: Iterable[Any]) -> Iterator[tuple[Any, ...]]:
        """Batches of the larger model, with the ids of this one.

        Args:
            batches: of packed inputs and whatever comes with them.
        """
        schema = self.vocabulary.schema
        layout = PackedLayout(schema.fields)
        for packed, *others in batches:
            ids = np.array(packed["ids"])
            for field in schema.id_fields:
                _, place = layout.place(field.name)
                new_ids = self.new_ids[schema.owner(field).name]
                own = ids[:, place]
                ids[:, place] = np.where(own < 0, own, new_ids[own])
            yield {**packed, "ids": ids}, *others


def prune_untrained(model: CTRModel, vocabulary: Vocabulary) -> Pruned:
    """Map the values whose rows no step has touched to OOV.

    Their vectors are what the initializer drew; the row that all unseen
    values share has learnt something. Ids that are hashes, buckets or parts
    of times are a fixed set, and stay.

    Args:
        model: trained by one of the lazy optimizers, whose state tells; or
            what `strategies.on_one_host` gave of such a model.
        vocabulary: its Vocabulary.

    Raises:
        UserError: nothing tells which rows were touched; or a field has
            `encodings`.
    """
    layer = model.embedding_layer
    if layer is not None and is_sharded(layer.embeddings):
        raise UserError(OUTSIDE)
    is_trained = getattr(model, TOUCHED, None)
    state = None if layer is None else state_of(model, layer.embeddings)
    if state is not None:
        is_trained = touched_rows(state)
    if is_trained is None:
        raise UserError(
            "`prune_untrained` must come with a model that a lazy optimizer "
            "has trained, whose state shows which rows it has updated. "
            f"Received: {_told(model)}.",
            argument="prune_untrained",
        )
    vocabulary.check_may_change()
    schema = vocabulary.schema
    sizes = schema.vocabulary_sizes
    stays: dict[str, Array] = {}
    new_ids, rows = {}, []
    for owner, first_row, size in zip(
        schema.table_fields, accumulate((0, *sizes)), sizes, strict=False
    ):
        own = is_trained[first_row : first_row + size].copy()
        # OOV and missing are no values.
        own[: vocabulary.first_id(owner)] = True
        if not (owner.is_counted and owner.is_text):
            own[:] = True
        else:
            stays[owner.name] = own[vocabulary.first_id(owner) :]
        rows.append(first_row + np.flatnonzero(own))
        new_ids[owner.name] = np.where(own, np.cumsum(own) - 1, OOV_ID)
    smaller = vocabulary.reduced(stays)
    pruned = with_rows(model, smaller.schema, np.concatenate(rows))
    return Pruned(pruned, smaller, new_ids)


def _told(model: CTRModel) -> str:
    optimizer = getattr(model, "optimizer", None)
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return type(optimizer).__name__ if optimizer else "one without an optimizer"
