"""Raw files to prepared shards to tf.data."""

from deepfm_tf.data.dataset import (
    PreparedData,
    dataset_from_ids,
    dataset_from_memory,
)
from deepfm_tf.data.derived import UnreadableRows, write_derived
from deepfm_tf.data.drift import compare_with_training
from deepfm_tf.data.inference import infer_schema, label_counts
from deepfm_tf.data.overlap import Overlap, shared_rows
from deepfm_tf.data.part import Part
from deepfm_tf.data.prepare import prepare
from deepfm_tf.data.raw_column import raw_column
from deepfm_tf.data.stream import encode, fit_vocabulary
from deepfm_tf.data.text_dataset import dataset_from_text
from deepfm_tf.data.time_split import TimePart, split_by_time
from deepfm_tf.files.readers import check_headers, column_names, list_files
from deepfm_tf.files.text_format import TextFormat

__all__ = [
    "Overlap",
    "Part",
    "PreparedData",
    "TextFormat",
    "TimePart",
    "UnreadableRows",
    "check_headers",
    "column_names",
    "compare_with_training",
    "dataset_from_ids",
    "dataset_from_memory",
    "dataset_from_text",
    "encode",
    "fit_vocabulary",
    "infer_schema",
    "label_counts",
    "list_files",
    "prepare",
    "shared_rows",
    "split_by_time",
    "raw_column",
    "write_derived",
]
