"""What the extras are, and how the missing packages are installed."""

import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from deepfm_tf import extras


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_they_are_those_of_the_distribution(extra):
    required = importlib.metadata.requires("deepfm_tf") or ()
    marker = re.compile(rf"extra == .{extra}.$")
    names = {
        re.match(r"[\w.-]+", line).group()
        for line in required
        if marker.search(line)
    }

    assert set(extras.EXTRAS[extra].values()) == names


@pytest.mark.parametrize("extra", extras.EXTRAS)
def test_their_modules_are_found_where_they_are_installed(extra):
    missing = extras.missing(extra)
    if extra == "dask" and missing:
        pytest.skip("the tests that need it are skipped without, too")

    assert missing == []


def test_what_is_missing_is_named_with_the_command(monkeypatch, tmp_path):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "optuna" else find_spec(name),
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", f"{Path.cwd()}/.venv/bin/python")

    assert extras.missing("tune") == ["optuna"]
    assert extras.install_hint("A search needs", "tune") == (
        "A search needs optuna. Install it with: "
        ".venv/bin/python -m pip install optuna"
    )


def test_a_python_from_elsewhere_has_its_whole_path(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python3")

    assert "them with: '/opt/my python/bin/python3' -m pip install mat" in (
        extras.install_hint("It needs", "tune")
    )
