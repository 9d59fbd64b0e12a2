"""Which processes train one model together, as their environment says."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from deepfm_tf.errors import Argument, UserError

_EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["host0:20000", "host1:20000"]}, '
    '"task": {"type": "worker", "index": 0}}\', with index 1 on host1'
)
# The jobs that train, in the order in which their workers count.
_JOBS = ("chief", "worker")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The workers, and which of them this process is.

    Args:
        addresses: tuple of "host:port", one a worker; none where this process
            trains alone.
        index: int. Its place among them; that of the chief is 0.
        source: str. What says so, for messages.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0
    source: str = ""

    @property
    def num_workers(self) -> int:
        """How many processes train together."""
        return max(1, len(self.addresses))

    @property
    def is_chief(self) -> bool:
        """Whether this process prepares, writes and exports for all."""
        return self.index == 0

    def check_replicas(self, num_replicas: int | None) -> None:
        """Raise UserError for a number of replicas beside several workers."""
        if num_replicas is not None and self.num_workers > 1:
            raise UserError(
                Argument("num_replicas"),
                f" must not be given when {self.source} names several "
                "workers, because each worker uses all of its GPUs, or its "
                "CPU. Received: ",
                Argument("num_replicas", num_replicas),
                f" and {self.num_workers} workers.",
            )

    def check_sharding(self, shard_tables: bool) -> None:
        """Raise UserError for tables to be shared out by one worker alone."""
        if shard_tables and self.num_workers == 1:
            raise UserError(
                Argument("shard_tables"),
                " distributes the rows of a table over several workers, but "
                "this process trains alone: neither TF_CONFIG nor Slurm "
                "names other workers. Leave it out, or start one worker on "
                "each host.",
            )


def read_cluster(environment: Mapping[str, str] | None = None) -> Cluster:
    """The cluster that `TF_CONFIG` describes, or else Slurm.

    Slurm does where `srun` has started several tasks; `TF_CONFIG='{}'` makes
    each of these train alone.

    Args:
        environment: Mapping. Defaults to `None`: that of the process.

    Raises:
        UserError: these are no workers that could start.

    Example:

    >>> config = {
    ...     "cluster": {"worker": ["a:20000", "b:20000"]},
    ...     "task": {"type": "worker", "index": 1},
    ... }
    >>> read_cluster({"TF_CONFIG": json.dumps(config)}).index
    1
    """
    environment = os.environ if environment is None else environment
    if environment.get("TF_CONFIG", "").strip():
        return _from_tf_config(environment["TF_CONFIG"])
    if int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
        return _from_slurm(environment)
    return Cluster()


def _from_tf_config(text: str) -> Cluster:
    try:
        config = json.loads(text)
    except json.JSONDecodeError as error:
        raise _wrong("be JSON", f"{text} ({error})") from error
    if not isinstance(config, dict):
        raise _wrong("be a JSON object", text)
    jobs = config.get("cluster") or {}
    if not jobs:
        return Cluster()
    if not isinstance(jobs, dict) or not set(_JOBS) & set(jobs):
        raise _wrong('have a list "worker" in its "cluster"', text)
    others = sorted(set(jobs) - set(_JOBS))
    if others:
        raise _wrong(
            'have no job but "chief" and "worker" in its "cluster": '
            f"{others} is not used in this training",
            text,
        )
    addresses = [each for job in _JOBS for each in _addresses(jobs, job, text)]
    if len(set(addresses)) < len(addresses):
        raise _wrong("give each worker a different address", text)
    if len(addresses) == 1 and config.get("task") is None:
        return Cluster()
    job, index = _task(config, jobs, text)
    if len(addresses) == 1:
        return Cluster()
    before = len(jobs.get("chief", ())) if job == "worker" else 0
    return Cluster(tuple(addresses), before + index, "TF_CONFIG")


def _addresses(jobs: dict[str, Any], job: str, text: str) -> list[str]:
    addresses = jobs.get(job, [])
    if (
        not isinstance(addresses, list)
        or (job in jobs and not addresses)
        or not all(
            isinstance(each, str) and each.rpartition(":")[2].isdigit()
            for each in addresses
        )
    ):
        raise _wrong(f'have a list of "host:port" for each "{job}"', text)
    return addresses


def _task(
    config: dict[str, Any], jobs: dict[str, Any], text: str
) -> tuple[str, int]:
    """The job and the index of this process."""
    task = config.get("task")
    if not isinstance(task, dict) or task.get("type") not in jobs:
        raise _wrong('say with "task" which worker this process is', text)
    job: str = task["type"]
    # A template of Kubernetes writes a string.
    index = str(task.get("index"))
    if not index.isdigit() or int(index) >= len(jobs[job]):
        raise _wrong(
            f'have an "index" from 0 to {len(jobs[job]) - 1} in its "task"',
            text,
        )
    return job, int(index)


def _from_slurm(environment: Mapping[str, str]) -> Cluster:
    # Not TensorFlow's SlurmClusterResolver, which needs GPUs and puts node10
    # before node9, where Slurm counts the other way.
    nodes = _expanded(environment["SLURM_STEP_NODELIST"])
    first_port = 20000 + int(environment["SLURM_JOB_ID"]) % 10000
    addresses: list[str] = []
    hosts: list[str] = []
    counts = _repeated(environment["SLURM_STEP_TASKS_PER_NODE"])
    for node, count in zip(nodes, counts, strict=True):
        hosts += [node] * count
        addresses += [f"{node}:{first_port + n}" for n in range(count)]
    index = int(environment["SLURM_PROCID"])
    own = environment.get("SLURMD_NODENAME", hosts[index])
    if own != hosts[index]:
        raise UserError(
            "Slurm must number the tasks node by node, so that each finds the "
            f"others. Received: task {index} on {own}, in place of "
            f"{hosts[index]}. Give srun --distribution=block, or "
            "--ntasks-per-node=1."
        )
    return Cluster(tuple(addresses), index, "Slurm")


def _expanded(nodes: str) -> list[str]:
    """The hosts of a list as Slurm writes it, in its order.

    Example:

    >>> _expanded("gpu[08-10,12],login")
    ['gpu08', 'gpu09', 'gpu10', 'gpu12', 'login']
    """
    hosts: list[str] = []
    for prefix, ranges, suffix in re.findall(
        r"([^,\[]+)(?:\[([^\]]*)\])?([^,\[]*)", nodes
    ):
        for each in ranges.split(","):
            first, _, last = each.partition("-")
            numbers = [first]
            if last:
                numbers = [
                    str(n).zfill(len(first))
                    for n in range(int(first), int(last) + 1)
                ]
            hosts += [f"{prefix}{number}{suffix}" for number in numbers]
    return hosts


def _repeated(counts: str) -> list[int]:
    """Tasks of each node, as Slurm writes them.

    Example:

    >>> _repeated("2(x3),1")
    [2, 2, 2, 1]
    """
    return [
        int(count)
        for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", counts)
        for _ in range(int(times or 1))
    ]


def _wrong(what: str, received: str) -> UserError:
    return UserError(
        f"TF_CONFIG must {what}. Received: {received}. An example for two "
        f"workers: {_EXAMPLE}. Unset it to train on this host only."
    )
