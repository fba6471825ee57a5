"""Training of a threshold policy behind a frozen model.

The gates have no weights of their own, so any trained encoder can be given them; only the policy
(some 300 numbers) learns. Clips are run once without gates, which says what should be seen, and
then again and again with gates under a budget b drawn for each batch::

    loss = CE(p, y) / 2 + KL(p' || p) + ||r - r'||^2 / mean ||r'||^2
         + 2 max(0, log C / C(b))^2 + max(0, log C(b) / C - 0.2)^2 / 2
    C(b) = c_0^(1 - b) c_1^b

r is the readout of a window and p the label of it, r' and p' the same without gates, y the truth,
C the share of the rows that pass. The forward pass is that of hard gates, gradients are those of
sigmoids, and they flow through the memory over the whole clip: what a gate leaves stale is paid
for later. Within a batch one clip may spend what another saves.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.sttf.window import SttfState, encode_window
from neurovlm.training.batch import Batch
from neurovlm.training.data import UNKNOWN
from neurovlm.zoo.model import SttfModel, with_spec


@dataclass(frozen=True)
class Spending:
    """What budgets ask for, and how soft gates are while learning.

    Attributes
    ----------
    lowest, highest
        Shares of the rows that budgets 0 and 1 ask for.
    temperature
        Of the soft gates.
    """

    lowest: float = 0.05
    highest: float = 0.5
    temperature: float = 0.1

    def share(self, budget: float) -> float:
        """Share of the rows that a budget asks for."""
        return math.exp((1 - budget) * math.log(self.lowest) + budget * math.log(self.highest))


class Seen(NamedTuple):
    """What one run over a batch gave, window by window.

    Attributes
    ----------
    readout
        ``(B, T, observed_dim)``.
    logits
        ``(B, T, n_labels)``.
    rows
        ``(B, T)``, rows computed, over all layers.
    active
        ``(B, T)``, rows that would have been computed without gates.
    state
        After the last window.
    """

    readout: Tensor
    logits: Tensor
    rows: Tensor
    active: Tensor
    state: SttfState

    @property
    def share(self) -> Tensor:
        """Rows computed over rows active in sparse steps, over the whole batch."""
        return self.rows[:, 1:].sum() / self.active[:, 1:].sum()


def with_fixed_threshold(model: SttfModel, tau: float | None) -> SttfModel:
    """The same weights with gates that all have the threshold ``tau``; None: without gates."""
    encoder = dataclasses.replace(model.spec.encoder, gate_tau=tau)
    return with_spec(model, dataclasses.replace(model.spec, encoder=encoder, thresholds=None))


def watch(
    model: SttfModel, batch: Batch, budget: float | None = None, temperature: float | None = None
) -> Seen:
    """Run all windows of a batch one after the other, as `SttfModel.step` does.

    Gradients, where they are on, flow through the memory.

    Parameters
    ----------
    budget
        Of the threshold policy; that of the model's spec when None.
    temperature
        Of soft gates; None: hard.
    """
    n_streams, n_labels = len(batch.label), len(model.spec.labels)
    head = model.head.initial(n_streams)
    probabilities = torch.full((n_streams, n_labels), 1 / n_labels, device=batch.label.device)
    state: SttfState | None = None
    readout, logits, rows, active = [], [], [], []
    for window in range(batch.counts.shape[1]):
        counts, score = batch.counts[:, window], batch.score[:, window]
        steering = model.steering(counts, probabilities)
        if steering is not None:
            given = steering.budget
            if budget is not None:
                given = torch.full_like(probabilities[:, 0], budget)
            steering = dataclasses.replace(steering, budget=given, temperature=temperature)
        encoded = encode_window(
            model.encoder,
            model.spec.policy,
            (counts, batch.frame(window)),
            batch.changed[:, window],
            score,
            state,
            steering=steering,
        )
        state = encoded.state
        observed = model.head.observe(state, score)
        hidden, head = model.head.advance(observed[:, None], head)
        readout.append(observed)
        logits.append(model.head.label(hidden[:, -1]))
        probabilities = logits[-1].detach().softmax(-1)
        rows.append(encoded.n_rows.sum(-1))
        active.append(encoded.n_active * model.spec.encoder.depth)
    return Seen(
        torch.stack(readout, 1),
        torch.stack(logits, 1),
        torch.stack(rows, 1),
        torch.stack(active, 1),
        cast("SttfState", state),
    )


def threshold_loss(
    model: SttfModel,
    plain: SttfModel,
    batch: Batch,
    spending: Spending,
    budget: float,
    *,
    first_window: int,
    soft: bool,
) -> dict[str, Tensor]:
    """Losses by name of ``model.thresholds`` under a budget; see the top of this module.

    Parameters
    ----------
    model, plain
        With a policy, and the same weights without gates.
    first_window
        Labels count from this window on.
    soft
        Whether gradients flow through the gates.
    """
    with torch.no_grad():
        truth = watch(plain, batch)
    seen = watch(model, batch, budget, spending.temperature if soft else None)
    first = min(first_window, batch.counts.shape[1] - 1)
    given, right = (each.logits[:, first:] for each in (seen, truth))
    wanted = batch.label[:, None].expand(given.shape[:2]).flatten()
    missed = functional.cross_entropy(
        given.flatten(0, 1), wanted, ignore_index=UNKNOWN, reduction="sum"
    )
    log_right, log_given = right.log_softmax(-1), given.log_softmax(-1)
    distance = (seen.readout - truth.readout).square().sum(-1).mean()
    over = seen.share.log() - math.log(spending.share(budget))
    return {
        "truth": 0.5 * missed / (wanted != UNKNOWN).sum().clamp(min=1),
        "label": (log_right.exp() * (log_right - log_given)).sum(-1).mean(),
        "readout": distance / truth.readout.square().sum(-1).mean(),
        "budget": 2 * functional.relu(over) ** 2 + 0.5 * functional.relu(-over - 0.2) ** 2,
    }
