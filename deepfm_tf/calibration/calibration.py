"""A rising function from a model's probabilities to better ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from deepfm_tf.arrays import Array
from deepfm_tf.errors import UserError
from deepfm_tf.metrics.logits import LARGEST_LOGIT, logit, sigmoid
from deepfm_tf.metrics.rows import check_probability

# Method -> the names of its parameters.
METHODS = {
    "temperature": ("temperature",),
    "platt": ("slope", "intercept"),
    "isotonic": ("probability", "calibrated"),
}
# Beyond it, float32 probabilities tell little of the logit.


@dataclasses.dataclass(frozen=True)
class Calibration:
    """What `fit_calibration` learnt; called, it calibrates probabilities.

    With z the logit of the probability p, kept within ±16.12 (p in
    [1e-7, 1 - 1e-7]):

        temperature:  sigma(z / T)
        platt:        sigma(a z + b)
        isotonic:     linear in p between thresholds, constant beyond them

    Plain data: `to_dict` gives what JSON holds. `export_saved_model` puts it
    into the graph.

    Args:
        method: `"temperature"`, `"platt"` or `"isotonic"`.
        parameters: `temperature` T > 0; or `slope` a > 0 and `intercept` b;
            or the lists `probability`, ascending thresholds, and
            `calibrated`, what becomes of them, never falling.
        rows: int. How many rows it was fitted on.
        before, after: what `binary_metrics` says of those rows. They chose
            the parameters, so `after` flatters: measure on others.

    Call arguments:
        probability: an array of any shape, values in [0, 1], no NaN: that
            of a model is a mistake, as in all metrics.

    Output shape:
        That of the input; float64.

    Raises:
        ValueError: a parameter is missing or out of its range, or a
            probability is.

    Example:

    >>> calibration = Calibration("temperature", {"temperature": 2.0})
    >>> calibration(np.array([0.5, 0.9])).round(4).tolist()
    [0.5, 0.75]
    >>> Calibration.from_dict(calibration.to_dict()) == calibration
    True

    Reference:
        Temperature: [Guo et al., 2017](https://arxiv.org/abs/1706.04599),
        section 4.2. Platt and isotonic: [Niculescu-Mizil and Caruana,
        2005](https://doi.org/10.1145/1102351.1102430), section 2; here Platt's
        line is one in the logit.
    """

    method: str
    parameters: Mapping[str, Any]
    rows: int = 0
    before: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    after: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_method(self.method)
        wanted = METHODS[self.method]
        if set(self.parameters) != set(wanted):
            raise UserError(
                f"The `parameters` of {self.method} must be "
                f"{', '.join(wanted)}. Received: "
                f"{', '.join(map(str, self.parameters)) or 'none'}."
            )
        if self.method == "isotonic":
            self._check_steps()
            return
        positive = self.parameters[wanted[0]]
        values = [float(value) for value in self.parameters.values()]
        if not np.isfinite(values).all() or positive <= 0:
            raise UserError(
                f"`{wanted[0]}` must be above 0, and every parameter finite. "
                f"Received: {dict(self.parameters)}."
            )

    def __call__(self, probability: Any) -> Array:
        p = np.asarray(probability, np.float64)
        num_nan = int(np.isnan(p).sum())
        if num_nan:
            raise UserError(
                f"`probability` must hold numbers. Received: NaN, {num_nan} "
                f"of {p.size}. Remove those rows. If a model gave them, it "
                "has diverged: train it with a lower learning rate."
            )
        if p.size:
            check_probability(p)
        if self.method == "isotonic":
            steps = [self.parameters[name] for name in METHODS["isotonic"]]
            calibrated: Array = np.interp(p, *steps)
            return calibrated
        slope, intercept = self._line()
        return sigmoid(slope * logit(p) + intercept)

    def from_logits(self, logits: Any) -> tf.Tensor:
        """The same in a TensorFlow graph, from a model's logits.

        Args:
            logits: a tensor of any shape.

        Returns:
            float32 probabilities in that shape.
        """
        logits = tf.cast(logits, tf.float32)
        if self.method == "isotonic":
            return self._interpolate(tf.sigmoid(logits))
        logits = tf.clip_by_value(logits, -LARGEST_LOGIT, LARGEST_LOGIT)
        slope, intercept = self._line()
        return tf.sigmoid(slope * logits + intercept)

    def describe(self) -> str:
        """The function with its numbers, to be read.

        Example:

        >>> Calibration("platt", {"slope": 0.5, "intercept": -1}).describe()
        'logit x 0.5000 - 1.0000'
        """
        if self.method == "isotonic":
            return f"{len(self.parameters['probability'])} thresholds"
        if self.method == "temperature":
            return f"logit / {self.parameters['temperature']:.4f}"
        slope, intercept = self._line()
        sign = "-" if intercept < 0 else "+"
        return f"logit x {slope:.4f} {sign} {abs(intercept):.4f}"

    def to_dict(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Calibration:
        """What `to_dict` gave."""
        return cls(**content)

    def _line(self) -> tuple[float, float]:
        """Slope and intercept of the logit."""
        if self.method == "temperature":
            return 1 / self.parameters["temperature"], 0.0
        return self.parameters["slope"], self.parameters["intercept"]

    def _interpolate(self, p: tf.Tensor) -> tf.Tensor:
        low, high = (
            tf.constant(self.parameters[name], tf.float32)
            for name in METHODS["isotonic"]
        )
        # Each stretch by the thresholds at its two ends; beyond the first and
        # the last, p itself is held there.
        p = tf.clip_by_value(p, low[0], low[-1])
        flat = tf.reshape(p, [-1])
        last = low.shape[0] - 1
        upper = tf.searchsorted(low, flat, side="right")
        upper = tf.clip_by_value(upper, 1, last)
        x0, x1 = tf.gather(low, upper - 1), tf.gather(low, upper)
        y0, y1 = tf.gather(high, upper - 1), tf.gather(high, upper)
        return tf.reshape(y0 + (y1 - y0) * (flat - x0) / (x1 - x0), tf.shape(p))

    def _check_steps(self) -> None:
        x, y = (
            np.asarray(self.parameters[name], np.float32)
            for name in METHODS["isotonic"]
        )
        if (
            x.ndim != 1
            or x.shape != y.shape
            or len(x) < 2
            or not (np.diff(x) > 0).all()
            or not (np.diff(y) >= 0).all()
            or not (0 <= x[0] and x[-1] <= 1 and 0 <= y[0] and y[-1] <= 1)
        ):
            raise UserError(
                "`probability` must increase strictly and `calibrated` must "
                "not decrease, both as float32 between 0 and 1 and of the "
                f"same length, at least 2. Received: shapes {x.shape} and "
                f"{y.shape}, probability={x[:5]}, calibrated={y[:5]}, ..."
            )


def check_method(method: str) -> None:
    """Refuse what is none of `METHODS`."""
    if method not in METHODS:
        raise UserError(
            f"`method` must be one of {', '.join(METHODS)}. Received: "
            f"method={method!r}."
        )
