"""A plain population as Lava's own processes; imported in the child only.

One ``LIF``, and one ``Sparse`` (with axonal delays ``DelaySparse``) per form of weights: Loihi's
integers have one sign mode and one exponent per connection process. Connections of one form share
a process, their matrices side by side, because every process costs about a quarter of a
millisecond per tick. Each connection still takes exactly one tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import scipy.sparse
from lava.proc.lif.process import LIF
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode

from neurovlm.spiking.dynamics import Precision
from neurovlm.spiking.fixed_point import UNIT
from neurovlm.spiking.loihi import weight_form
from neurovlm.spiking.network import Connection, Population

_Form: TypeAlias = tuple[str, int, bool, int]  # sign mode, exponent, delayed, number of the group


def stock_neurons(p: Population, precision: Precision) -> LIF:
    """Lava's LIF with the parameters of a plain population."""
    if precision is Precision.LOIHI:
        return LIF(
            shape=(p.size,), du=int(p.du[0]), dv=int(p.dv[0]), vth=int(p.vth[0]), name=p.name
        )
    # 1 - loss / 4096 rounds as (4096 - loss) / 4096 does: scaling by 4096 is exact
    du, dv = float(p.loss_u[0]) / UNIT, float(p.loss_v[0]) / UNIT
    return LIF(shape=(p.size,), du=du, dv=dv, vth=float(p.threshold[0]), name=p.name)


def grouped(connections: Sequence[Connection], precision: Precision) -> list[list[Connection]]:
    """Connections that can share one connection process.

    A second connection from the same source opens another group: Lava tells a port's senders apart
    by their port, and would clip the sum of two weights to 8 bits.
    """
    groups: dict[_Form, list[Connection]] = {}
    for c in connections:
        mode, exponent = "", 0
        if precision is Precision.LOIHI:
            form = weight_form(c)
            mode, exponent = form.sign_mode.name, form.exponent
        key: _Form = (mode, exponent, bool(c.delay.any()), 0)
        while any(c.source == other.source for other in groups.get(key, [])):
            key = (*key[:3], key[3] + 1)
        groups.setdefault(key, []).append(c)
    return list(groups.values())


def stock_synapses(group: Sequence[Connection], precision: Precision) -> Sparse:
    """Weights of a group side by side.

    Spikes are sent as messages of one bit or more. For zeros and ones the product is the same as
    without message bits, and Lava then multiplies instead of selecting columns, which is faster.
    """
    weights = scipy.sparse.hstack([c.matrix for c in group], format="csr")
    common = {"num_message_bits": 1, "name": "+".join(c.name for c in group)}
    if precision is Precision.LOIHI:
        form = weight_form(group[0])
        weights.data = weights.data.astype(np.int64) >> form.exponent
        matrix = scipy.sparse.csr_matrix(weights, dtype=np.int32)
        common |= {"sign_mode": SignMode[form.sign_mode.name], "weight_exp": form.exponent}
    else:
        matrix = scipy.sparse.csr_matrix(weights, dtype=np.float64)
        common |= {"sign_mode": SignMode.MIXED}
    delay = np.concatenate([c.delay for c in group])
    if not delay.any():
        return Sparse(weights=matrix, **common)
    per_synapse = (delay[matrix.indices], matrix.indices, matrix.indptr)
    delays = scipy.sparse.csr_matrix(per_synapse, shape=matrix.shape, copy=True)
    delays.eliminate_zeros()  # in place
    return DelaySparse(weights=matrix, delays=delays, **common)
