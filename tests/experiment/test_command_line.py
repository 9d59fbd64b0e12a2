"""What the commands say to a mistyped or impossible command line."""

import errno
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import deepfm_tf
from deepfm_tf.backend import import_tensorflow
from deepfm_tf.errors import Argument
from deepfm_tf.experiment import command_line
from deepfm_tf.experiment.command_line import told
from deepfm_tf.experiment.fitting.training import UserError, user_errors
from deepfm_tf.experiment.options.settings import MODELS, OPTIMIZERS
from deepfm_tf.metrics import NotANumberError
from pipelines import tabular
from pipelines.recipes import RECIPES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("command", "words", "error"),
    [
        ("sweep", "--shape constant", "no option --shape. Did you mean --s"),
        ("compare", "--sedes=3", "no option --sedes. Did you mean --seeds?"),
        ("train", "--batch_size 8", "Did you mean --batch-size?"),
        # Told before what seems to be absent.
        ("train", "--trian a.csv", "no option --trian. Did you mean --tr"),
        ("train", "--run=", "argument --run: must name a file or folder"),
        ("train", "--export=", "argument --export: must name a file or f"),
        ("train", "--config=", "argument --config: must name a file or f"),
        ("train", "--zzz", "There is no option --zzz.\n"),
        (
            "prepare",
            "--preset strong",
            "--preset is an option of train, compare, sweep, not of "
            "deepfm-tf prepare.\n",
        ),
        ("compare", "--trials 3", "--trials is an option of sweep, not of"),
        ("train", "--preset storng", "'seed'). Did you mean 'strong'?"),
        ("prepare", "--encodings cout", "target_mean. Did you mean 'count'?"),
        ("sweep", "--shapes conic,diamont", "'conic' is not known. Allowed"),
        ("train", "--train a.csv", "are required: --label\n"),
        ("train", "--train a.csv --label b c", "unrecognized argum"),
        ("compare", "--recipe cencus", "invalid choice: 'cencus'"),
    ],
)
def test_a_wrong_command_line_is_answered_in_two_lines(
    command, words, error, capsys
):
    with pytest.raises(SystemExit) as end:
        command_line.main(
            arguments=words.split(),
            command=command,
            recipes=None if command == "train" else RECIPES,
        )

    lines = capsys.readouterr().err
    assert end.value.code == 2
    assert lines.startswith("error: ")
    assert error in lines
    assert len(lines.splitlines()) == 2
    assert lines.endswith(" --help\n")


@pytest.mark.parametrize("left", [None, "runs/x/prepared", "runs/x/notes"])
def test_there_must_be_something_to_resume(left, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if left:
        Path(left).mkdir(parents=True)
    words = "--train a.csv --label y --run runs/x --resume".split()
    calls = []

    assert command_line.main(arguments=words, run_with=calls.append) == 2

    assert capsys.readouterr().err == (
        "error: There is nothing to resume in runs/x. Look at the name, or "
        "leave out --resume.\n"
    )
    assert not calls


@pytest.mark.parametrize(
    ("left", "resumes"),
    [
        (None, False),
        ("schema.json", False),
        ("run.toml", True),
        # Of a run of an older version.
        ("fm/settings.txt", True),
    ],
)
def test_what_a_stopped_run_says_to_type_goes_on(
    left, resumes, tmp_path, capsys
):
    words = f"--train a.csv --label y --run {tmp_path / 'x'}".split()

    def stop(settings):
        if left:
            path = settings.run / left
            path.parent.mkdir(exist_ok=True)
            path.touch()
        raise KeyboardInterrupt

    assert command_line.main(arguments=words, run_with=stop) == 130
    again = shlex.split(capsys.readouterr().err.splitlines()[-1])[2:]
    assert again == [*words, *["--resume"] * resumes]
    assert command_line.main(arguments=again, run_with=lambda _: None) == 0


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            "site,clicked\na,maybe\nb,0\nc,1\n",
            [],
            [
                "Other labels can be named: --positive-label, --negative-label."
                " Fix the row, or pass --on-error skip to leave"
            ],
        ),
        ("site,clicked\na,1\nb,0\na\n", [], ["inside a value? Fix the row"]),
        (
            "site,clicked,w\na,1,1\nb,0,-1\n",
            ["--example-weight", "w"],
            ["must be 0 or more, but is '-1'. Fix"],
        ),
        (
            "site,clicked,w\na,1,1\nb,0,\n",
            ["--example-weight", "w"],
            ["must be 0 or more, but is missing. Fix"],
        ),
        ("site,clicked\n", [], ["Received: none in clicks.csv."]),
        ("\na,1\n", [], ["give the names yourself (--no-header --columns)"]),
        (
            "site,clicked\na,1\nb,0\n",
            ["--positive-label", "0", "--negative-label", "0"],
            ["--positive-label and --negative-label must both name"],
        ),
        (
            "site,clicked\na,1\nb,0\n",
            ["--positive-label", "0"],
            ["say so: --positive-label 0 --negative-label 1."],
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:--train and --.* both name clicks.csv")
def test_errors_in_the_data_speak_of_options(
    text, options, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("clicks.csv").write_text(text)
    files = [f"--{name}=clicks.csv" for name in ("train", "valid", "test")]
    arguments = [*files, "--label", "clicked", *options]

    assert command_line.main(tabular.RECIPE, arguments) == 2

    error = capsys.readouterr().err
    assert error.startswith("error: ")
    for part in words:
        assert part in error


def test_received_values_are_those_of_the_option():
    with pytest.raises(UserError) as caught:
        deepfm_tf.create_strategy(0)

    assert told(caught.value) == (
        "--replicas must be a positive integer. Received: --replicas 0."
    )


def test_a_field_of_a_schema_file_is_no_option_of_the_same_name(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("clicks.csv").write_text("tags,clicked\na|b,1\nb,0\n")
    field = {"type": "multi_valued", "name": "tags", "separator": ""}
    Path("s.json").write_text(
        json.dumps({"label": "clicked", "fields": [field]})
    )
    words = "--train clicks.csv --label clicked --schema s.json"

    status = command_line.main(tabular.RECIPE, words.split())

    error = capsys.readouterr().err
    assert (status, error.count("\n")) == (2, 1)
    assert error.startswith("error: --schema s.json: Field 'tags'")
    assert "--separator" not in error


def run_with(error):
    def fail(_):
        raise error

    words = "--train a.csv --label clicked --run x"
    return command_line.main(tabular.RECIPE, words.split(), run_with=fail)


@pytest.mark.parametrize("kind", [TypeError, ValueError, RuntimeError])
def test_a_bug_keeps_its_traceback_and_says_how_to_report_it(kind, capsys):
    status = run_with(kind("None has no len()"))

    error = capsys.readouterr().err
    assert status == 1
    assert error.startswith("Traceback (most recent call last):\n")
    assert f"{kind.__name__}: None has no len()\n\nerror: This is" in error
    assert f"deepfm_tf {deepfm_tf.__version__}" in error
    assert error.endswith("tabular --train a.csv --label clicked --run x\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("It is empty."), "error: It is empty.\n"),
        # An option that the text does not name stands before it.
        (
            UserError("It is long.", argument="separator"),
            "error: --separator: It is long.\n",
        ),
        (
            NotANumberError("Diverged: lower ", Argument("learning_rate"), "."),
            "error: Diverged: lower --learning-rate.\n",
        ),
    ],
)
def test_an_error_of_the_user_is_one_line(error, line, capsys):
    assert run_with(error) == 2
    assert capsys.readouterr().err == line


def test_what_the_system_says_of_a_file_is_one_line():
    with (
        pytest.raises(UserError, match="^a.csv: Permission denied.$"),
        user_errors(),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "a.csv")
    for bug in (KeyError("a"), TypeError("a"), OSError(errno.EBADF, "a")):
        with pytest.raises(type(bug)) as caught, user_errors():
            raise bug
        assert caught.value is bug


@pytest.mark.slow_process
def test_ctrl_c_while_it_imports_tensorflow_is_one_line(tmp_path):
    # In the place of Keras.
    (tmp_path / "keras.py").write_text(
        "import os, signal, time\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "time.sleep(60)\n"
    )
    (tmp_path / "a.csv").write_text("x,y\n1,0\n2,1\n")

    process = subprocess.run(
        [sys.executable, "-m", "deepfm_tf", "train"]
        + ["--train", "a.csv", "--label", "y"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert (process.returncode, process.stderr) == (130, "\nInterrupted\n")


def test_ctrl_c_is_given_back_once_tensorflow_is_there():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)

        import_tensorflow()

        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_thread_may_import_tensorflow_too():
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with ThreadPoolExecutor(1) as pool:
            # In a thread, Python refuses to set a handler by a ValueError.
            assert pool.submit(import_tensorflow).result(240) is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow_process
def test_what_is_said_at_once_imports_nothing_large(tmp_path):
    commands = [
        "deepfm_tf train --help",
        "deepfm_tf sweep --trails 3",
        "deepfm_tf predict --help",
        "deepfm_tf serve --help",
        "deepfm_tf config --help",
        "deepfm_tf train --train nothing.csv --label y",
        "deepfm_tf compare --train nothing.csv --label y",
        "deepfm_tf sweep --train nothing.csv --label y",
        "deepfm_tf prepare --train nothing.csv --label y",
        "deepfm_tf train --config nothing.toml",
        "deepfm_tf train --train a.csv --label yy",
        "deepfm_tf compare --train a.csv --label y --ignore xx",
        "deepfm_tf prepare --train a.csv --label y --categorical xx",
        "deepfm_tf train --train a.csv --label y --group-by xx",
        "deepfm_tf train --train a.csv --label y --split-by-time xx",
        "pipelines.avazu --help",
        "pipelines.sweep --recipe census --help",
    ]
    (tmp_path / "a.csv").write_text("x,y\n1,0\n2,1\n")
    # In their place.
    for name in ("tensorflow", "keras", "pandas", "pyarrow", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')\n")
    code = (
        "import runpy, sys\n"
        f"for words in {commands}:\n"
        "    module, *sys.argv[1:] = words.split()\n"
        "    try:\n"
        "        runpy.run_module(module, run_name='__main__')\n"
        "    except SystemExit as end:\n"
        "        print(end.code, file=sys.stderr)\n"
    )

    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
    )

    ends = [x for x in process.stderr.splitlines() if x in ("0", "2")]
    assert len(ends) == len(commands), process.stderr
    assert "imported" not in process.stderr


@pytest.mark.slow_process
def test_keras_is_imported_without_what_no_command_needs(tmp_path):
    # In their place. Keras takes each where it finds it.
    (tmp_path / "sklearn.py").write_text("print('sklearn', end=' ')\n")
    (tmp_path / "matplotlib.py").write_text("print('matplotlib', end=' ')\n")
    (tmp_path / "keras.py").write_text(
        "import gc\n"
        "print('collected' if gc.isenabled() else 'uncollected', end=' ')\n"
        "for name in ('sklearn', 'matplotlib'):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ImportError:\n"
        "        print('no', name, end=' ')\n"
        "__version__ = '3.12'\n"
        "class config:\n"
        "    backend = staticmethod(lambda: 'none')\n"
    )
    # It is refused then, once it is imported.
    code = (
        "from deepfm_tf.backend import import_tensorflow\n"
        "try:\n    import_tensorflow()\nexcept ImportError:\n"
        "    import sklearn, matplotlib\n"
        # What is there stays, and what comes later is collected.
        "import gc\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 1000)\n"
    )

    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert process.stdout == (
        "uncollected no sklearn no matplotlib sklearn matplotlib True True\n"
    )


def test_the_options_name_what_the_package_has():
    assert OPTIMIZERS == tuple(deepfm_tf.training.OPTIMIZERS)
    for name in MODELS.values():
        assert issubclass(getattr(deepfm_tf, name), deepfm_tf.CTRModel)


def test_the_help_of_a_calibration_is_true(capsys):
    with pytest.raises(SystemExit):
        command_line.main(arguments=["--help"])

    text = " ".join(capsys.readouterr().out.split())
    assert f"{{{','.join(deepfm_tf.calibration.METHODS)}}}" in text
    assert (
        f"needs {deepfm_tf.calibration.ISOTONIC_ROWS:,} validation rows, "
        f"{deepfm_tf.calibration.ISOTONIC_CLASS_ROWS} of each class" in text
    )


@pytest.mark.parametrize(
    ("options", "is_quiet"),
    [("", False), ("--model fm,deepfm", True), ("--auto", True)],
)
def test_several_models_may_be_traced_without_a_warning(options, is_quiet):
    logger = logging.getLogger("tensorflow")
    level, levels = logger.level, []
    logger.setLevel(logging.WARNING)  # whatever ran before in this process
    words = f"--train x --label y {options}".split()

    command_line.main(
        tabular.RECIPE, words, run_with=lambda _: levels.append(logger.level)
    )
    logger.setLevel(level)

    assert (levels[0] == logging.ERROR) is is_quiet


PAIR = (
    '{"cluster": {"worker": ["localhost:1", "localhost:2"]}, '
    '"task": {"type": "worker", "index": 1}}'
)


@pytest.mark.parametrize(
    ("config", "command", "words", "error"),
    [
        ("{", "train", "", "TF_CONFIG must be JSON. Received: {"),
        (PAIR, "compare", "", "compare trains many models, each on one host"),
        (PAIR, "train", "--auto", "--auto trains many models, each on one"),
        (PAIR, "train", "--replicas 2", "--replicas must not be given when"),
    ],
)
def test_what_several_workers_cannot_do_is_told_at_once(
    config, command, words, error, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CONFIG", config)
    Path("a.csv").write_text("x,y\n1,0\n")
    words = f"--train a.csv --label y {words}".split()

    assert command_line.main(arguments=words, command=command) == 2

    assert capsys.readouterr().err.startswith(f"error: {error}")
