"""The README and the other pages are the manual: what they show, runs.

`make test` runs README.md but for its training in the shell, on fewer rows than
the page has, and looks at the blocks of all pages; `pytest -m pages` runs all.
"""

import ast
import inspect
import re

import numpy as np
import pandas as pd
import pytest

import deepfm_tf
from deepfm_tf.__main__ import main
from deepfm_tf.serving.server.flags import parse_flags
from tests.pages import options, picture, reference
from tests.pages.blocks import (
    PAGES,
    ROOT,
    Block,
    blocks_of,
    headings_of,
    links_of,
    text_of,
)
from tests.pages.reader import COMMAND, Reader, difference, is_measured

# Pages whose blocks are the other tests' business: of benchmarks that take
# minutes, of clients that need another Python, of several processes.
ELSEWHERE = {
    ".github/CONTRIBUTING.md",
    "CHANGELOG.md",
    "pipelines/several_hosts.md",
    "tests/benchmarks/README.md",
    "tests/benchmarks/scaling.md",
    "tests/serving/foreign_clients.md",
}
MANUAL = [page for page in PAGES if page not in ELSEWHERE]
MANUAL = ["README.md", *(page for page in MANUAL if page != "README.md")]
# Why a block of the manual is not run -> how many there are.
NOT_RUN = {"needs Node 18 or later": 1, "needs Go": 1}
# Of the README, where its numbers do not matter.
NUM_ROWS = 2_000


def follow(reader, page):
    """Run the blocks of a page; what differs from what the page shows."""
    reader.turn_the_page()
    found = []
    for block in blocks_of(page):
        if block.not_run is not None:
            continue
        printed = reader.follow(block)
        if block.output is None or printed is None:
            continue
        line = difference(block.output, printed, is_measured(block))
        if line is not None:
            found.append(f"{block}: {line}\n{printed}")
    return found


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory):
    """A reader of the README, who has few rows and trains in Python alone."""
    reader = Reader(tmp_path_factory.mktemp("readme"), NUM_ROWS)
    blocks = blocks_of("README.md")
    shell = [b for b in blocks if b.language == "bash" and b.commands]
    generate, _ = next(b for b in shell if is_measured(b)).commands
    reader.command(generate)
    for block in [b for b in blocks if b.language == "python"]:
        reader.follow(block)
    for block in [b for b in shell if not is_measured(b)]:
        reader.follow(block)
    yield reader
    reader.turn_the_page()


@pytest.mark.long
def test_what_the_readme_serves_is_what_its_model_predicts(
    quickstart, monkeypatch
):
    monkeypatch.chdir(quickstart.folder)
    shown = pd.read_csv(quickstart.folder / "predictions.csv")
    names = quickstart.names
    test = names["test"].dataset(NUM_ROWS)

    outputs = names["model"].predict(test, verbose=0)["probability"].ravel()

    assert len(shown) == NUM_ROWS
    # The latest rows are the test rows.
    np.testing.assert_allclose(
        shown["probability"][-len(outputs) :], outputs, atol=1e-5
    )


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """A reader who has followed the README, with all rows of the page."""
    reader = Reader(tmp_path_factory.mktemp("pages"))
    differing = follow(reader, "README.md")
    yield reader, differing
    reader.turn_the_page()


@pytest.mark.pages
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", ["README.md", *MANUAL[1:]])
def test_a_page_shows_what_its_blocks_print(reader, page):
    reader, differing = reader
    if page != "README.md":
        differing = follow(reader, page)

    assert not differing, "\n".join(differing)


def test_the_blocks_that_are_not_run_are_listed():
    reasons = [
        block.not_run
        for page in MANUAL
        for block in blocks_of(page)
        if block.not_run is not None
    ]

    assert {reason: reasons.count(reason) for reason in reasons} == NOT_RUN


def test_blocks_in_other_languages_say_that_they_are_not_run():
    others = [
        str(block)
        for page in MANUAL
        for block in blocks_of(page)
        if block.language not in ("bash", "python", "json")
        and block.not_run is None
    ]

    assert not others


def commands(name):
    """What the pages type after `deepfm-tf NAME`."""
    return [
        pytest.param(words[2:], id=f"{block}, {number}")
        for page in MANUAL
        for block in blocks_of(page)
        if block.language == "bash"
        for number, words in enumerate(block.commands)
        if words[:2] == [COMMAND, name]
    ]


@pytest.mark.parametrize("name", ["train", "compare", "sweep", "prepare"])
def test_commands_lack_nothing_but_their_data(
    name, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    for case in commands(name):
        (words,) = case.values
        try:
            status = main([name, *words])
        except SystemExit as exit:  # of the parser
            status = exit.code
        told = capsys.readouterr().err
        assert status == 2, case.id
        assert re.search("[Tt]here is no|not there|holds no", told), told


def test_the_flags_of_the_servers_are_understood():
    cases = commands("serve")

    for case in cases:
        assert parse_flags(case.values[0]), case.id
    assert cases


def test_python_blocks_use_public_names():
    for page in MANUAL:
        for block in blocks_of(page):
            if block.language != "python":
                continue
            for node in ast.walk(ast.parse(block.text)):
                if (
                    isinstance(node, ast.Attribute)
                    and ast.unparse(node.value) == "deepfm_tf"
                ):
                    assert node.attr in deepfm_tf.__all__, str(block)


def test_the_make_targets_exist():
    makefile = text_of("Makefile")
    targets = [
        words[1]
        for page in PAGES
        for block in blocks_of(page)
        if block.language == "bash"
        for words in block.commands
        if words[0] == "make"
    ]

    assert targets[:1] and {"demo", "test"} <= set(targets)
    assert all(re.search(rf"^{t}:", makefile, re.MULTILINE) for t in targets)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    broken = []
    for link in links_of(page):
        if re.match(r"https?://|mailto:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        if not target.exists():
            broken.append(link)
        elif anchor:
            name = target.resolve().relative_to(ROOT).as_posix()
            if anchor not in headings_of(name):
                broken.append(link)

    assert not broken


def test_every_page_is_reached_from_the_readme():
    reached, left = set(), ["README.md"]
    while left:
        page = left.pop()
        reached.add(page)
        for link in links_of(page):
            target = ((ROOT / page).parent / link.partition("#")[0]).resolve()
            is_page = target.suffix in (".md", ".ipynb")
            if is_page and target.is_relative_to(ROOT):
                name = target.relative_to(ROOT).as_posix()
                left += [name] * (name not in reached)

    templates = {p for p in PAGES if "ISSUE_TEMPLATE" in p}
    assert set(PAGES) - reached - templates == set()


def test_the_picture_is_the_one_that_its_script_draws():
    assert picture.PATH.read_text(encoding="utf-8") == picture.picture()


def test_the_tables_of_options_are_those_of_their_declarations():
    assert options.page() == text_of(options.PAGE)
    assert "| `--train FILE` |" in options.tables()


def test_every_error_that_a_user_can_fix_is_explained():
    kinds = [deepfm_tf.UserError, deepfm_tf.serving.PredictError]
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        assert f"| `{kind.__name__}`" in text_of(options.PAGE)


def test_every_model_and_field_is_described():
    text = "".join(map(text_of, MANUAL))
    names = [
        n for n in deepfm_tf.__all__ if n.endswith("Field") and n != "Field"
    ]

    for name in (*names, "DeepFM", "FM", "NFM", "WideAndDeep"):
        assert f"`{name}`" in text


def test_every_public_name_has_a_docstring():
    lacking = [
        f"{room}.{name}"
        for room, value in reference.rooms().items()
        for name, thing in reference.public_names(value).items()
        if callable(thing) or inspect.ismodule(thing)
        if not getattr(thing, "__doc__", None)
    ]

    assert not lacking


@pytest.mark.parametrize(
    ("expected", "printed", "line"),
    [
        ("a 1\nb\n", "a 1\nb\n", None),
        ("a 1\nb\n", "a 2\nb\n", "a 1"),
        ("...\nb\n", "a\nb\n", None),
        ("a\n...\n", "a\nb\n", None),
        ("a\n", "a\nb\n", "(and then) b"),
        ("b\n", "a\nb\n", "b"),
        ("...\nc\n", "a\nb\n", "c"),
        ("b\na\n", "a\nb\n", "b"),
    ],
)
def test_a_line_that_differs_is_found(expected, printed, line):
    assert difference(expected, printed, is_measured=False) == line


def test_numbers_that_are_measured_may_be_others():
    page, printed = "auc  0.75 ---\n1,024 rows\n", "auc 0.7 -----\n64 rows\n"

    assert difference(page, printed, is_measured=True) is None
    assert difference(page, "loss 0.7 -\n", is_measured=True) == "auc  0.75 ---"


def test_a_block_knows_its_output_and_why_it_is_not_run(monkeypatch):
    page = (
        "```bash\nls\n```\n\n```text\na.csv\n```\n\nWords.\n\n"
        "*Not run by the tests: needs Go.*\n\n```go\nx\n```\n"
    )
    monkeypatch.setattr("tests.pages.blocks.text_of", lambda name: page)

    first, second = blocks_of("a page of this test")

    assert first == Block(
        "a page of this test", 2, "bash", "ls\n", output="a.csv\n"
    )
    assert (second.language, second.not_run) == ("go", "needs Go")
