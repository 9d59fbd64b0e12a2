"""Avazu click-through rates: the hour becomes hour, weekday and weekend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import deepfm_tf
from deepfm_tf.experiment import Recipe, main

if TYPE_CHECKING:  # it takes longer to import than --help to be said
    import pandas as pd

TIME = ("hour_of_day", "weekday", "is_weekend")
CATEGORICAL = (
    "C1",
    "banner_pos",
    "site_id",
    "site_domain",
    "site_category",
    "app_id",
    "app_domain",
    "app_category",
    "device_id",
    "device_ip",
    "device_model",
    "device_type",
    "device_conn_type",
    *(f"C{i}" for i in range(14, 22)),
)


def schema(min_count: int) -> deepfm_tf.Schema:
    """24 categorical fields; the id of the row is left out."""
    fields = tuple(
        deepfm_tf.CategoricalField(name, min_count=min_count)
        for name in (*TIME, *CATEGORICAL)
    )
    return deepfm_tf.Schema(fields, label="click")


def derive(rows: pd.DataFrame) -> pd.DataFrame:
    """Hour of day, weekday and weekend from `hour` (YYMMDDHH)."""
    import pandas as pd

    time = pd.to_datetime(rows["hour"], format="%y%m%d%H", errors="coerce")
    if time.isna().any():
        raise deepfm_tf.data.UnreadableRows(
            rows["hour"][time.isna()], "must be YYMMDDHH"
        )
    return rows.drop(columns=["id", "hour"], errors="ignore").assign(
        hour_of_day=time.dt.hour.astype(str),
        weekday=time.dt.day_of_week.astype(str),
        is_weekend=(time.dt.day_of_week >= 5).map({True: "1", False: "0"}),
    )


RECIPE = Recipe(
    name="avazu",
    command_words=("python", "-m", "pipelines.avazu"),
    description="""\
Avazu's format: comma separated with a header. `id` is dropped; `hour` becomes
hour_of_day, weekday and is_weekend, which the exported model then takes.

    {command} --train train.gz --model fm,deepfm --epochs 1
""",
    label="click",
    schema=schema,
    text_format=deepfm_tf.TextFormat(separator=","),
    derive=derive,
)

if __name__ == "__main__":
    raise SystemExit(main(RECIPE))
