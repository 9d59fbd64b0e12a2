"""A command of many runs that was stopped and resumed: what is kept of it.

A test module has a fixture `finished`, whose first item is the folder.
"""

import json

import pytest

from tests.report.reports import blank_figures


def stop_and_resume(run, directory, *replaced):
    """Run a command that is interrupted the first time.

    Args:
        run: gives the exit status.
        directory: where it runs.
        replaced: (module, function) pairs; the function takes the place of
            the one that is called as it is.
    """
    with pytest.MonkeyPatch.context() as patch, blank_figures():
        patch.chdir(directory)
        for module, function in replaced:
            patch.setattr(module, function.__name__, function)
        assert (run(), run()) == (130, 0)


@pytest.fixture
def there(finished, monkeypatch):
    monkeypatch.chdir(finished[0])


@pytest.fixture(scope="module")
def report(finished):
    (path,) = finished[0].glob("runs/*/report/report.json")
    return json.loads(path.read_text(encoding="utf-8"))
