"""The name that type annotations give a numpy array."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

# Any shape and any type of elements: the docstrings say which.
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
