"""The model of earlier days that a run goes on with, and where it is."""

from __future__ import annotations

import dataclasses
import functools
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import deepfm_tf
from deepfm_tf.errors import UserError
from deepfm_tf.experiment.run_folder.config_file import read_config
from deepfm_tf.experiment.run_folder.files import RUN_FILE

# Beside a model: digests of all files that it was trained on.
TRAINED_FILE = "trained_files.json"
_STATE_FILE = "state.json"
_GRAPH_FILE = "saved_model.pb"
_CARD_FILE = Path("assets.extra") / "model_card.json"


@dataclasses.dataclass(frozen=True)
class Origin:
    """A model to go on with.

    Args:
        path: the folder of a run's model, or of an exported version.
        run: the folder of the run, with its options; None of an export.
        model_class: str. Its class in `deepfm_tf`.
        arguments: of its constructor, by name.
        batch_l2, first_order_l2: float or None. Of its optimizer.
        known: values of options that an export knows of: `label`, perhaps
            `example_weight`, and what the next version is to be like.
        trained_files: digests of the files that it was trained on, as far as
            they are known; that of the last one at the end.
    """

    path: Path
    run: Path | None
    model_class: str
    arguments: Mapping[str, Any]
    batch_l2: float | None = None
    first_order_l2: float | None = None
    known: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    trained_files: Sequence[str] = ()

    @classmethod
    def of(cls, path: Path) -> Origin:
        """What is in a folder.

        Args:
            path: of a model's run, of a run of one model, or of an exported
                version.

        Raises:
            UserError: nothing that can be gone on with.
        """
        path = _folder(path)
        if (path / _GRAPH_FILE).is_file():
            card = _read_json(path, _CARD_FILE)
            own = card["model"]
            return cls(
                *(path, None, own["class"], own["config"]),
                known=_told_by(card, path),
                trained_files=card["training_data"].get("files", ()),
            )
        state = _read_json(path, _STATE_FILE)
        file = path / (state.get("model") or state["checkpoint"])
        config = _read_config(file)
        if not config.get("compile_config"):
            raise UserError(
                f"--continue-from {path}: {file.name} holds no optimizer "
                "state. Train it from scratch, or continue from an exported "
                "version of it, whose optimizer state starts from zero."
            )
        folders = [f for f in path.parents if (f / RUN_FILE).is_file()]
        if not folders:
            raise UserError(
                f"--continue-from {path}: there is no {RUN_FILE} in "
                f"{path.parent}, which says how the model was trained. Name "
                "the folder of a model that deepfm-tf train has trained, or "
                "an exported version."
            )
        # Known now; to be read after the new data have been prepared.
        name = state["best_checkpoint"] or state["checkpoint"]
        shared = state.get("shared", {}).get(name, {}).get("files", ())
        for each in (name, *shared):
            if not (path / each).is_file():
                raise UserError(
                    f"--continue-from {path}: {each} is missing, which holds "
                    "weights of the model. Bring it back, name another "
                    "folder, or train from scratch."
                )
        optimizer = config["compile_config"]["optimizer"]["config"]
        return cls(
            *(path, folders[0], config["class_name"], config["config"]),
            optimizer.get("batch_l2"),
            optimizer.get("first_order_l2"),
            trained_files=_read_json(path, TRAINED_FILE)
            if (path / TRAINED_FILE).is_file()
            else (),
        )

    @property
    def built_with(self) -> dict[str, Any]:
        """What the model is, of the attributes of a `deepfm_tf.Preset`."""
        names = (
            *("embedding_dim", "hidden_units", "dropout"),
            *("batch_normalization", "embeddings_initializer"),
        )
        built = {n: self.arguments[n] for n in names if n in self.arguments}
        if "hidden_units" in built:
            built["hidden_units"] = tuple(built["hidden_units"])
        if self.run is None:
            return built
        l2 = ("batch_l2", "first_order_l2")
        return built | {name: getattr(self, name) for name in l2}

    @functools.cached_property
    def vocabulary(self) -> deepfm_tf.Vocabulary:
        """The vocabulary that the model was made for."""
        if self.run is None:
            return deepfm_tf.Vocabulary.load(self.path)
        folder = self.prepared_folder / "train" / "vocabulary"
        vocabulary = deepfm_tf.Vocabulary.load(folder)
        schema = deepfm_tf.Schema.from_dict(self.arguments["schema"])
        if schema.to_dict() != vocabulary.schema.to_dict():
            raise UserError(
                f"--continue-from {self.path}: {folder} must hold the "
                "vocabulary that the model was trained with. Received "
                "another one: the data there were prepared anew since. Go on "
                "with an exported version of the model, which has its own."
            )
        if self.trained_files:  # of the model, whoever prepared the data
            vocabulary.files_of_days = [self.trained_files]
        return vocabulary

    @property
    def prepared_folder(self) -> Path:
        """Where the run has prepared its data."""
        given = self.options.get("prepared")
        return Path(given) if given else Path(str(self.run)) / "prepared"

    @functools.cached_property
    def options(self) -> Mapping[str, Any]:
        """The options of the run, as its file has them; none of an export."""
        return {} if self.run is None else read_config(self.run / RUN_FILE)

    def grow(self, vocabulary: deepfm_tf.Vocabulary) -> deepfm_tf.CTRModel:
        """The model for a vocabulary that grew from its own.

        Args:
            vocabulary: of the new training data.

        Returns:
            The model, compiled as it was; not compiled if it is an export's.
        """
        model: Any = self.path
        if self.run is not None:
            model, _ = deepfm_tf.load_checkpoint(self.path, best=True)
        return deepfm_tf.grow_model(model, vocabulary, self.vocabulary)

    def told(self, vocabulary: deepfm_tf.Vocabulary) -> str:
        """A sentence on what is gone on with.

        Args:
            vocabulary: of the new training data.
        """
        before, now = (
            sum(each.schema.vocabulary_sizes)
            for each in (self.vocabulary, vocabulary)
        )
        text = (
            f"Continues the model of {self.path}: {now:,} table rows, before "
            f"{before:,}."
        )
        if self.run is None:
            text += (
                " Its optimizer state and its counts of values start from "
                "zero, because an export keeps neither."
            )
        return text


def versions_in(path: Path) -> list[Path]:
    """The exported versions in a model's folder, the newest last."""
    found = [f for f in path.glob("*") if f.name.isdecimal()]
    return sorted(
        (f for f in found if (f / _GRAPH_FILE).is_file()),
        key=lambda f: int(f.name),
    )


def _told_by(card: Mapping[str, Any], version: Path) -> dict[str, Any]:
    """The options that a version tells: what it takes, what the next one is.

    Where it lies with others the next one joins them, with the same
    signatures: what sends requests to them must go on to do so.
    """
    known = {
        name: card["schema"][name]
        for name in ("label", "example_weight")
        if name in card["schema"]
    }
    if not version.name.isdecimal():
        return known
    warm_up, dtype = card["warm_up"], card["table"]["dtype"]
    known |= {
        "export": str(version.parent),
        "context_fields": card["context_fields"],
        "explain": card["explain"] is not None,
    }
    if dtype != "float32":
        known["table_dtype"] = dtype
    if card["calibration"]:
        known["calibration"] = card["calibration"]["method"]
    if warm_up["rows"]:
        known["warm_up_rows"] = warm_up["rows"]
        is_ranked = "rank" in warm_up["signatures"]
        known["no_rank_warm_up"] = bool(card["context_fields"]) > is_ranked
    return known


def _folder(path: Path) -> Path:
    """The folder of a model, where one of several models is meant."""
    if not path.is_dir():
        raise UserError(
            f"--continue-from {path}: there is no such folder. Name that of a "
            "model of a run, such as runs/train/deepfm, or an exported version."
        )
    if (path / _STATE_FILE).is_file() or (path / _GRAPH_FILE).is_file():
        return path
    versions = versions_in(path)
    if versions:
        # Not the newest unasked: the next run would go on with another one.
        raise UserError(
            f"--continue-from {path}: must name one version. Give the newest, "
            f"{versions[-1]}, or an older one."
        )
    models = sorted(
        state.parent
        for pattern in ("", "*/", "*/*/")  # those of --auto lie deeper
        for state in path.glob(f"{pattern}*/{_STATE_FILE}")
    )
    if len(models) != 1:
        found = ", ".join(map(str, models))
        raise UserError(
            f"--continue-from {path}: there must be one model to continue. "
            + (f"Name one of these: {found}." if found else _NOTHING)
        )
    return models[0]


_NOTHING = (
    "Received: a folder without one, or whose first epoch was not finished. "
    "Name the folder of a model of a run, such as runs/train/deepfm, or an "
    "exported version, such as saved_models/clicks/1."
)


def _read_json(folder: Path, name: str | Path) -> Any:
    try:
        return json.loads((folder / name).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"--continue-from {folder}: {name} cannot be read ({error}). Name "
            "another folder, or train from scratch."
        ) from error


def _read_config(file: Path) -> dict[str, Any]:
    """The class, the arguments and the compilation that a file tells."""
    try:
        if file.suffix == ".json":
            text = file.read_bytes()
        else:  # .keras
            with zipfile.ZipFile(file) as archive:
                text = archive.read("config.json")
        config: dict[str, Any] = json.loads(text)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(
            f"--continue-from {file.parent}: {file.name} cannot be read "
            f"({error}). Name another folder, or train from scratch."
        ) from error
    return config
