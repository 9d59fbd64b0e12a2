"""The options of an experiment: each is declared here, and nowhere else."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deepfm_tf.experiment.options.arguments import (
    field_files,
    float_from_zero,
    hidden_units,
    names_among,
    path,
    positive_float,
    positive_int,
    share,
    split_field_file,
)
from deepfm_tf.experiment.options.continue_settings import ContinueSettings
from deepfm_tf.experiment.options.export_settings import ExportSettings
from deepfm_tf.files.layout import names_of_text
from deepfm_tf.options import option, switch
from deepfm_tf.presets import (
    LIKE_ADAM,
    PRECISIONS,
    PRESETS,
    SMALL_NORMAL,
    XAVIER,
    Preset,
    choose_preset,
    usual_rate,
)

if TYPE_CHECKING:
    from deepfm_tf import PreparedData

# The name of each in `deepfm_tf`, which imports TensorFlow for it.
MODELS = {
    "deepfm": "DeepFM",
    "fm": "FM",
    "wide_and_deep": "WideAndDeep",
    "nfm": "NFM",
    "logistic_regression": "LogisticRegression",
}
WITH_EMBEDDINGS = tuple(n for n in MODELS if n != "logistic_regression")
WITH_PYRAMID = tuple(n for n in WITH_EMBEDDINGS if n != "fm")
# Those of `deepfm_tf.OPTIMIZERS`; the lazy ones take `--l2-mode batch`.
LAZY_OPTIMIZERS = ("lazy_adam", "rowwise_adagrad", "lazy_ftrl")
OPTIMIZERS = (
    *LAZY_OPTIMIZERS,
    *("adam", "adagrad", "ftrl", "rmsprop", "sgd"),
)
ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu")
# As Keras knows them.
INITIALIZERS: dict[str, Any] = {
    "small": SMALL_NORMAL,
    "xavier": XAVIER,
    "normal": {"class_name": "RandomNormal", "config": {"stddev": 1e-4}},
}
# Examples at a time, where nothing is learnt from them.
_EVALUATED = 4096
_BY_PRESET = "by --preset"


_pyramid = functools.partial(
    option, group="model", decides="training", models=WITH_PYRAMID
)
_embedding = functools.partial(_pyramid, models=WITH_EMBEDDINGS)
_chosen = {"default_text": _BY_PRESET}
_training = functools.partial(option, group="training", decides="training")
_results = functools.partial(option, group="results")


@dataclasses.dataclass(kw_only=True)
class Settings(ExportSettings, ContinueSettings):
    """The options of an experiment."""

    field_options: ClassVar[tuple[str, ...]] = (
        *("encoded_fields", "slice_by", "context_fields"),
        *("freeze_embeddings", "embeddings"),
    )
    model: tuple[str, ...] = option(
        ("deepfm",),
        f"one or more of {', '.join(MODELS)}",
        names_among(tuple(MODELS), "model"),
        "NAME[,NAME]",
        group="model",
    )
    preset: str = _training(
        "default",
        "sets the options below that you do not give. "
        + "; ".join(f"{name}: {text}" for name, text in PRESETS.items()),
        choices=tuple(PRESETS),
        group="model",
    )
    auto: bool = switch(
        "train with several presets on the same data, stop the worse half "
        "twice, and keep the best on the validation data",
        group="model",
        decides="training",
    )
    embedding_dim: int | None = _embedding(
        None, "length of the latent vectors", positive_int, "K", **_chosen
    )
    hidden_units: tuple[int, ...] | None = _pyramid(
        None, "widths of the hidden layers", hidden_units, "N,N,N", **_chosen
    )
    dropout: float | None = _pyramid(
        None, "drop probability after each hidden layer", share, "P", **_chosen
    )
    batch_norm: bool | None = switch(
        (
            "use batch normalization after each hidden layer; "
            "--no-batch-norm switches it off"
        ),
        None,
        group="model",
        decides="training",
        models=WITH_PYRAMID,
        builds="batch_normalization",
        **_chosen,
    )
    activation: str = _pyramid(
        "relu", "of the hidden layers", choices=ACTIVATIONS
    )
    embedding_init: str | None = _embedding(
        None,
        "initial latent vectors: from Xavier's distribution, or from a "
        "normal one with standard deviation 0.01 (small) or 1e-4 (normal)",
        choices=tuple(INITIALIZERS),
        builds="embeddings_initializer",
        **_chosen,
    )
    embeddings: tuple[str, ...] = _embedding(
        (),
        "pretrained vectors for values of a field: a Parquet file with the "
        "columns value and vector, of length --embedding-dim; other values "
        "start from --embedding-init",
        field_files,
        "FIELD=FILE[,FIELD=FILE]",
    )
    freeze_embeddings: tuple[str, ...] = _embedding(
        (),
        "fields whose vectors are not trained (see --embeddings)",
        names_of_text,
        "A,B,C",
        argument="freeze_embeddings",
    )
    optimizer: str = _training(
        "lazy_adam",
        (
            "lazy_adam, rowwise_adagrad and lazy_ftrl update only the table "
            "rows of the values in a batch"
        ),
        choices=OPTIMIZERS,
    )
    precision: str = _training(
        "float32",
        "number format for the matrix products of the hidden layers in "
        "training (evaluation and exports are in float32); auto: "
        "mixed_bfloat16 if the hardware computes in bfloat16 and the first "
        "hidden layer is at least 200 wide, else float32",
        choices=PRECISIONS,
        argument="precision",
    )
    learning_rate: float | None = _training(
        None,
        "of the optimizer",
        positive_float,
        "RATE",
        argument="learning_rate",
        default_text=f"{_BY_PRESET} for Adam, else 0.01",
    )
    batch_size: int | None = _training(
        None,
        "examples per training step, over all replicas",
        positive_int,
        "N",
        **_chosen,
    )
    epochs: int = _training(
        30,
        "maximum number of passes through the training data",
        positive_int,
        "N",
        decides="results",
    )
    patience: int | None = _training(
        None,
        "stop after this many epochs without improvement on the validation "
        "data, and restore the best one",
        positive_int,
        "N",
        **_chosen,
    )
    average_weights: bool | None = switch(
        "restore the mean of the weights of the best epoch and of the later "
        "epochs that are not significantly worse; --no-average-weights "
        "restores the best one alone",
        None,
        group="training",
        decides="training",
        **_chosen,
    )
    monitor: str = _training(
        "log_loss",
        "validation metric that must improve",
        choices=("log_loss", "auc"),
    )
    embedding_l2: float | None = _training(
        None,
        "L2 penalty on embeddings and first-order weights (see --l2-mode); 0 "
        "for none",
        float_from_zero,
        "L",
        **_chosen,
    )
    l2_mode: str | None = _training(
        None,
        "table: penalize the whole table (L/2 times its squared norm); each "
        "step then reads and writes every row. batch: penalize only the rows "
        "of a batch, rarer ones more, at no extra cost",
        choices=("table", "batch"),
        default_text="batch with a lazy optimizer, else table",
    )
    clip_norm: float | None = _training(
        None,
        "maximum global norm of the gradients; larger ones are scaled down",
        positive_float,
        "N",
        argument="clip_norm",
    )
    reduce_lr: bool | None = switch(
        "divide the learning rate by 10 after --patience - 2 evaluations "
        "without improvement (at least 1); --no-reduce-lr keeps it constant",
        None,
        group="training",
        decides="training",
        **_chosen,
    )
    evaluate_every: int | None = _training(
        None,
        "evaluate every STEPS training steps; --patience, --reduce-lr and "
        "checkpoints count evaluations",
        positive_int,
        "STEPS",
        default_text="once an epoch; up to 4 times in one of 500 steps or more",
    )
    replicas: int | None = _training(
        None,
        (
            "copies of the model that share each batch, one per GPU; more "
            "than one on a CPU creates logical devices, to test it"
        ),
        positive_int,
        "N",
        decides="",
        default_text="every GPU, or one replica on a CPU",
        argument="num_replicas",
    )
    shard_tables: bool = switch(
        "distribute the rows of the table over several workers, instead of a "
        "copy on each (experimental; see pipelines/several_hosts.md)",
        group="training",
        argument="shard_tables",
    )
    resume: bool = switch(
        "continue the stopped run in the same --run",
        group="results",
        is_kept=False,
    )
    tensorboard: bool = switch("write TensorBoard logs", group="results")
    slice_by: tuple[str, ...] = _results(
        (),
        "also report the metrics for each value of these fields",
        names_of_text,
        "A,B,C",
    )
    group_by: str | None = _results(
        None,
        "add GAUC, the mean AUC within groups of test rows, such as the rows "
        "of a user; any column of the data",
        metavar="COLUMN",
        decides="results",
    )
    report: Path | None = _results(
        None,
        "write the results as JSON; if the name ends in .html, as a page "
        "with plots, and as JSON beside it",
        path,
        "FILE",
    )

    @property
    def kept(self) -> str:
        """What a stopped run leaves behind, in words."""
        return f"Every complete epoch is kept in {self.run}"

    @property
    def evaluation_batch_size(self) -> int:
        """Examples at a time, where nothing is learnt from them."""
        return self.batch_size or _EVALUATED

    def preset_for(
        self, name: str, train: PreparedData, preset_name: str | None = None
    ) -> Preset:
        """What a model is built and trained with: the preset and the options.

        Args:
            name: str. The model, of `MODELS`.
            train: the data to learn from.
            preset_name: str. Defaults to that of the options.
        """
        preset = choose_preset(
            *(MODELS[name], train.schema, train.num_rows),
            preset_name or self.preset,
            num_positives=train.num_positives,
        )
        given = {
            each.builds: getattr(self, each.name)
            for each in self.options.values()
            if each.builds in vars(preset)
            and each.name != "model"
            and getattr(self, each.name) is not None
        }
        if self.embedding_init is not None:
            given["embeddings_initializer"] = INITIALIZERS[self.embedding_init]
        if self.optimizer not in LIKE_ADAM:
            rate = usual_rate(preset.model, self.optimizer)
            given.setdefault("learning_rate", rate)
        if (
            self.embedding_l2 is not None
            or self.optimizer not in LAZY_OPTIMIZERS
        ):
            is_batch = self.embedding_l2 and self.has_batch_l2
            given["batch_l2"] = self.embedding_l2 if is_batch else None
            given["first_order_l2"] = None
        if self.origin is not None:
            # A further day is learnt from once, and to its end.
            given |= self.origin.built_with | {"evaluations": 1}
        return dataclasses.replace(preset, **given)

    @property
    def has_batch_l2(self) -> bool:
        """Whether `embedding_l2` is on the rows of a batch alone."""
        if self.l2_mode is None:
            return self.optimizer in LAZY_OPTIMIZERS
        return self.l2_mode == "batch"

    def fingerprint(self, data: dict[str, PreparedData]) -> str:
        """A digest of all that decides the course of the training."""
        lines = self._deciding("training")
        # What the presets say may change from version to version.
        lines += [repr(self.preset_for(name, data["train"])) for name in MODELS]
        lines += [part.fingerprint for part in data.values()]
        for each in self.embeddings:
            content = Path(split_field_file(each)[1]).read_bytes()
            lines.append(hashlib.blake2b(content).hexdigest())
        return hashlib.blake2b(
            "\n".join(lines).encode(), digest_size=16
        ).hexdigest()

    def results_fingerprint(self, data: dict[str, PreparedData]) -> str:
        """The same, and all that decides the results of a training."""
        return " ".join([self.fingerprint(data), *self._deciding("results")])

    def _deciding(self, what: str) -> list[str]:
        return sorted(
            f"{each.name}={getattr(self, each.name)!r}"
            for each in self.options.values()
            if each.decides == what
        )
