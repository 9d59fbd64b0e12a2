"""How TensorFlow Serving writes numbers, types and errors in REST."""

import json
import math
from typing import Any

import numpy as np
from tensorflow.core.framework import types_pb2

from deepfm_tf.arrays import Array
from deepfm_tf.serving.errors import ServingError, invalid_argument

# An error repeats what came, but not megabytes of it.
PREVIEW_CHARS = 256
# A Python float: numpy rounds what it compares with a float32.
_FLOAT32_MAX = float(np.finfo(np.float32).max)


def number_too_big() -> ServingError:
    """What RapidJSON says of a number beyond a double."""
    return invalid_argument(
        "JSON Parse error: Number too big to be stored in double."
    )


def text_bytes(text: str) -> bytes:
    """The bytes that a text of a parsed body came as, UTF-8 or not.

    >>> text_bytes(b"K\\xf6ln".decode(errors="surrogateescape"))
    b'K\\xf6ln'
    """
    return text.encode(errors="surrogateescape")


def readable(text: str) -> str:
    """A text with a question mark for each byte that is not UTF-8."""
    return text.encode(errors="replace").decode()


def type_name(dtype: int) -> str:
    """TensorFlow's C++ name of a type.

    >>> type_name(types_pb2.DT_FLOAT)
    'float'
    """
    if dtype not in types_pb2.DataType.values():
        return f"unknown type {dtype}"
    return types_pb2.DataType.Name(dtype)[len("DT_") :].lower()


def json_type(value: Any) -> str:
    """RapidJSON's name of a value's type."""
    if value is None:
        return "Null"
    if type(value) is bool:
        return str(value)
    names: dict[type, str] = {dict: "Object", list: "Array", str: "String"}
    return names.get(type(value), "Number")


def preview(value: Any) -> str:
    """A JSON value as an error repeats it: indented, and cut when long."""
    if isinstance(value, float):
        if math.isfinite(value) and abs(value) <= _FLOAT32_MAX:
            return decimal_texts(np.array([value], np.float32))[0]
        return decimal_texts(np.array([value], np.float64))[0]
    # The encoder is a generator: it stops where the text is cut.
    chunks = json.JSONEncoder(ensure_ascii=False, indent=4).iterencode(value)
    text = ""
    try:
        for chunk in chunks:
            text += chunk
            if len(text) > PREVIEW_CHARS:
                return text[:PREVIEW_CHARS] + "..."
    except RecursionError:  # nesting that the parser just about took
        return text[:PREVIEW_CHARS] + "..."
    return text


def decimal_texts(values: Array) -> list[str]:
    """Floats as TensorFlow Serving prints them.

    Six significant digits where those read back as the same number, else
    the nine (float) or seventeen (double) that always do; whole numbers keep
    a ".0", so that a reader sees floats throughout.

    Args:
        values: (n,) array of float32 or float64.

    Returns:
        A text for each.

    >>> decimal_texts(np.array([0.49, 1 / 3, 1, 4e9, np.nan], np.float32))
    ['0.49', '0.333333343', '1.0', '4e+09', 'NaN']
    """
    numbers = values.tolist()
    texts = list(map("{:.6g}".format, numbers))
    back = np.array(list(map(float, texts))).astype(values.dtype)
    digits = "{:.9g}" if values.dtype == np.float32 else "{:.17g}"
    for at in np.flatnonzero(back != values).tolist():
        texts[at] = digits.format(numbers[at])
    texts = [t if "." in t or "e" in t else t + ".0" for t in texts]
    for at in np.flatnonzero(~np.isfinite(values)).tolist():
        name = "NaN" if math.isnan(numbers[at]) else "Infinity"
        texts[at] = "-" + name if numbers[at] < 0 else name
    return texts
