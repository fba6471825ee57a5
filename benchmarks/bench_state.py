"""Whether a stream's state stays as it is: time and bytes of 10,000 windows.

    python benchmarks/bench_state.py

One stream of random events through the shipped model, window by window. Prints the median
milliseconds a window over the first and the last thousand, and the bytes of the state after both.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch

import neurovlm as nv
from neurovlm.events.stream import EventStream
from neurovlm.events.windows import Window
from neurovlm.pipeline import PipelineState

BLOCK = 1_000


def random_window(index: int, window_us: int, n_events: int) -> Window:
    """Events over one corner of the sensor, each window with a seed of its own."""
    rng = np.random.default_rng(index)
    t0_us = index * window_us
    t = np.sort(rng.integers(t0_us, t0_us + window_us, n_events))
    x, y = rng.integers(20, 50, (2, n_events))
    events = EventStream(t, x, y, rng.random(n_events) < 0.5, (128, 128))
    return Window(index, t0_us, t0_us + window_us, events)


def n_bytes(state: PipelineState) -> int:
    """Bytes of the arrays of a state, without the spikes of its last tick."""
    arrays = state.to_arrays().items()
    return sum(array.nbytes for name, array in arrays if "/recent/" not in name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sttf-tiny")
    parser.add_argument("--windows", type=int, default=10 * BLOCK)
    parser.add_argument("--events", type=int, default=500, help="events a window")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pipeline = nv.Pipeline.load(options.model)
    state = pipeline.start()
    pipeline.step(random_window(0, pipeline.frontend.window_us, options.events), state)  # compiles
    for first in range(0, options.windows, BLOCK):
        spent_s, stop = [], min(first + BLOCK, options.windows)
        for index in range(first, stop):
            window = random_window(index, pipeline.frontend.window_us, options.events)
            start_s = time.perf_counter()
            _, state = pipeline.step(window, state)
            spent_s.append(time.perf_counter() - start_s)
        if first == 0 or stop == options.windows:
            print(
                f"windows {first} to {stop - 1}: {1e3 * np.median(spent_s):.2f} ms each, "
                f"state of {n_bytes(state):,} bytes"
            )


if __name__ == "__main__":
    main()
