"""The laws every device must keep, also one of your own.

As a function, and on the command line (``python -m hw_models devices --check my-device.toml``)::

    from hw_models.contract import check_device
    for finding in check_device("my-device.toml"):
        ...

With pytest, one case per law::

    from hw_models.contract import device_test
    test_my_device = device_test("my-device.toml")

Laws about numbers: each is cited, none is the placeholder of a template, all lie where such a
quantity can lie at all, what is assumed has a range. Laws about results: rows add up, nothing
costs nothing but idle power, counts and costs grow in step, more never costs less, intervals
enclose the value and repeat. An ``error`` fails the device, a ``warning`` does not.
"""

from hw_models.contract.finding import Finding, part_of, passes, record_of
from hw_models.contract.suite import LAWS, check_device, device_test

__all__ = ["LAWS", "Finding", "check_device", "device_test", "part_of", "passes", "record_of"]
