"""What is done with rows that cannot be read."""

from __future__ import annotations

from deepfm_tf.errors import UserError

ON_ERROR = ("raise", "skip")


def check_on_error(on_error: str) -> None:
    """Raise UserError unless it is one of `ON_ERROR`."""
    if on_error not in ON_ERROR:
        raise UserError(
            f"`on_error` must be one of {ON_ERROR}. Received: "
            f"on_error={on_error!r}."
        )
