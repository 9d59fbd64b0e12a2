"""The rooms of the package, and which of them may import which."""

import ast
import graphlib
from pathlib import Path

import pytest

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
    "options": ((), ()),
    "seeds": ((), ()),
    "timestamps": ((), ("numpy", "pyarrow")),
    "extras": (("shell",), ()),
    "fields": ((), ()),
    "raw_values": (("fields", "raw_values"), ("numpy", "pandas", "pyarrow")),
    "input_names": ((), ()),
    # The one exception: `Schema.infer` opens `data` when it is called.
    "schema": (
        (
            *("fields", "input_names", "labels", "schema_json"),
            *("schema_table", "data"),
        ),
        (),
    ),
    "labels": ((), ()),
    "schema_json": ((), ()),
    "schema_table": (("fields",), ()),
    "vocabulary_files": (("fields", "schema"), ("numpy",)),
    "vocabulary": (
        ("fields", "raw_values", "schema", "timestamps", "vocabulary_files"),
        # TensorFlow for its string hash alone: serving must hash alike.
        ("pandas", "numpy", "pyarrow", "tensorflow"),
    ),
    "vocabulary_counts": (
        (
            "drift",
            "fields",
            "moments",
            "quantile_sample",
            "raw_values",
            "schema",
            "value_counts",
            "vocabulary",
        ),
        ("numpy", "pyarrow"),
    ),
    "moments": ((), ("numpy",)),
    "quantile_sample": ((), ("numpy",)),
    # How much of other data is unlike the training data.
    "drift": (
        ("drift", "fields", "raw_values", "timestamps", "vocabulary"),
        ("numpy", "pyarrow"),
    ),
    "value_counts": (("raw_values",), ("numpy", "pyarrow")),
    "time_lookup": (("timestamps",), ("tensorflow", "numpy")),
    "lookup": (
        ("fields", "raw_values", "schema", "time_lookup", "vocabulary"),
        ("tensorflow", "numpy"),
    ),
    # What `layers` and `optimizers` both need of TensorFlow itself.
    "kernels": ((), ("tensorflow",)),
    "layers": (("kernels", "layers"), ("keras", "tensorflow", "numpy")),
    "optimizers": (("kernels", "optimizers"), ("keras", "tensorflow")),
    "models": (("layers", "models", "schema", "fields"), ("keras", "numpy")),
    "files": (
        ("files", "options", "raw_values"),
        ("numpy", "pandas", "pyarrow"),
    ),
    "data": (
        (
            "cpus",
            "data",
            "drift",
            "fields",
            "files",
            "labels",
            "raw_values",
            "schema",
            "seeds",
            "shell",
            "timestamps",
            "storage",
            "vocabulary",
            "vocabulary_counts",
            "lookup",
        ),
        ("tensorflow", "numpy", "pandas", "pyarrow", "tqdm", "xxhash"),
    ),
    "metrics": (("metrics", "seeds"), ("numpy",)),
    "calibration": (
        ("calibration", "extras", "metrics"),
        ("numpy", "sklearn", "tensorflow"),
    ),
    "slicing": (("metrics", "schema", "fields"), ("numpy",)),
    "evaluation": (
        ("drift", "metrics", "models", "slicing"),
        ("keras", "numpy"),
    ),
    "explain": (
        (
            *("cpus", "explain", "extras", "metrics", "models", "schema"),
            *("fields", "seeds"),
        ),
        ("keras", "tensorflow", "numpy", "pyarrow", "tqdm", "matplotlib"),
    ),
    "learning_curve": (("evaluation", "metrics"), ("keras",)),
    "report": (("report", "explain"), ("numpy", "matplotlib")),
    "callbacks": (("evaluation", "extras", "metrics", "models"), ("keras",)),
    "losses": ((), ("keras", "tensorflow")),
    "training": (
        ("losses", "models", "optimizers", "seeds"),
        ("keras", "tensorflow"),
    ),
    "export": (
        # Metrics: what a table in 16 bits costs is told in log loss.
        # Explain: the signature `explain` is an Explainer.
        (
            "calibration",
            "export",
            "explain",
            "fields",
            "raw_values",
            "schema",
            "vocabulary",
            "lookup",
            "models",
            "metrics",
            "storage",
        ),
        ("keras", "tensorflow", "tensorflow_serving", "numpy", "pyarrow"),
    ),
    # What serves knows SavedModels and gRPC, no model class: it serves
    # anybody's. The client knows nothing of the server.
    "serving": (("serving",), ("google", "grpc", "tensorflow")),
    "serving.__init__": (("serving.client",), ()),
    "serving.__main__": (
        ("serving.client", "serving.deploy", "serving.server", "serving")
        + ("backend", "extras", "shell"),
        (),
    ),
    "serving.client": (
        ("serving.client", "serving", "backend", "files", "raw_values")
        + ("extras", "shell"),
        ("tensorflow", "tensorflow_serving", "google", "grpc", "numpy")
        + ("pandas", "pyarrow", "tqdm"),
    ),
    "serving.deploy": (("serving.deploy", "shell"), ()),
    "serving.engine": (
        ("serving.engine", "serving", "cpus"),
        ("tensorflow", "tensorflow_serving", "google", "grpc", "numpy"),
    ),
    "serving.versions": (
        ("serving.versions", "serving.engine", "serving"),
        ("tensorflow", "tensorflow_serving", "grpc"),
    ),
    "serving.rest": (
        ("serving.rest", "serving.engine", "serving", "cpus"),
        ("tensorflow", "tensorflow_serving", "google", "grpc", "numpy")
        + ("starlette", "uvicorn"),
    ),
    "serving.server": (
        ("serving.server", "serving.versions", "serving.rest")
        + ("serving.engine", "serving", "cpus"),
        ("tensorflow", "tensorflow_serving", "google", "grpc", "grpc_health")
        + ("prometheus_client",),
    ),
    # One experiment after the other; it knows the package by its public face.
    "experiment": (
        ("", "experiment", "backend", "extras", "files", "labels", "options")
        + ("seeds", "shell", "storage"),
        # tomli: `tomllib` of Python 3.10.
        ("numpy", "pandas", "optuna", "tomli"),
    ),
    "__main__": ((), ()),
}
STDLIB = __import__("sys").stdlib_module_names
SOURCES = sorted((ROOT / "deepfm_tf").rglob("*.py"))
TESTS = [
    path
    for path in sorted((ROOT / "tests").rglob("*.py"))
    if "benchmarks" not in path.parts
]
RECIPES = sorted((ROOT / "pipelines").glob("*.py"))


def imports(path):
    """Every module that a file imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            found.add(str(node.module))
    return found


def room_of(parts):
    """The room of a module below `deepfm_tf`; "" for the package itself."""
    for stop in range(len(parts), 0, -1):
        if ".".join(parts[:stop]) in DOORS:
            return ".".join(parts[:stop])
    assert not parts, f"no room of DOORS has {'.'.join(parts)}"
    return ""


def parts_of(path):
    return path.relative_to(ROOT / "deepfm_tf").with_suffix("").parts


@pytest.mark.parametrize(
    "path", SOURCES, ids=lambda p: str(p.relative_to(ROOT))
)
def test_rooms_keep_to_their_doors(path):
    if parts_of(path) == ("__init__",):
        return
    ours, others = DOORS[room_of(parts_of(path))]

    for name in imports(path):
        top, *rest = name.split(".")
        if top == "deepfm_tf":
            allowed = (*ours, "arrays", "errors", "version")
            assert room_of(tuple(rest)) in allowed, f"{path} imports {name}"
        else:
            assert top in STDLIB or top in others, f"{path} imports {name}"


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
    graph["schema"].discard("data")  # `Schema.infer`, see above

    order = list(graphlib.TopologicalSorter(graph).static_order())

    assert order.index("fields") < order.index("models")


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_recipes_use_public_names_only(path):
    allowed = {"deepfm_tf", "numpy", "pandas", "pipelines"}
    if path.name == "score.py":  # it shows that TensorFlow alone suffices
        allowed = {"tensorflow"}
    if path.name == "fit.py":  # plain Keras
        allowed |= {"keras"}

    for name in imports(path):
        assert name.split(".")[0] in allowed | STDLIB, f"imports {name}"
        if name.startswith("deepfm_tf."):
            assert name.startswith("deepfm_tf.experiment"), f"imports {name}"


@pytest.mark.parametrize("path", SOURCES + RECIPES, ids=lambda p: p.stem)
def test_no_file_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("path", SOURCES + RECIPES, ids=lambda p: p.stem)
def test_what_users_can_fix_is_raised_as_an_error_of_theirs(path):
    # A command line tells these in a line; all others are faults, and keep
    # their traceback.
    bare = {"ValueError", "TypeError", "FileNotFoundError", "ImportError"}
    raised = [
        node.exc.func.id
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and isinstance(node.exc.func, ast.Name)
    ]

    assert not bare & set(raised)


def test_all_names_what_is_public():
    import deepfm_tf

    assert all(hasattr(deepfm_tf, name) for name in deepfm_tf.__all__)
    assert len(set(deepfm_tf.__all__)) == len(deepfm_tf.__all__)


# Calls that wait; without an argument, or a keyword, for ever.
WAITS = {"join", "wait", "acquire", "communicate"}
COMMANDS = {"run", "call", "check_call", "check_output"}


@pytest.mark.parametrize("path", TESTS, ids=lambda p: p.stem)
def test_no_test_waits_without_a_limit(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        if not isinstance(node.func, ast.Attribute):
            continue
        of, name = ast.unparse(node.func.value), node.func.attr
        keywords = {keyword.arg for keyword in node.keywords}
        place = f"{path}, line {node.lineno}: {of}.{name}"
        if name in WAITS:
            assert node.args or keywords, place
        if of == "subprocess" and name in COMMANDS:
            assert "timeout" in keywords, place
        if of == "socket" and name == "create_connection":
            assert len(node.args) > 1 or "timeout" in keywords, place


def test_the_fit_script_fits_on_a_screen():
    lines = (ROOT / "pipelines" / "fit.py").read_text("utf-8").splitlines()

    assert len(lines) <= 60
