"""Files and folders that a kill, a crash or a second process cannot spoil."""

from deepfm_tf.storage.durable import replacing, sync, sync_tree, write_text
from deepfm_tf.storage.locks import hold, try_lock
from deepfm_tf.storage.unpublished import unpublished

__all__ = [
    "hold",
    "replacing",
    "sync",
    "sync_tree",
    "try_lock",
    "unpublished",
    "write_text",
]
