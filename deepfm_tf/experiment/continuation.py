"""Going on with the model of earlier days, on the data of a new one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepfm_tf.cluster import read_cluster
from deepfm_tf.errors import UserError
from deepfm_tf.experiment.options.config import (
    differences,
    key_of,
    values_of_config,
)
from deepfm_tf.experiment.options.continue_settings import CONTINUE
from deepfm_tf.experiment.options.settings import MODELS
from deepfm_tf.experiment.run_folder.config_file import read_config
from deepfm_tf.experiment.run_folder.files import RUN_FILE, is_begun
from deepfm_tf.experiment.run_folder.origin import Origin
from deepfm_tf.options import Option

if TYPE_CHECKING:
    from deepfm_tf.experiment.options.settings import Settings

# What the vocabulary decides.
_OF_FIELDS = (
    *("categorical", "ignore", "min_count", "missing", "positive_label"),
    *("negative_label", "encodings", "encoded_fields"),
)
# What another day has another of, or what was for the first one alone.
_NOT_CARRIED = (
    *("train", "valid", "test", "run", "prepared", "report", "slice_by"),
    *("auto", "embeddings", "schema_file", *_OF_FIELDS, "continue_from"),
    "out_of_order",
)
# What a model that is trained already was trained with, besides the options
# of the group "model"; an export does not keep the optimizer.
_OF_OPTIMIZER = ("optimizer", "embedding_l2", "l2_mode", "clip_norm")
_OF_MODEL = ("negative_sampling", "precision")


def carried(path: Path, options: Mapping[str, Option]) -> dict[str, Any]:
    """What an earlier run says of the options of one that goes on with it.

    Args:
        path: what `--continue-from` names.
        options: those that the command takes.

    Returns:
        As `read_config`.
    """
    origin = Origin.of(path)
    keys = {
        key_of(each): name
        for name, each in options.items()
        if each.is_kept and name not in _NOT_CARRIED
    }
    content = {k: v for k, v in origin.options.items() if k in keys}
    content |= _known(origin)
    return {k: v for k, v in content.items() if k in keys}


def check(settings: Settings) -> None:
    """Raise UserError for what does not go with going on.

    Args:
        settings: the options.
    """
    origin = settings.origin
    if origin is None:
        for name in CONTINUE[1:]:
            if getattr(settings, name):
                raise UserError(
                    f"{settings.options[name].flag} must come with "
                    "--continue-from: it removes values of that model."
                )
        return
    told = f"--continue-from {settings.continue_from}"
    cluster = read_cluster()
    if cluster.num_workers > 1:
        raise UserError(
            f"{told} trains on one host, but {cluster.source} names "
            f"{cluster.num_workers} workers. Set TF_CONFIG='{{}}' for it."
        )
    for option, new, old in (
        ("--run", settings.run, origin.run),
        (
            "--prepared",
            settings.prepared_folder,
            origin.run and origin.prepared_folder,
        ),
    ):
        if old is not None and new.resolve() == Path(old).resolve():
            raise UserError(
                f"{option} {new} is the folder of the run that {told} "
                "continues, and would be overwritten. Give another one with "
                f"{option}."
            )
    if not settings.resume and is_begun(settings.run):
        _check_same_run(settings, told)
    if settings.auto:
        raise UserError(
            f"--auto trains new models, but {told} continues an existing "
            "one. Leave out one of the two."
        )
    _check_fields(settings, origin, told)
    before, names = _of_model(settings, origin)
    options = {n: each for n, each in settings.options.items() if n in names}
    changes = differences(settings, before, options)
    if changes:
        raise UserError(
            f"{told} keeps the model and its optimizer as they are. What "
            f"differs: {', '.join(changes)}. Leave it out, or train from "
            "scratch, without --continue-from."
        )


def _check_same_run(settings: Settings, told: str) -> None:
    """Another run is not replaced; the same one, begun anew, is."""
    before = read_config(settings.run / RUN_FILE)
    origin = before.get("continue_from", "")
    files = before.get("train", [])
    if (
        Path(origin).resolve() == Path(str(settings.continue_from)).resolve()
        and origin
        and files == list(settings.train)
    ):
        return
    own = f"--train {' '.join(files)}"
    own += f" --continue-from {origin}" if origin else ", from scratch"
    raise UserError(
        f"--run {settings.run} must be a new folder, or that of the same run "
        f"of {told}. Received: that of a run of {own}, which would be "
        "replaced. Give another folder with --run, or remove this one."
    )


def _known(origin: Origin) -> dict[str, Any]:
    """The options that the model itself tells, whatever run trained it."""
    names = {kind: name for name, kind in MODELS.items()}
    if origin.model_class not in names:
        raise UserError(
            f"--continue-from {origin.path}: the model must be one of "
            f"{', '.join(MODELS.values())}. Received: {origin.model_class}. "
            "Continue it in Python: deepfm_tf.grow_model."
        )
    arguments = origin.arguments
    return {
        "model": names[origin.model_class],
        "negative_sampling": arguments["negative_sampling"],
        "precision": arguments["dtype"],
        **origin.known,
    }


def _of_model(
    settings: Settings, origin: Origin
) -> tuple[dict[str, Any], set[str]]:
    """What decides the model that there is, and the names of these options."""
    names = {
        name
        for name, each in settings.options.items()
        if each.group == "model" or name in _OF_MODEL
    } - {"auto"}
    before = {n: settings.options[n].default for n in names}
    if origin.run is not None:
        names |= set(_OF_OPTIMIZER)
        options = {n: settings.options[n] for n in names}
        keys = {key_of(each) for each in options.values()}
        content = {k: v for k, v in origin.options.items() if k in keys}
        path = origin.run / RUN_FILE
        before |= values_of_config(content, path, options)
    known = _known(origin)
    before |= {name: known[name] for name in _OF_MODEL}
    before |= {"model": (known["model"],), "embeddings": ()}
    return before, names


def _check_fields(settings: Settings, origin: Origin, told: str) -> None:
    """Raise UserError for options that would make other fields."""
    vocabulary = origin.vocabulary
    for name in _OF_FIELDS:
        declared = settings.options[name]
        default = settings.recipe.defaults.get(name, declared.default)
        if getattr(settings, name) != default:
            raise UserError(
                f"{declared.flag} decides the fields, but {told} keeps those "
                f"of its model. Leave out {declared.flag}, or train from "
                "scratch."
            )
    for name in ("label", "example_weight"):
        given, known = getattr(settings, name), getattr(vocabulary.schema, name)
        if given != known:
            raise UserError(
                f"{settings.options[name].flag} must be {known}, as in the "
                f"model of {told}. Received: {given}. Leave it out, or train "
                "from scratch."
            )
    if settings.schema_file is not None:
        # Here, as that module imports pandas, which `--help` must not.
        from deepfm_tf.experiment.inputs import load_schema

        try:
            vocabulary.check_fields(load_schema(settings.schema_file))
        except UserError as error:
            raise UserError(
                f"--schema {settings.schema_file}: {error}"
            ) from error
    vocabulary.check_may_change()
