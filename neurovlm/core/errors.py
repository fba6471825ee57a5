"""One error family; each class carries the exit code of the command line.

Every message is one line that says what, where, what was got and what to do.
"""

from __future__ import annotations


class NeurovlmError(Exception):
    """Base of all errors that neurovlm raises on purpose."""

    exit_code = 1


class UsageError(NeurovlmError, ValueError):
    """A wrong argument, option or configuration key."""

    exit_code = 2


class InputFileError(NeurovlmError, ValueError):
    """A file that cannot be read as what it claims or seems to be."""

    exit_code = 3


class MissingComponentError(NeurovlmError, ImportError):
    """A needed package is not installed; the message holds the command that installs it."""

    exit_code = 4


class GraphError(NeurovlmError, ValueError):
    """A spiking graph that cannot be built or honoured; names the node."""

    exit_code = 2


class BackendError(NeurovlmError, RuntimeError):
    """A simulator failed or hung while it ran."""

    exit_code = 1
