"""A schema with one field for each way into a table."""

import pytest

import deepfm_tf
from tests.conftest import make_schema


@pytest.fixture(scope="session")
def small_vocabulary(log):
    """One row of the table a value, several with weights, one with a factor.

    All that an optimizer can tell apart, and quicker to trace than all kinds
    of fields; `test_conformance` trains with those.
    """
    fields = tuple(
        field
        for field in make_schema().fields
        if field.name in ("site", "tags", "price")
    )
    return deepfm_tf.fit_vocabulary(
        log, deepfm_tf.Schema(fields, label="clicked")
    )
