"""The Dask cluster that `--dask` names, as what prepares the data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import Executor

from deepfm_tf.errors import UserError

# A scheduler on the same network answers at once; workers may be starting.
TIMEOUT_SECONDS = 20
# A task that took its worker with it is given to another one, so often.
_RETRIES = 3


@contextlib.contextmanager
def dask_executor(address: str | None) -> Iterator[Executor | None]:
    """An executor on the workers of a scheduler, during a block.

    Args:
        address: of the scheduler, such as `tcp://10.0.0.1:8786`; None gives
            no executor.

    Raises:
        UserError: no scheduler answers there, or it has no workers.
    """
    if address is None:
        yield None
        return
    import distributed

    try:
        client = distributed.Client(address, timeout=TIMEOUT_SECONDS)
    except (OSError, ValueError) as error:
        raise UserError(
            f"--dask {address}: no Dask scheduler answers there ({error}). "
            "Start one with `dask scheduler`, and a worker on each host with "
            "`dask worker tcp://HOST:8786`."
        ) from error
    with client:
        if not client.nthreads():
            raise UserError(
                f"--dask {address}: the scheduler has no workers. Start one "
                f"on each host: dask worker {address}."
            )
        yield client.get_executor(retries=_RETRIES)
