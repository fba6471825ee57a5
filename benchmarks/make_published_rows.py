"""Write the tables of published measurements that ``hw_models`` ships.

    python -m benchmarks.make_published_rows SOURCE.csv [--to FOLDER]

SOURCE is a table with the columns of either kind (processors or neuromorphic chips); the kind says
which file is written, ``edge.csv`` or ``loihi.csv``. Measured numbers, sources and locators are
carried over as they are. Notes are not: only the facts that a prediction needs are kept, as
``name=value``. Kept are the rows that set a constant, check one, repeat one or compare another
chip, and simulations with full activity; rows without counts, of other runtimes or releases, or
known to be unusable are left out.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

from hw_models.validate.facts import facts, format_facts
from hw_models.validate.rows import EDGE_COLUMNS, LOIHI_COLUMNS, LoihiRow, Row, read_rows

KEPT = ("calibrate", "check", "replicate", "comparator")
PUBLISHED = Path(__file__).parent.parent / "hw_models" / "published"


def kept(row: Row) -> bool:
    """Whether a row is shipped."""
    simulated = isinstance(row, LoihiRow) and facts(row).get("evidence") == "simulation"
    return row.role in KEPT or (row.role == "context" and simulated)


def shipped_cells(row: Row, cells: dict[str, str]) -> dict[str, str]:
    """Return the cells of a row with its notes as facts."""
    return cells | {"notes": format_facts(facts(row))}


def main() -> None:
    """Read the source, write one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--to", type=Path, default=PUBLISHED)
    arguments = parser.parse_args()
    rows = read_rows(arguments.source)
    loihi = isinstance(rows[0], LoihiRow)
    columns = LOIHI_COLUMNS if loihi else EDGE_COLUMNS
    with arguments.source.open(encoding="utf-8-sig", newline="") as file:
        source = {cells["id"]: cells for cells in csv.DictReader(file)}
    arguments.to.mkdir(parents=True, exist_ok=True)
    target = arguments.to / ("loihi.csv" if loihi else "edge.csv")
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        for row in filter(kept, rows):
            writer.writerow(shipped_cells(row, source[row.id]))
    print(f"{target}: {sum(map(kept, rows))} of {len(rows)} rows")


if __name__ == "__main__":
    main()
