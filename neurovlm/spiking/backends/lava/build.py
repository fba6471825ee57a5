"""A Network as Lava processes; imported in the child only, after ``shim.import_lava``.

One stock ``LIF`` per population and one stock ``Sparse`` per target and sign: connections of one
sign into one population share a process, their matrices side by side and their sources in slots of
its in-port, because every process costs about a quarter of a millisecond per tick. Each connection
still takes exactly one tick.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.sparse
from lava.magma.core.process.ports.ports import OutPort
from lava.proc.lif.process import LIF
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode

from neurovlm.spiking.backends.lava.job import BOUNDS_FILE, NEURON_FILE, SPIKE_FILE, Job
from neurovlm.spiking.backends.lava.processes.process import EventSource, Slot, SpikeSink
from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.network import Connection, Network, Population


def build(job: Job, folder: Path) -> EventSource:
    """Connect everything; running the returned source runs it all."""
    network = job.network
    total = sum(p.size for p in network.populations)
    source = EventSource(
        size=network.n_inputs,
        neuron_file=str(folder / NEURON_FILE),
        bounds_file=str(folder / BOUNDS_FILE),
    )
    sink = SpikeSink(size=total, n_ticks=job.n_ticks, spike_file=str(folder / SPIKE_FILE))
    neurons = {p.name: _neurons(p, network.dynamics.precision) for p in network.populations}
    out = {network.input_name: source.s_out} | {n: lif.s_out for n, lif in neurons.items()}
    _gather([out[p.name] for p in network.populations], sink)
    for group in _groups(network):
        synapses = _synapses(group, network.dynamics.precision)
        _gather([out[c.source] for c in group], synapses)
        synapses.a_out.connect(neurons[group[0].target].a_in)
    return source


def _neurons(p: Population, precision: Precision) -> LIF:
    if precision is Precision.LOIHI:
        return LIF(
            shape=(p.size,), du=int(p.du[0]), dv=int(p.dv[0]), vth=int(p.vth[0]), name=p.name
        )
    # 1 - loss / 4096 rounds as (4096 - loss) / 4096 does: scaling by 4096 is exact
    du, dv = float(p.loss_u[0]) / UNIT, float(p.loss_v[0]) / UNIT
    return LIF(shape=(p.size,), du=du, dv=dv, vth=float(p.threshold[0]), name=p.name)


def _groups(network: Network) -> list[list[Connection]]:
    """Sort connections by target and sign.

    A second connection between the same two populations opens another group: Lava tells a port's
    senders apart by their port, and would clip the sum of two weights to 8 bits.
    """
    fixed = network.dynamics.precision is Precision.LOIHI
    groups: dict[tuple[str, bool, int], list[Connection]] = {}
    for c in network.connections:
        if not c.synapses:
            continue
        inhibitory = fixed and bool(c.matrix.data[0] < 0)
        nth = 0
        while any(c.source == o.source for o in groups.get((c.target, inhibitory, nth), [])):
            nth += 1
        groups.setdefault((c.target, inhibitory, nth), []).append(c)
    return list(groups.values())


def _synapses(group: list[Connection], precision: Precision) -> Sparse:
    """Weights of a group side by side.

    Spikes are sent as one-bit messages. For zeros and ones the product is the same as without
    message bits, and Lava then multiplies instead of selecting columns, which is faster.
    """
    fixed = precision is Precision.LOIHI
    weights = scipy.sparse.hstack([c.matrix for c in group], format="csr")
    sign = SignMode.INHIBITORY if weights.data[0] < 0 else SignMode.EXCITATORY
    return Sparse(
        weights=scipy.sparse.csr_matrix(weights, dtype=np.int32 if fixed else np.float64),
        num_message_bits=1,
        sign_mode=sign if fixed else SignMode.MIXED,
        name="+".join(c.name for c in group),
    )


def _gather(ports: list[OutPort], receiver: Sparse | SpikeSink) -> None:
    """Let ``receiver`` see the ports as one vector, in this order."""
    start = 0
    for port in ports:
        if port.shape == receiver.s_in.shape:
            port.connect(receiver.s_in)
        else:
            Slot(port, receiver.s_in.shape[0], start).connect(receiver.s_in)
        start += port.shape[0]
