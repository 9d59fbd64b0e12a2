"""The options that say what becomes of the model that is exported."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

from deepfm_tf.experiment.options.arguments import (
    path,
    positive_int,
    row_counts,
)
from deepfm_tf.files.layout import names_of_text
from deepfm_tf.options import option, switch

_results = functools.partial(option, group="results")


@dataclasses.dataclass(kw_only=True)
class ExportSettings:
    """What becomes of the model that is exported."""

    export: Path | None = _results(
        None,
        "write the model (of several, the best on the validation data) as the "
        "next version of this servable, such as saved_models/clicks",
        path,
        "DIR",
    )
    context_fields: tuple[str, ...] = _results(
        (),
        "fields that describe the request, not the candidate: adds the "
        "signature rank, which takes them once for many candidates",
        names_of_text,
        "A,B,C",
    )
    keep_versions: int | None = _results(
        None,
        "after exporting, remove all but the newest N",
        positive_int,
        "N",
        default_text="none",
    )
    table_dtype: str | None = _results(
        None,
        (
            "export the table with 16-bit numbers, at half the size, and "
            "print the effect on the test log loss"
        ),
        choices=("bfloat16", "float16"),
    )
    prune_untrained: bool = switch(
        "leave out table rows that training never updated; their values then "
        "count as unseen (needs a lazy optimizer)",
        group="results",
    )
    explain: bool = switch(
        "also export the signature explain, which gives the contribution of "
        "each field to the logit of a row, relative to the mean of the "
        "validation data",
        group="results",
    )
    calibration: str | None = _results(
        None,
        "correct the probabilities by a function fitted on the validation "
        "data; export it with the model, and report the test metrics before "
        "and after. temperature and platt keep the order of rows; isotonic "
        "needs 1,000 validation rows, 100 of each class",
        choices=("temperature", "platt", "isotonic"),
        default_text="none",
    )
    warm_up_rows: tuple[int, ...] | None = _results(
        None,
        "sizes, in rows, of the requests that a server replays before it "
        "serves the version; with TensorFlow Serving's --enable_batching, "
        "none may exceed its max_batch_size",
        row_counts,
        "N,N,N",
        default_text="1,10,100",
    )
    no_rank_warm_up: bool = switch(
        "replay no requests to the signature rank, because a server with "
        "--enable_batching would not load the version",
        group="results",
    )
