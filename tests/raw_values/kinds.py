"""Values of every kind, the texts they have, and what may store them."""

import datetime as dt
import os

import hypothesis
import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

# So many times more examples, and others each time, for a long run by hand.
_TIMES = int(os.environ.get("DEEPFM_TF_EXAMPLES", "1"))
SETTINGS = hypothesis.settings(
    max_examples=2 * _TIMES,
    deadline=None,
    database=None,
    derandomize=_TIMES == 1,
)
HOUR = dt.timezone(dt.timedelta(hours=1))


def plain(value):
    return str(value)


def float_text(value):
    if float(value).is_integer():
        return str(int(value))
    return str(value) if isinstance(value, np.floating) else repr(value)


def moment_text(value):
    text = value.strftime("%Y-%m-%d %H:%M:%S").rjust(19, "0")
    if value.microsecond:
        text += f".{value.microsecond:06d}".rstrip("0")
    if value.tzinfo is not None:
        zone = value.strftime("%z")
        return f"{text}{zone[:3]}:{zone[3:5]}"
    return text.removesuffix(" 00:00:00")


def arrow(kind):
    return lambda values: pd.Series(
        pa.array(values, kind).to_pandas(types_mapper=pd.ArrowDtype)
    )


def series(dtype):
    return lambda values: pd.Series(values, dtype=dtype)


def as_object(values):
    return pd.Series(values, dtype=object)


def as_category(values):
    return pd.Series(values, dtype=object).astype("category")


def sparse(values):
    numbers = pd.Series(values, dtype="float64")
    return numbers.astype(pd.SparseDtype("float64", 0.0))


def parquet(kind):
    return lambda values: pa.array(values, kind)


MOMENTS = st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2200, 1, 1))
ZONES = [dt.timezone.utc, HOUR, dt.timezone(-dt.timedelta(hours=3, minutes=30))]
CLOCK = st.times()
SAFE_TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)

# Values, their texts by other means than ours, and what may store them.
KINDS = {
    "small integers": (
        st.integers(-(2**11), 2**11),
        plain,
        {
            "Int16": series("Int16"),
            "float16": series("float16"),
            "float32": series("float32"),
            "Float32": series("Float32"),
            "sparse": sparse,
            "Parquet int16": parquet(pa.int16()),
            "Parquet float": parquet(pa.float32()),
            "Parquet half float": lambda values: pa.array(
                np.array(values, "f2"), from_pandas=True
            ),
            "Parquet decimal": parquet(pa.decimal256(40, 0)),
            "Parquet dictionary": parquet(pa.dictionary(pa.int8(), pa.int16())),
        },
    ),
    "integers": (
        st.integers(-(2**53), 2**53),
        plain,
        {
            "object": as_object,
            "category": as_category,
            "Int64": series("Int64"),
            "float64": series("float64"),
            "Float64": series("Float64"),
            "int64[pyarrow]": series(pd.ArrowDtype(pa.int64())),
            "double[pyarrow]": series(pd.ArrowDtype(pa.float64())),
            "sparse": sparse,
            "Parquet int64": parquet(pa.int64()),
            "Parquet double": parquet(pa.float64()),
            "Parquet decimal": parquet(pa.decimal128(20, 0)),
        },
    ),
    "large integers": (
        st.integers(-(2**80), 2**80),
        plain,
        {"object": as_object, "category": as_category},
    ),
    "numbers": (
        st.floats(-(2.0**53), 2.0**53, allow_nan=False),
        float_text,
        {
            "object": as_object,
            "category": as_category,
            "float64": series("float64"),
            "Float64": series("Float64"),
            "double[pyarrow]": series(pd.ArrowDtype(pa.float64())),
            "sparse": sparse,
            "Parquet double": parquet(pa.float64()),
        },
    ),
    "single numbers": (
        st.floats(-(2.0**30), 2.0**30, allow_nan=False, width=32).map(
            np.float32
        ),
        float_text,
        {
            "object": as_object,
            "float32": series("float32"),
            "Float32": series("Float32"),
            "Parquet float": parquet(pa.float32()),
        },
    ),
    "half numbers": (
        st.floats(-1000, 1000, allow_nan=False, width=16).map(np.float16),
        float_text,
        {
            "object": as_object,
            "float16": series("float16"),
            "Parquet half float": parquet(pa.float16()),
        },
    ),
    "booleans": (
        st.booleans(),
        plain,
        {
            "object": as_object,
            "category": as_category,
            "boolean": series("boolean"),
            "bool[pyarrow]": series(pd.ArrowDtype(pa.bool_())),
            "Parquet bool": parquet(pa.bool_()),
        },
    ),
    "moments": (
        MOMENTS | MOMENTS.map(lambda m: m.replace(microsecond=0)),
        moment_text,
        {
            "object": as_object,
            "category": as_category,
            "us": series("datetime64[us]"),
            "ns": series("datetime64[ns]"),
            "timestamp[us][pyarrow]": series(pd.ArrowDtype(pa.timestamp("us"))),
            "Parquet": parquet(pa.timestamp("us")),
            "Parquet, ns": parquet(pa.timestamp("ns")),
        },
    ),
    "seconds": (
        MOMENTS.map(lambda m: m.replace(microsecond=0)),
        moment_text,
        {
            "s": series("datetime64[s]"),
            "ms": series("datetime64[ms]"),
            "Parquet": parquet(pa.timestamp("s")),
            "Parquet, ms": parquet(pa.timestamp("ms")),
        },
    ),
    "moments of a zone": (
        st.sampled_from(ZONES).flatmap(
            lambda zone: st.lists(
                MOMENTS.map(lambda m: m.replace(tzinfo=zone)), min_size=1
            )
        ),
        moment_text,
        {
            "object": as_object,
            "zone": lambda values: pd.Series(pd.to_datetime(values)),
            "category": as_category,
            "Parquet": lambda values: pa.array(
                values, pa.timestamp("us", zone_of(values))
            ),
        },
    ),
    "dates": (
        st.dates(dt.date(1900, 1, 1), dt.date(2200, 1, 1)),
        lambda d: d.isoformat(),
        {
            "object": as_object,
            "category": as_category,
            "date32[pyarrow]": series(pd.ArrowDtype(pa.date32())),
            "datetime64[s]": series("datetime64[s]"),
            "datetime64[ns]": series("datetime64[ns]"),
            "Parquet": parquet(pa.date32()),
            "Parquet date64": parquet(pa.date64()),
            "Parquet timestamp": lambda values: pa.array(
                values, pa.date32()
            ).cast(pa.timestamp("ms")),
        },
    ),
    "times": (
        CLOCK | CLOCK.map(lambda t: t.replace(microsecond=0)),
        plain,
        {
            "object": as_object,
            "Parquet": parquet(pa.time64("us")),
            "Parquet, ns": parquet(pa.time64("ns")),
        },
    ),
    "decimals": (
        st.decimals(-1000, 1000, places=2),
        plain,
        {
            "object": as_object,
            "category": as_category,
            "Parquet": parquet(pa.decimal128(12, 2)),
        },
    ),
    "texts": (
        SAFE_TEXT,
        plain,
        {
            "object": as_object,
            "category": as_category,
            "str": series("str"),
            "string": series("string"),
            "string[pyarrow]": series(pd.ArrowDtype(pa.string())),
            "large_string[pyarrow]": series(pd.ArrowDtype(pa.large_string())),
            "bytes": lambda values: as_object(
                [v if v is None else v.encode() for v in values]
            ),
            "Parquet dictionary": parquet(
                pa.dictionary(pa.int32(), pa.string())
            ),
            "Parquet large": parquet(pa.large_string()),
        },
    ),
    "uuids": (
        st.uuids(),
        plain,
        {
            "object": as_object,
            "category": as_category,
            **(
                {
                    "Parquet": lambda values: pa.array(
                        [v if v is None else v.bytes for v in values],
                        pa.uuid(),
                    )
                }
                if hasattr(pa, "uuid")
                else {}
            ),
        },
    ),
    "months": (
        st.integers(-500, 500).map(lambda n: pd.Period(ordinal=n, freq="M")),
        plain,
        {
            "object": as_object,
            "period": series("period[M]"),
            "category": as_category,
            "Parquet": lambda values: pa.array(series("period[M]")(values)),
        },
    ),
    "intervals": (
        st.integers(-500, 500).map(lambda n: pd.Interval(n + 0.5, n + 1.5)),
        plain,
        {
            "object": as_object,
            "interval": series("interval[float64]"),
            "category": as_category,
            "Parquet": lambda values: pa.array(
                series("interval[float64]")(values)
            ),
        },
    ),
    "mixed": (
        st.one_of(
            st.integers(), st.booleans(), SAFE_TEXT, st.dates(), st.uuids()
        ),
        plain,
        {"object": as_object},
    ),
}


def zone_of(values):
    return pa.array(values).type.tz


# What pandas writes of a column is what the column itself has. The exceptions
# stand in the README.
WRITTEN = [
    ("numbers", series("float64"), lambda v: v is None or v % 1),
    ("booleans", as_object, None),
    ("integers", series("Int64"), None),
    ("integers", series("float64"), None),
    ("large integers", as_object, None),
    ("seconds", series("datetime64[ns]"), lambda v: v is None or v.second),
    ("moments of a zone", None, None),
    ("dates", as_object, None),
    ("dates", series("datetime64[s]"), None),
    ("times", as_object, None),
    ("decimals", as_object, None),
    ("uuids", as_object, None),
    ("months", series("period[M]"), None),
    ("intervals", as_object, None),
    ("half numbers", series("float16"), lambda v: v is None or v % 1),
    ("mixed", as_object, lambda v: not isinstance(v, str) or v.isalnum()),
]
