"""What differs where several workers train one model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import deepfm_tf
from deepfm_tf.cluster import Cluster
from deepfm_tf.errors import UserError
from deepfm_tf.experiment.options.settings import LAZY_OPTIMIZERS

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

PARTS = ("train", "valid", "test")


def check_alone(what: str, cluster: Cluster) -> None:
    """Raise UserError for what trains many models, where workers train one.

    Args:
        what: str. What was asked for.
        cluster: Cluster.
    """
    if cluster.num_workers > 1:
        raise UserError(
            f"{what} trains many models, each on one host, but "
            f"{cluster.source} names {cluster.num_workers} workers. Set "
            f"TF_CONFIG='{{}}' for it, or train one model with deepfm-tf "
            "train."
        )


def check(settings: Settings, cluster: Cluster) -> None:
    """Raise UserError for what several workers cannot do.

    Args:
        settings: the options.
        cluster: Cluster.
    """
    cluster.check_replicas(settings.replicas)
    cluster.check_sharding(settings.shard_tables)
    if not settings.shard_tables:
        return
    if settings.optimizer not in LAZY_OPTIMIZERS:
        raise UserError(
            "--shard-tables must come with an optimizer that updates only "
            f"the rows of a batch: {', '.join(LAZY_OPTIMIZERS)}. Received: "
            f"--optimizer {settings.optimizer}."
        )
    if settings.embedding_l2 and not settings.has_batch_l2:
        raise UserError(
            "--l2-mode table reads the whole table at each step, but with "
            "--shard-tables each worker holds only a part of it. Give "
            "--l2-mode batch."
        )


def lost_worker(error: Exception, cluster: Cluster) -> UserError | None:
    """What to say of an error that the loss of a worker has led to.

    Args:
        error: what was raised.
        cluster: of this process.
    """
    if cluster.num_workers == 1:
        return None
    return deepfm_tf.strategies.lost_worker(error, cluster)


def load_prepared(settings: Settings) -> dict[str, deepfm_tf.PreparedData]:
    """What the chief has prepared, by part.

    Args:
        settings: the options.
    """
    folder = settings.prepared_folder
    return {name: deepfm_tf.PreparedData.load(folder / name) for name in PARTS}


def say_part(cluster: Cluster) -> None:
    """Say what one of several workers does, before it waits for the others.

    Args:
        cluster: Cluster.
    """
    if cluster.num_workers == 1:
        return
    own = cluster.addresses[cluster.index]
    told = f"Worker {cluster.index} of {cluster.num_workers}, {own}"
    if cluster.is_chief:
        told += ", is the chief. It waits for the others."
    else:
        told += f", waits for the chief, {cluster.addresses[0]}, which tells "
        told += "the rest."
    print(told, flush=True)
