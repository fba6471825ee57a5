"""Exit codes of the error family, which the command line promises."""

from __future__ import annotations

import pytest

from neurovlm.core import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.NeurovlmError, 1),
        (errors.UsageError, 2),
        (errors.GraphError, 2),
        (errors.InputFileError, 3),
        (errors.MissingComponentError, 4),
        (errors.BackendError, 1),
    ],
)
def test_exit_codes(kind, code):
    assert issubclass(kind, errors.NeurovlmError)
    assert kind("x").exit_code == code


def test_wrong_values_are_value_errors():
    assert issubclass(errors.UsageError, ValueError)
    assert issubclass(errors.InputFileError, ValueError)
    assert issubclass(errors.MissingComponentError, ImportError)
