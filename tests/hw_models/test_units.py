from __future__ import annotations

import pytest

from hw_models import Interval, format_quantity


@pytest.mark.parametrize(
    ("interval", "unit", "text"),
    [
        (Interval(2.31e-3, 1.2e-3, 4.5e-3), "J", "2.31 mJ (1.2 to 4.5)"),
        (Interval(81e-12, 52e-12, 81e-12), "J", "81 pJ (52 to 81)"),
        (Interval(5.47, 4.91, 12345), "W", "5.47 W (4.91 to 12300)"),
        (Interval(0.9996, 0.5, 1.0), "s", "1 s (0.5 to 1)"),
        (Interval(0.09996, 0.05, 0.1), "s", "100 ms (50 to 100)"),
        (Interval(999.6e-6, 1e-6, 1e-3), "s", "1 ms (0.001 to 1)"),
        (Interval(1e-3, 0, 1e-3), "J", "1 mJ (0 to 1)"),
        (Interval(0, 0, 0), "J", "0 J (0 to 0)"),
        (Interval(0, 0, 2e-6), "J", "0 uJ (0 to 2)"),
        (Interval(1e-20, 0, 1e-20), "J", "0.00001 fJ (0 to 0.00001)"),
        (None, "J", "-"),
    ],
)
def test_format_quantity(interval: Interval | None, unit: str, text: str) -> None:
    assert format_quantity(interval, unit) == text
