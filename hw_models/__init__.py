"""Energy, latency and power of a run, from its operation counts and cited device constants.

>>> from hw_models import Workload, estimate
>>> report = estimate(Workload.load("run.json"), "loihi2+jetson-orin-nano")  # doctest: +SKIP
>>> report.to_dict()["energy_mj"]  # doctest: +SKIP

Knows nothing of the simulator that made the counts.
"""

from hw_models.accelerator import Accelerator
from hw_models.break_even import BreakEven, break_even
from hw_models.chip import NeuromorphicChip
from hw_models.compare import Comparison, Ratios, compare
from hw_models.device import Device, Link, Placed, System
from hw_models.duty import DutyCycle, battery_life, duty_cycle
from hw_models.errors import (
    CatalogError,
    ComparisonError,
    EstimateError,
    HwModelError,
    UnknownDeviceError,
    WorkloadError,
)
from hw_models.estimate import estimate
from hw_models.intensity import LayerRoofline, layer_roofline
from hw_models.loader import device_names, link_names, load_device
from hw_models.many import Estimates, estimate_many
from hw_models.ops import LayerOps, OpKind, Ops, Precision
from hw_models.report import EnergyReport
from hw_models.sensitivity import Sensitivity, sensitivity
from hw_models.sourced import Sourced, with_constant
from hw_models.template import write_template
from hw_models.uncertainty import Interval
from hw_models.units import format_quantity
from hw_models.workload import Workload

__all__ = [
    "Accelerator",
    "BreakEven",
    "CatalogError",
    "Comparison",
    "ComparisonError",
    "Device",
    "DutyCycle",
    "EnergyReport",
    "EstimateError",
    "Estimates",
    "HwModelError",
    "Interval",
    "LayerOps",
    "LayerRoofline",
    "Link",
    "NeuromorphicChip",
    "OpKind",
    "Ops",
    "Placed",
    "Precision",
    "Ratios",
    "Sensitivity",
    "Sourced",
    "System",
    "UnknownDeviceError",
    "Workload",
    "WorkloadError",
    "battery_life",
    "break_even",
    "compare",
    "device_names",
    "duty_cycle",
    "estimate",
    "estimate_many",
    "format_quantity",
    "layer_roofline",
    "link_names",
    "load_device",
    "sensitivity",
    "with_constant",
    "write_template",
]
