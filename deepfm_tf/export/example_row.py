"""A row to try a model with: frequent values, as a client sends them."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from deepfm_tf.fields import Field
from deepfm_tf.vocabulary import Vocabulary

_A_MONDAY = datetime.datetime(2024, 1, 1)


def example_row(vocabulary: Vocabulary) -> dict[str, str | float]:
    """For each input of `serving_default` a value that training has seen.

    A category is the most frequent one, a number the mean, a time one of an
    hour and a day of the week that occurred. Where nothing is known, as of a
    field with `hash_buckets`, it is missing (an empty text), or 0.

    Args:
        vocabulary: fitted.

    Example:

    >>> from deepfm_tf import CategoricalField, Schema, fit_vocabulary
    >>> schema = Schema((CategoricalField("site", min_count=1),), "click")
    >>> data = {"site": ["b", "a", "b"], "click": [1, 0, 0]}
    >>> example_row(fit_vocabulary(data, schema))
    {'site': 'b'}
    """
    names = vocabulary.schema.signature_names
    return {
        names[field.name]: _value(field, vocabulary)
        for field in vocabulary.schema.fields
    }


def _value(field: Field, vocabulary: Vocabulary) -> str | float:
    statistics = vocabulary.statistics.get(field.name, {})
    if not field.is_text:
        return float(f"{statistics.get('mean', 0.0):.3g}")
    if field.is_time:
        return _time(statistics)
    owner = vocabulary.schema.owner(field).name
    values = vocabulary.values.get(owner, ())
    if not len(values):
        return ""
    weight = f"{field.weight_separator}1" if field.has_weights else ""
    return f"{values[0]}{weight}"


def _time(statistics: Mapping[str, Any]) -> str:
    hours = statistics.get("hours") or [12]
    weekdays = statistics.get("weekdays") or [0]
    time = _A_MONDAY + datetime.timedelta(days=weekdays[0], hours=hours[0])
    if statistics.get("midnights", 0) == statistics.get("times"):
        return f"{time:%Y-%m-%d}"
    return f"{time:%Y-%m-%d %H:%M:%S}"
