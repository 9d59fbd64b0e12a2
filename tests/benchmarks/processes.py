"""The driver's side of the protocol: processes that run one at a time."""

import dataclasses
import json
import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.environments import python_of
from tests.benchmarks.machine import ROOT


@dataclasses.dataclass(frozen=True)
class Implementation:
    """How one contender is started.

    Args:
        module: of `tests.benchmarks.peers`.
        copies: of the tables that are in memory at its peak, as measured:
            the tables, Adam's two slots, a dense gradient, what building
            takes.
        environment: of `ENVIRONMENTS`; None is the one this runs in.
        policy: Keras's dtype policy, or what a peer has for it.
        kernels: of ours: see `DEEPFM_TF_KERNELS`.
        optimizer: of ours; None is the case's.
    """

    module: str
    copies: float
    environment: str | None = None
    policy: str = "float32"
    kernels: str = "auto"
    optimizer: str | None = None

    @property
    def is_peer(self) -> bool:
        """Whether it is somebody else's, and the whole model."""
        return self.module not in ("ours", "dense_only")


IMPLEMENTATIONS = {
    "ours": Implementation("ours", 3.3),
    "ours_without_kernels": Implementation("ours", 3.3, kernels="off"),
    "ours_bfloat16": Implementation("ours", 3.3, policy="mixed_bfloat16"),
    "ours_rowwise": Implementation("ours", 2, optimizer="rowwise_adagrad"),
    "dense_only": Implementation("dense_only", 0),
    "dense_only_bfloat16": Implementation(
        "dense_only", 0, policy="mixed_bfloat16"
    ),
    "plain_keras": Implementation("plain_keras", 5.5),
    "plain_keras_bfloat16": Implementation(
        "plain_keras", 5.5, policy="mixed_bfloat16"
    ),
    "plain_keras_embedded": Implementation("plain_keras_embedded", 5.5),
    "keras_rs": Implementation("keras_rs", 5.5, "keras-rs"),
    "deepctr": Implementation("deepctr", 5.5, "deepctr"),
    "torch_sparse": Implementation("torch_sparse", 3, "torch"),
    "torch_joint": Implementation("torch_joint", 3, "torch"),
    "torch_joint_bfloat16": Implementation(
        "torch_joint", 3, "torch", policy="mixed_bfloat16"
    ),
    "fbgemm": Implementation("fbgemm", 2, "fbgemm"),
    "fbgemm_bfloat16": Implementation(
        "fbgemm", 2, "fbgemm", policy="mixed_bfloat16"
    ),
    "jax_joint": Implementation("jax_joint", 4, "jax"),
    "deepctr_torch": Implementation("deepctr_torch", 5.5, "torch"),
    "fuxictr": Implementation("fuxictr", 5.5, "torch"),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """One implementation at one size; the settings a worker is given."""

    implementation: str
    vocabulary: int
    hidden_units: tuple[int, ...] = (400, 400, 400)
    optimizer: str = "lazy_adam"
    embedding_dim: int = 10
    batch_size: int = 4096
    num_batches: int = 32
    learning_rate: float = 0.001
    warm_up: float = 4.0

    @property
    def label(self) -> str:
        """Implementation, vocabulary and pyramid in a few words."""
        units = "-".join(map(str, self.hidden_units))
        return f"{self.implementation} V={self.vocabulary:.0e} {units}"

    @property
    def expected_gib(self) -> float:
        """About what the process needs at its peak."""
        copies = IMPLEMENTATIONS[self.implementation].copies
        row_bytes = 4 * (self.embedding_dim + 1)
        return 1.0 + copies * row_bytes * self.vocabulary / 2**30


class WorkerFailed(Exception):
    """A worker ended, or did not answer in time."""


class Worker:
    """A process that trains when told to, and is frozen otherwise.

    Args:
        case: what to build.
        directory: of environments; what the process prints goes to `logs`
            in it.

    Raises:
        WorkerFailed: its environment cannot be made.
    """

    def __init__(self, case: Case, directory: Path) -> None:
        implementation = IMPLEMENTATIONS[case.implementation]
        try:
            python = python_of(implementation.environment, directory)
        except RuntimeError as error:
            raise WorkerFailed(str(error)) from error
        logs = directory / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self._log = logs / f"{case.label.replace(' ', '_')}.txt"
        module = f"tests.benchmarks.peers.{implementation.module}"
        environ = os.environ | {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "CUDA_VISIBLE_DEVICES": "-1",
            "DEEPFM_TF_KERNELS": implementation.kernels,
        }
        answers, end = os.pipe()
        self._answers = os.fdopen(answers, encoding="utf-8")
        with open(self._log, "w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [python, "-m", module, str(end)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(end,),
                cwd=ROOT,
                env=environ,
                text=True,
            )
        os.close(end)
        settings = dataclasses.asdict(case) | {"policy": implementation.policy}
        if implementation.optimizer is not None:
            settings["optimizer"] = implementation.optimizer
        self._tell(settings)

    def wait_until_ready(self, timeout: float = 900) -> dict[str, Any]:
        """What was built, once it is warm; the worker is frozen then."""
        facts = self._hear(timeout)
        self._signal(signal.SIGSTOP)
        return facts

    def run(self, seconds: float, timeout: float = 600) -> dict[str, Any]:
        """Let it train for some seconds, and freeze it again.

        Returns:
            The worker's answer, and `other_cores`: how many cores were busy
            with something else meanwhile, or taken by the hypervisor.
        """
        begin, others = time.perf_counter(), self._others_seconds()
        self._signal(signal.SIGCONT)
        self._tell({"seconds": seconds})
        answer = self._hear(timeout)
        self._signal(signal.SIGSTOP)
        others = self._others_seconds() - others
        return answer | {"other_cores": others / (time.perf_counter() - begin)}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()
        self._answers.close()

    def _others_seconds(self) -> float:
        """CPU seconds since boot of everything but the worker."""
        with open("/proc/stat", encoding="utf-8") as file:
            times = [int(word) for word in file.readline().split()[1:9]]
        # All but idle and waiting for a disk; the last one is the steal.
        busy = sum(times) - times[3] - times[4]
        if self._process.poll() is None:
            path = Path(f"/proc/{self._process.pid}/stat")
            # After the name, which may hold blanks, state is the first.
            words = path.read_text().rpartition(")")[2].split()
            busy -= int(words[11]) + int(words[12])
        return busy / os.sysconf("SC_CLK_TCK")

    def _tell(self, message: dict[str, Any]) -> None:
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            # Its end is seen when an answer is waited for.
            pass

    def _hear(self, timeout: float) -> dict[str, Any]:
        ready, _, _ = select.select([self._answers], [], [], timeout)
        line = self._answers.readline() if ready else ""
        if line:
            return json.loads(line)
        if ready:
            ending = f"it ended with status {self._process.wait()}"
        else:
            ending = f"it did not answer within {timeout:.0f} s"
        self.close()
        last = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        raise WorkerFailed(f"{ending}: {' / '.join(last)[-600:]}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
