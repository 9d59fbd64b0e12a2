"""The rooms of the package, and which of them may import which."""

import ast
import dataclasses
import functools
import graphlib
import inspect
import re
from pathlib import Path

import pytest

import deepfm_tf

ROOT = Path(__file__).parents[1]
# Room -> what it may import of ours, and of third parties.
DOORS = {
    "cpus": ((), ()),
    "storage": (("storage",), ()),
    "backend": ((), ("keras",)),
    "version": ((), ()),
    "arrays": ((), ("numpy",)),
    "errors": ((), ()),
    "shell": ((), ()),
    "cluster": ((), ()),
    # How its workers find each other.
    "meeting": (("cluster",), ()),
    "strategies": (
        ("cluster", "copies", "meeting", "native", "row_shards"),
        ("numpy", "tensorflow"),
    ),
    "options": ((), ()),
    "seeds": ((), ()),
    "timestamps": ((), ("numpy", "pyarrow")),
    "extras": (("shell",), ()),
    "fields": (("fields",), ()),
    "packed_layout": (("fields",), ("numpy",)),
    # TensorFlow for its string hash alone: serving must hash alike.
    "vocabulary": (
        (
            "columns",
            "fields",
            "metrics",
            "raw_values",
            "schema",
            "text_arrays",
            "timestamps",
            "vocabulary",
        ),
        ("numpy", "pyarrow", "tensorflow"),
    ),
    "text_arrays": ((), ("numpy", "pyarrow", "xxhash")),
    "raw_values": (("fields", "raw_values"), ("numpy", "pandas", "pyarrow")),
    "schema": (("fields", "html_table", "schema", "text_table"), ()),
    # How a model is built and trained unless told.
    "presets": (("schema",), ()),
    "text_table": ((), ()),
    "html_table": (("text_table",), ()),
    "columns": ((), ("numpy", "pyarrow")),
    "counting": (
        (
            "counting",
            "drift",
            "fields",
            "raw_values",
            "schema",
            "text_arrays",
            "vocabulary",
        ),
        ("numpy", "pyarrow"),
    ),
    # How much of other data is unlike the training data.
    "shares": ((), ()),
    "drift": (
        (
            "drift",
            "fields",
            "packed_layout",
            "raw_values",
            "shares",
            "timestamps",
            "vocabulary",
        ),
        ("numpy", "pyarrow"),
    ),
    "lookup": (
        (
            "fields",
            "lookup",
            "packed_layout",
            "raw_values",
            "schema",
            "text_arrays",
            "timestamps",
            "vocabulary",
        ),
        ("numpy", "tensorflow"),
    ),
    # What `layers` and `optimizers` both need of TensorFlow itself.
    "kernels": ((), ("tensorflow",)),
    # Tables whose rows several workers share out.
    "row_shards": (("kernels",), ("numpy", "tensorflow")),
    "copies": (("kernels", "row_shards"), ("numpy", "tensorflow")),
    # The private names of both.
    "keras_internals": (("kernels",), ("keras", "tensorflow")),
    # Kernels of our own; built, and found again, without TensorFlow's import.
    "native": (
        ("keras_internals", "kernels", "native", "native.cache"),
        ("numpy", "tensorflow"),
    ),
    "native.cache": ((), ()),
    "native.build": (("native", "native.cache", "storage"), ("tensorflow",)),
    "native.command": (("backend", "native.build", "options"), ()),
    "layers.table": (
        ("keras_internals", "kernels", "layers.table", "native", "row_shards"),
        ("keras", "numpy", "tensorflow"),
    ),
    "layers": (
        (
            "keras_internals",
            "kernels",
            "layers",
            "layers.table",
            "native",
            "row_shards",
        ),
        ("keras", "numpy", "tensorflow"),
    ),
    "optimizers": (
        ("keras_internals", "kernels", "native", "optimizers", "row_shards"),
        ("keras", "numpy", "tensorflow"),
    ),
    "models": (
        (
            "fields",
            "files",
            "keras_internals",
            "kernels",
            "layers",
            "layers.table",
            "models",
            "packed_layout",
            "presets",
            "raw_values",
            "schema",
        ),
        ("keras", "numpy", "pyarrow"),
    ),
    "files": (
        ("files", "options", "raw_values", "storage"),
        ("numpy", "pandas", "pyarrow"),
    ),
    "data.reading": (
        (
            "cpus",
            "data.reading",
            "drift",
            "fields",
            "files",
            "raw_values",
            "schema",
            "seeds",
            "storage",
            "timestamps",
            "vocabulary",
        ),
        ("numpy", "pyarrow", "tqdm"),
    ),
    "data.prepared": (
        (
            "data.prepared",
            "data.reading",
            "drift",
            "files",
            "packed_layout",
            "schema",
            "seeds",
            "strategies",
            "vocabulary",
        ),
        ("numpy", "tensorflow", "xxhash"),
    ),
    "data.preparing": (
        (
            "counting",
            "data.prepared",
            "data.preparing",
            "data.reading",
            "drift",
            "files",
            "schema",
            "storage",
            "vocabulary",
        ),
        ("numpy",),
    ),
    "data": (
        (
            "counting",
            "cpus",
            "data",
            "data.prepared",
            "data.preparing",
            "data.reading",
            "drift",
            "fields",
            "files",
            "lookup",
            "packed_layout",
            "raw_values",
            "schema",
            "seeds",
            "shell",
            "storage",
            "strategies",
            "timestamps",
            "vocabulary",
        ),
        ("numpy", "pandas", "pyarrow", "tensorflow", "tqdm", "xxhash"),
    ),
    "metrics": (("metrics", "seeds"), ("numpy",)),
    "calibration": (
        ("calibration", "extras", "metrics"),
        ("numpy", "sklearn", "tensorflow"),
    ),
    "slicing": (("fields", "metrics", "schema"), ("numpy",)),
    "evaluation": (
        (
            "drift",
            "html_table",
            "keras_internals",
            "metrics",
            "models",
            "packed_layout",
            "slicing",
        ),
        ("keras", "numpy"),
    ),
    "explain": (
        (
            "cpus",
            "explain",
            "extras",
            "fields",
            "html_table",
            "kernels",
            "metrics",
            "models",
            "packed_layout",
            "schema",
            "seeds",
            "text_table",
        ),
        ("keras", "matplotlib", "numpy", "pyarrow", "tensorflow", "tqdm"),
    ),
    "report": (
        ("drift", "explain", "html_table", "metrics", "report", "text_table"),
        ("matplotlib", "numpy"),
    ),
    "callbacks": (
        (
            "callbacks",
            "cluster",
            "evaluation",
            "extras",
            "keras_internals",
            "kernels",
            "layers",
            "layers.table",
            "metrics",
            "models",
            "row_shards",
            "storage",
            "strategies",
        ),
        ("keras", "numpy"),
    ),
    "losses": ((), ("keras", "tensorflow")),
    "training": (
        (
            "cpus",
            "losses",
            "models",
            "native",
            "optimizers",
            "presets",
            "seeds",
        ),
        ("keras", "tensorflow"),
    ),
    # Rows that no step has touched, by the state of the optimizer.
    "pruning": (
        ("copies", "models", "packed_layout", "row_shards", "vocabulary"),
        ("numpy",),
    ),
    # Tomorrow's vocabulary and model.
    "growth": (
        ("export", "fields", "models", "optimizers", "vocabulary"),
        ("keras", "numpy", "pyarrow"),
    ),
    "export": (
        (
            "calibration",
            "drift",
            "explain",
            "export",
            "fields",
            "kernels",
            "lookup",
            "metrics",
            "models",
            "packed_layout",
            "pruning",
            "raw_values",
            "schema",
            "storage",
            "vocabulary",
        ),
        ("keras", "numpy", "pyarrow", "tensorflow", "tensorflow_serving"),
    ),
    # What serves knows SavedModels and gRPC, no model class: it serves
    # anybody's. The client knows nothing of the server.
    "serving": (
        ("serving",),
        ("google", "grpc", "numpy", "tensorflow", "tensorflow_serving"),
    ),
    "serving.__init__": (("serving.client",), ()),
    "serving.__main__": (
        (
            "backend",
            "extras",
            "serving",
            "serving.client",
            "serving.server",
            "shell",
        ),
        (),
    ),
    "serving.client": (
        (
            "backend",
            "files",
            "options",
            "raw_values",
            "serving",
            "serving.client",
            "shares",
        ),
        (
            "grpc",
            "numpy",
            "pandas",
            "pyarrow",
            "tensorflow",
            "tensorflow_serving",
            "tqdm",
        ),
    ),
    # It writes files for the real server, and knows neither room.
    "serving.config_command": (("options", "shell"), ()),
    "serving.engine": (
        ("serving", "serving.engine"),
        ("google", "grpc", "numpy", "tensorflow", "tensorflow_serving"),
    ),
    "serving.versions": (
        ("serving", "serving.engine", "serving.versions"),
        ("grpc", "tensorflow_serving"),
    ),
    "serving.rest": (
        ("serving", "serving.engine", "serving.rest"),
        ("google", "grpc", "numpy", "tensorflow", "tensorflow_serving"),
    ),
    "serving.server": (
        (
            "cpus",
            "serving",
            "serving.engine",
            "serving.rest",
            "serving.server",
            "serving.versions",
        ),
        (
            "google",
            "grpc",
            "grpc_health",
            "prometheus_client",
            "starlette",
            "tensorflow_serving",
            "uvicorn",
        ),
    ),
    # One experiment after the other; it knows the package by its public face,
    # and what a command needs before TensorFlow is imported.
    "experiment.run_folder": (
        ("", "experiment.run_folder", "storage"),
        ("tomli",),
    ),
    "experiment.options": (
        (
            "",
            "experiment.options",
            "experiment.run_folder",
            "fields",
            "files",
            "options",
            "presets",
            "storage",
        ),
        ("pandas",),
    ),
    "experiment.fitting": (
        (
            "",
            "cluster",
            "experiment.options",
            "experiment.run_folder",
            "storage",
        ),
        ("numpy",),
    ),
    "experiment.conclusions": (
        (
            "",
            "experiment.conclusions",
            "experiment.fitting",
            "experiment.options",
        ),
        ("numpy",),
    ),
    "experiment": (
        (
            "",
            "backend",
            "cluster",
            "experiment",
            "experiment.conclusions",
            "experiment.fitting",
            "experiment.options",
            "experiment.run_folder",
            "extras",
            "fields",
            "files",
            "options",
            "presets",
            "schema",
            "seeds",
            "shell",
            "storage",
        ),
        ("distributed", "numpy", "optuna", "pandas", "tomli"),
    ),
    "experiment.studies": (
        (
            "",
            "experiment",
            "experiment.conclusions",
            "experiment.fitting",
            "experiment.options",
            "experiment.run_folder",
            "experiment.studies",
            "storage",
        ),
        ("numpy", "optuna"),
    ),
    "__main__": ((), ()),
}
# tomllib came with Python 3.11; 3.10 has tomli.
STDLIB = __import__("sys").stdlib_module_names | {"tomllib"}
SOURCES = sorted((ROOT / "deepfm_tf").rglob("*.py"))
TESTS = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if "benchmarks" not in path.parts
]
RECIPES = sorted((ROOT / "pipelines").glob("*.py"))
# What runs experiments, as recipes do.
USERS = sorted((ROOT / "deepfm_tf" / "experiment").rglob("*.py"))
# Tests of no one file: of the whole package, of a served model as a whole.
CROSSING = {"architecture", "conformance", "pages", "planted_pairs"}
CROSSING |= {"fresh_process", "gpu_kernels"}
CROSSING |= {"contract_grpc", "contract_rest", "contract_values"}
CROSSING |= {"contract_versions", "hot_swap", "several_workers"}
# What gets at an attribute by its name.
PATCHES = {"setattr", "getattr", "hasattr", "delattr", "object"}
FACE = re.compile(r"deepfm_tf(\.\w+)+")
PRIVATE = re.compile(r"_[a-z]\w*|__internal__")
# Calls that wait; without an argument, or a keyword, for ever.
WAITS = {"join", "wait", "acquire", "communicate"}
COMMANDS = {"run", "call", "check_call", "check_output"}


@dataclasses.dataclass
class Facts:
    """What the tests below ask of a file."""

    # Every module that it imports, inside functions too.
    imports: set = dataclasses.field(default_factory=set)
    # Private attributes that it uses, and the names that it defines.
    private: set = dataclasses.field(default_factory=set)
    defined: set = dataclasses.field(default_factory=set)
    # What it takes from, or patches in, something other than itself.
    of_others: set = dataclasses.field(default_factory=set)
    # What it takes of the package: "Schema", "metrics", "metrics.auc".
    of_the_package: set = dataclasses.field(default_factory=set)
    # The classes of the exceptions that it makes.
    raised: set = dataclasses.field(default_factory=set)
    # Where it may wait for ever.
    waits: list = dataclasses.field(default_factory=list)


def is_own(node):
    """Whether it is `self`, `cls` or `super()`."""
    if isinstance(node, ast.Call) and not node.args:
        node = node.func
        return isinstance(node, ast.Name) and node.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def dotted(node):
    """`a.b.c` as a text; "" if it is none. `ast.unparse` takes seconds."""
    names = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return ""
    return ".".join((node.id, *reversed(names)))


def patched_names(node):
    """The last names in the texts that `setattr` and the like are given."""
    name = getattr(node.func, "attr", getattr(node.func, "id", None))
    if name not in PATCHES:
        return set()
    texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
    return {t.split(".")[-1] for t in texts if isinstance(t, str)}


def waits_for_ever(node):
    """Whether a call of an attribute has no limit of time."""
    name, keywords = node.func.attr, {word.arg for word in node.keywords}
    of = dotted(node.func.value)
    if name in WAITS and not (node.args or keywords):
        return True
    if of == "subprocess" and name in COMMANDS:
        return "timeout" not in keywords
    if of == "socket" and name == "create_connection":
        return len(node.args) < 2 and "timeout" not in keywords
    return False


@functools.cache
def facts(path):
    """Of one walk through a file."""
    found = Facts()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.imports |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            found.imports.add(str(node.module))
            found.of_others |= {alias.name for alias in node.names}
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.defined.add(node.name)
        elif isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store):
                found.defined.add(node.id)
        elif isinstance(node, ast.Attribute):
            own = is_own(node.value)
            if not own:
                found.of_others.add(node.attr)
            if own and isinstance(node.ctx, ast.Store):
                found.defined.add(node.attr)
            elif PRIVATE.fullmatch(node.attr):
                found.private.add(node.attr)
            text = dotted(node)
            if FACE.fullmatch(text):
                found.of_the_package.add(text.removeprefix("deepfm_tf."))
        elif isinstance(node, ast.Call):
            found.of_others |= patched_names(node)
            if isinstance(node.func, ast.Attribute) and waits_for_ever(node):
                found.waits.append(node.lineno)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            if isinstance(node.exc.func, ast.Name):
                found.raised.add(node.exc.func.id)
    return found


def imports(path):
    return facts(path).imports


def room_of(parts):
    """The room of a module below `deepfm_tf`; "" for the package itself."""
    for stop in range(len(parts), 0, -1):
        if ".".join(parts[:stop]) in DOORS:
            return ".".join(parts[:stop])
    assert not parts, f"no room of DOORS has {'.'.join(parts)}"
    return ""


def parts_of(path):
    return path.relative_to(ROOT / "deepfm_tf").with_suffix("").parts


def is_behind_a_door(name, room):
    """Whether a file of the room may import a module of that name."""
    ours, others = DOORS[room]
    top, *rest = name.split(".")
    if top == "deepfm_tf":
        return room_of(tuple(rest)) in (*ours, "arrays", "errors", "version")
    return top in STDLIB or top in others


def test_rooms_keep_to_their_doors():
    wrong = {
        f"{path} imports {name}"
        for path in SOURCES
        if parts_of(path) != ("__init__",)
        for name in imports(path)
        if not is_behind_a_door(name, room_of(parts_of(path)))
    }

    assert not wrong


def test_no_room_imports_itself_in_a_circle():
    graph = {room: set() for room in DOORS}
    for path in SOURCES:
        if parts_of(path) == ("__init__",):
            continue
        room = room_of(parts_of(path))
        for name in imports(path):
            if name.startswith("deepfm_tf."):  # the face itself is lazy
                graph[room].add(room_of(tuple(name.split(".")[1:])))
        graph[room].discard(room)

    order = list(graphlib.TopologicalSorter(graph).static_order())

    assert order.index("fields") < order.index("models")


def test_what_windows_lacks_is_not_imported():
    posix = {"fcntl", "grp", "pty", "pwd", "readline", "resource", "termios"}

    assert not [path for path in SOURCES if posix & imports(path)]


def test_private_names_of_keras_and_tensorflow_are_in_one_file():
    # Of os, named tuples and argparse; and what we note on a model.
    known = {"_exit", "_asdict", "_fields", "_actions"}
    known |= {"_option_string_actions", "_deepfm_tf_resumed"}
    known.update(*(facts(path).defined for path in SOURCES))

    for path in SOURCES:
        used = facts(path).private
        # The engine of serving has public ways beside its private names.
        if parts_of(path)[0] not in ("keras_internals", "serving"):
            assert not used - known, f"{path} uses {used - known}"
            assert not [n for n in imports(path) if ".src" in n], path
            assert not [n for n in imports(path) if ".python" in n], path


def test_a_private_name_is_seen_however_it_is_used(tmp_path):
    path = tmp_path / "test_x.py"
    path.write_text(
        "from deepfm_tf.x import _a\n"
        "x._b.c()\n"
        "patch.setattr('deepfm_tf.x._d', 1)\n"
        "getattr(x, '_e')\n"
        "self._f\n"
        "'_g'\n"
    )

    private = {n for n in facts(path).of_others if n.startswith("_")}

    assert private == {"_a", "_b", "_d", "_e"}


def test_no_test_uses_a_private_name_of_ours():
    ours = set().union(*(facts(path).defined for path in SOURCES))
    ours = {name for name in ours if re.match("_[^_]", name)}
    ours -= {"_repr_html_"}  # what notebooks call

    used = {str(path): ours & facts(path).of_others for path in TESTS}

    assert not {path: names for path, names in used.items() if names}


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_recipes_use_public_names_only(path):
    allowed = {"deepfm_tf", "numpy", "pandas", "pipelines"}
    if path.name == "score.py":  # it shows that TensorFlow alone suffices
        allowed = {"tensorflow"}
    if path.name == "fit.py":  # plain Keras
        allowed |= {"keras"}
    if path.name == "spark_prepare.py":
        allowed |= {"pyspark"}
    if path.name == "ray_train.py":
        allowed |= {"ray"}

    for name in imports(path):
        assert name.split(".")[0] in allowed | STDLIB, f"imports {name}"
        if name.startswith("deepfm_tf."):
            assert name.startswith("deepfm_tf.experiment"), f"imports {name}"


def public_names(room):
    if hasattr(room, "__all__"):
        return room.__all__
    return [
        name
        for name, value in vars(room).items()
        if not name.startswith("_")
        and not inspect.ismodule(value)
        and getattr(value, "__module__", room.__name__) == room.__name__
    ]


def is_public(name):
    """Whether "Schema", or "metrics.auc", is for users."""
    top, _, below = name.partition(".")
    if top not in deepfm_tf.__all__:
        return False
    if below and inspect.ismodule(getattr(deepfm_tf, top)):
        return below.split(".")[0] in public_names(getattr(deepfm_tf, top))
    return True


def test_what_recipes_use_of_the_package_is_public():
    wrong = {
        f"{path} uses deepfm_tf.{name}"
        for path in USERS + RECIPES
        for name in facts(path).of_the_package
        if not is_public(name)
    }

    assert not wrong


def test_a_private_name_of_a_room_is_not_public():
    assert "MONITORS" in public_names(deepfm_tf.callbacks)
    assert "PRECISIONS" in public_names(deepfm_tf.training)
    assert "keras" not in public_names(deepfm_tf.training)
    assert "UserError" not in public_names(deepfm_tf.training)


def test_no_file_is_longer_than_400_lines():
    lengths = {
        path: len(path.read_text(encoding="utf-8").splitlines())
        for path in SOURCES + RECIPES
    }

    assert not {path: n for path, n in lengths.items() if n > 400}


def test_what_users_can_fix_is_raised_as_an_error_of_theirs():
    # A command line tells these in a line; all others are faults, and keep
    # their traceback.
    bare = {"ValueError", "TypeError", "FileNotFoundError", "ImportError"}
    raised = {path: bare & facts(path).raised for path in SOURCES + RECIPES}

    assert not {path: names for path, names in raised.items() if names}


def test_the_public_face_is_small():
    rooms = [
        name
        for name in deepfm_tf.__all__
        if inspect.ismodule(getattr(deepfm_tf, name))
    ]

    assert dir(deepfm_tf) == sorted(deepfm_tf.__all__)
    assert len(set(deepfm_tf.__all__)) == len(deepfm_tf.__all__)
    assert len(deepfm_tf.__all__) - len(rooms) <= 41
    assert len(rooms) <= 16


def test_a_name_that_never_was_is_told():
    with pytest.raises(AttributeError, match="deepfm_tf has no .* name Shema"):
        _ = deepfm_tf.Shema


def test_a_test_stands_where_its_source_does():
    for path in TESTS:
        kind, _, name = path.stem.partition("_")
        if kind != "test" or name in CROSSING:
            continue
        folder = path.parent.relative_to(ROOT / "tests")
        if folder.parts[:1] != ("pipelines",):
            folder = "deepfm_tf" / folder

        assert (ROOT / folder / f"{name}.py").is_file(), path


def test_no_test_waits_without_a_limit():
    waits = {str(path): facts(path).waits for path in TESTS}

    assert not {path: lines for path, lines in waits.items() if lines}


@pytest.mark.parametrize("name", ["fit.py", "spark_prepare.py"])
def test_a_script_to_be_copied_fits_on_a_screen(name):
    lines = (ROOT / "pipelines" / name).read_text("utf-8").splitlines()

    assert len(lines) <= 60
