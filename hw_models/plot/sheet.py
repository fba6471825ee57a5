"""Pictures of a page in one file, below each other, each at its own height."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hw_models.errors import OutputError
from hw_models.html import to_svg
from hw_models.page import Picture
from hw_models.plot import style

FORMATS = (".png", ".svg")


def save_sheet(pictures: Sequence[Picture], path: Path) -> None:
    """Draw pictures into one PNG or SVG file.

    Raises
    ------
    OutputError
        There is no picture, the name ends otherwise, or the file cannot be written.
    """
    if not pictures:
        raise OutputError(f"{path}: there is no picture to draw for this question")
    if path.suffix.lower() not in FORMATS:
        raise OutputError(f"{path}: a picture file ends in {' or '.join(FORMATS)}")
    sizes = [picture.draw(None).get_figure(root=True) for picture in pictures]
    inches = [size.get_size_inches() for size in sizes if size is not None]
    widest = float(max(width for width, _ in inches))
    heights = [float(height) for _, height in inches]
    figure = style.new_figure(sum(heights), widest)
    boxes = figure.subfigures(len(pictures), 1, height_ratios=heights, squeeze=False)[:, 0]
    for box, picture in zip(boxes, pictures, strict=True):
        picture.draw(box.subplots())
    try:
        if path.suffix.lower() == ".svg":
            path.write_bytes(to_svg(figure))
        else:
            figure.savefig(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}") from error
