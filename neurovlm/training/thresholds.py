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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.sttf.thresholds import ThresholdConfig
from neurovlm.sttf.window import SttfState, encode_window
from neurovlm.training.batch import Batch
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec


@dataclass(frozen=True)
class FitThresholds:
    """How to train.

    Attributes
    ----------
    steps
        Batches.
    learning_rate, clip_norm
        Of Adam, falling linearly to 0.
    lowest, highest
        Shares of the rows that budgets 0 and 1 ask for.
    temperature
        Of the soft gates.
    first_window
        Labels count from this window on.
    """

    steps: int = 200
    learning_rate: float = 0.03
    clip_norm: float = 1.0
    lowest: float = 0.05
    highest: float = 0.5
    temperature: float = 0.1
    first_window: int = 10

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


def with_thresholds(
    model: SttfModel, config: ThresholdConfig | None = None, budget: float = 1.0
) -> SttfModel:
    """The same weights with gates and an untrained policy of their thresholds."""
    config = ThresholdConfig(0.0, 1.5) if config is None else config
    spec = dataclasses.replace(
        model.spec,
        encoder=dataclasses.replace(model.spec.encoder, gate_tau=config.tau_min),
        policy=dataclasses.replace(model.spec.policy, budget=budget),
        thresholds=config,
    )
    return _copied(model, spec)


def with_fixed_threshold(model: SttfModel, tau: float | None) -> SttfModel:
    """The same weights with gates that all have the threshold ``tau``; None: without gates."""
    encoder = dataclasses.replace(model.spec.encoder, gate_tau=tau)
    return _copied(model, dataclasses.replace(model.spec, encoder=encoder, thresholds=None))


def _copied(model: SttfModel, spec: ModelSpec) -> SttfModel:
    copy = SttfModel(spec)
    own = copy.state_dict()
    own.update({name: value for name, value in model.state_dict().items() if name in own})
    copy.load_state_dict(own)
    return copy.eval()


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
    probabilities = torch.full((n_streams, n_labels), 1 / n_labels)
    state: SttfState | None = None
    readout, logits, rows, active = [], [], [], []
    for window in range(batch.counts.shape[1]):
        counts, score = batch.counts[:, window], batch.score[:, window]
        steering = model.steering(counts, probabilities)
        if steering is not None:
            given = steering.budget if budget is None else torch.full((n_streams,), budget)
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


def fit_thresholds(
    model: SttfModel,
    batches: Sequence[Batch],
    config: FitThresholds,
    seed: int,
    report: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
) -> None:
    """Train ``model.thresholds`` in place; all else stays as it is.

    Parameters
    ----------
    model
        From `with_thresholds`.
    batches
        Clips side by side, gone through in random order for as many steps as asked.
    seed
        Decides order and budgets.
    report
        Called after each step with its number and losses.
    """
    if model.thresholds is None:
        raise ValueError("fit_thresholds: the model has no threshold policy")
    plain = with_fixed_threshold(model, None)
    with torch.no_grad():
        truth = [watch(plain, batch) for batch in batches]
    model.requires_grad_(False)
    model.thresholds.requires_grad_(True)
    parameters = list(model.thresholds.parameters())
    optimizer = torch.optim.Adam(parameters, config.learning_rate, betas=(0.9, 0.98))
    rng = np.random.default_rng(seed)
    for step in range(config.steps):
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - step / config.steps)
        chosen, budget = int(rng.integers(len(batches))), float(rng.random())
        seen = watch(model, batches[chosen], budget, config.temperature)
        losses = _losses(seen, truth[chosen], batches[chosen].label, config, budget)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(parameters, config.clip_norm)
        optimizer.step()
        report(step, {name: float(loss.detach()) for name, loss in losses.items()})


def _losses(
    seen: Seen, truth: Seen, label: Tensor, config: FitThresholds, budget: float
) -> dict[str, Tensor]:
    given, right = (each.logits[:, config.first_window :] for each in (seen, truth))
    wanted = label[:, None].expand(given.shape[:2])
    log_right, log_given = right.log_softmax(-1), given.log_softmax(-1)
    distance = (seen.readout - truth.readout).square().sum(-1).mean()
    over = seen.share.log() - math.log(config.share(budget))
    return {
        "truth": 0.5 * functional.cross_entropy(given.flatten(0, 1), wanted.flatten()),
        "label": (log_right.exp() * (log_right - log_given)).sum(-1).mean(),
        "readout": distance / truth.readout.square().sum(-1).mean(),
        "budget": 2 * functional.relu(over) ** 2 + 0.5 * functional.relu(-over - 0.2) ** 2,
    }
