"""Device files to fill in: loadable as they are, every guess marked as a placeholder."""

from __future__ import annotations

from pathlib import Path

from hw_models.errors import CatalogError, OutputError, suggestion

_FOLDER = Path(__file__).parent / "templates"
FAMILIES = ("neuromorphic", "accelerator", "link", "system")


def template(family: str) -> str:
    """Return the commented TOML of a family.

    Raises
    ------
    CatalogError
        There is no such family.
    """
    if family not in FAMILIES:
        raise CatalogError(
            f"no template for family {family!r}{suggestion(family, FAMILIES)}; "
            f"there are {', '.join(FAMILIES)}"
        )
    return (_FOLDER / f"{family}.toml").read_text(encoding="utf-8")


def write_template(family: str, path: str | Path) -> Path:
    """Write the template of a family to a new file and return its path.

    ``check_device`` of :mod:`hw_models.contract` then says what is still a placeholder.

    Parameters
    ----------
    family
        ``neuromorphic``, ``accelerator``, ``link`` or ``system``.
    path
        File ending in ``.toml``.

    Raises
    ------
    CatalogError
        There is no such family.
    OutputError
        The file is no ``.toml``, exists already or cannot be written.
    """
    text = template(family)
    path = Path(path)
    if path.suffix != ".toml":
        raise OutputError(f"{path}: a device file ends in .toml; give another name")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OutputError(f"{path}: exists already; give another name or remove it") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
    return path
