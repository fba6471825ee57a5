"""Command line: ``python -m hw_models estimate run.json --device loihi2``.

Exit codes: 0 done, 2 wrong usage (unknown device included), 3 a file cannot be read or written, or
a device breaks the contract, 4 a library for pictures or pages is missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from hw_models.errors import (
    CatalogError,
    HwModelError,
    MissingLibraryError,
    OutputError,
    RowsError,
    WorkloadError,
)
from hw_models.faces.output import Failed
from hw_models.faces.parser import make_parser

_USAGE, _BAD_FILE, _MISSING = 2, 3, 4


def main(argv: Sequence[str] | None = None, prog: str = "python -m hw_models") -> int:
    """Run the command line, called ``prog`` in its help; return the exit code."""
    arguments = make_parser(prog).parse_args(argv)
    try:
        answer = arguments.run(arguments)
    except (WorkloadError, CatalogError, RowsError, OutputError) as error:
        return _fail(error, _BAD_FILE)
    except MissingLibraryError as error:
        return _fail(error, _MISSING)
    except (HwModelError, argparse.ArgumentError) as error:
        return _fail(error, _USAGE)
    failed = isinstance(answer, Failed)
    try:
        print(answer.text if failed else answer)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has seen enough; python would complain again when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _BAD_FILE if failed else 0


def _fail(error: Exception, code: int) -> int:
    print(f"hw_models: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
