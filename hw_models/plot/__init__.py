"""Pictures of results: functions that draw on the axes given and return it.

Needs matplotlib; nothing in ``hw_models`` imports this package unless a picture is asked for.
"""

from hw_models.plot.break_even import break_even
from hw_models.plot.cores import By, cores
from hw_models.plot.energy import energy_by_stage
from hw_models.plot.roofline import roofline
from hw_models.plot.tornado import tornado

__all__ = ["By", "break_even", "cores", "energy_by_stage", "roofline", "tornado"]
