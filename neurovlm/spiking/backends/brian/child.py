"""One standalone run in a process of its own: ``python -m ...brian.child FOLDER``."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from neurovlm.core.errors import BackendError
from neurovlm.spiking.backends.brian.model import preferences, simulate

JOB_FILE = "job.pickle"
OUTCOME_FILE = "outcome.pickle"
_FLAGS = ("-w", "-O2", "-std=c++11", "-ffp-contract=off")  # Brian2's own reorder float operations


def main(folder: Path) -> None:
    """Read the job in ``folder``, build and run its program there, write the outcome."""
    import brian2 as b2
    from brian2.codegen.cpp_prefs import get_compiler_and_args

    wanted = {
        "codegen.cpp.extra_compile_args_gcc": list(_FLAGS),
        "devices.cpp_standalone.extra_make_args_unix": [f"-j{os.cpu_count()}"],
    }
    with preferences(b2, wanted):
        lost = set(_FLAGS) - set(get_compiler_and_args()[1])
        if lost:
            raise BackendError(
                f"the C++ compiler fails or does not know {', '.join(sorted(lost))}; use g++"
            )
        b2.set_device("cpp_standalone", directory=str(folder / "build"), with_output=False)
        outcome = simulate(b2, pickle.loads((folder / JOB_FILE).read_bytes()))
    (folder / OUTCOME_FILE).write_bytes(pickle.dumps(outcome))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
