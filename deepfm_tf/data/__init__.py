"""Raw files to prepared shards to tf.data.

What needs TensorFlow is imported when it is first used: the workers of a
preparation do without.
"""

import importlib
from typing import TYPE_CHECKING, Any

from deepfm_tf.data.derived import UnreadableRows, write_derived
from deepfm_tf.data.drift import compare_with_training
from deepfm_tf.data.head import Head
from deepfm_tf.data.inference import infer_schema
from deepfm_tf.data.preparing.file_counts import fit_vocabulary
from deepfm_tf.data.reading.digests import file_digests
from deepfm_tf.data.reading.part import Part
from deepfm_tf.data.reading.raw_column import raw_column
from deepfm_tf.data.reading.stream import encode
from deepfm_tf.data.reading.time_split import TimePart, split_by_time
from deepfm_tf.files.readers import check_headers, column_names, list_files
from deepfm_tf.files.text_format import TextFormat

if TYPE_CHECKING:
    from deepfm_tf.data.overlap import Overlap, shared_rows
    from deepfm_tf.data.preparation import prepare, prepare_part
    from deepfm_tf.data.prepared.dataset import (
        PreparedData,
        dataset_from_ids,
        dataset_from_memory,
    )
    from deepfm_tf.data.preparing.other_parts import OtherParts
    from deepfm_tf.data.text_dataset import dataset_from_text
    from deepfm_tf.data.trained_files import TrainedAlreadyWarning

__all__ = [
    "Head",
    "OtherParts",
    "Overlap",
    "Part",
    "PreparedData",
    "TextFormat",
    "TimePart",
    "TrainedAlreadyWarning",
    "UnreadableRows",
    "check_headers",
    "column_names",
    "compare_with_training",
    "dataset_from_ids",
    "dataset_from_memory",
    "dataset_from_text",
    "encode",
    "file_digests",
    "fit_vocabulary",
    "infer_schema",
    "list_files",
    "prepare",
    "prepare_part",
    "shared_rows",
    "split_by_time",
    "raw_column",
    "write_derived",
]

_LATER = {
    "prepared.dataset": "PreparedData dataset_from_ids dataset_from_memory",
    "overlap": "Overlap shared_rows",
    "preparation": "prepare prepare_part",
    "preparing.other_parts": "OtherParts",
    "text_dataset": "dataset_from_text",
    "trained_files": "TrainedAlreadyWarning",
}


def __getattr__(name: str) -> Any:
    for module, names in _LATER.items():
        if name in names.split():
            found = importlib.import_module(f"deepfm_tf.data.{module}")
            return getattr(found, name)
    raise AttributeError(f"deepfm_tf.data has no name {name}", name=name)
