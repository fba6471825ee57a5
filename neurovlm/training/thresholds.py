"""Training of a threshold policy behind a frozen model.

The gates have no weights of their own, so any trained encoder can be given them; only the policy
(some 300 numbers) learns. Each clip is run twice: without gates, which says what should be seen,
and with soft gates under a budget b drawn for the clip, where

    loss = ||r - r'||^2 / ||r'||^2 + KL(p' || p) + mu max(0, C - C(b))^2

r is the readout and p the label of a window, r' and p' without gates, C the share of the rows that
pass and ``C(b) = c_0 + (1 - c_0) b`` what the budget allows. Gradients stay within a window: what
an omission does to later ones is seen, but not credited to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neurovlm.sttf.head import HeadState
from neurovlm.sttf.policy import Limits
from neurovlm.sttf.thresholds import ThresholdConfig
from neurovlm.sttf.window import SttfState, encode_window
from neurovlm.training.loop import Batch
from neurovlm.zoo.model import SttfModel
from neurovlm.zoo.spec import ModelSpec


@dataclass(frozen=True)
class FitThresholds:
    """How to train.

    Attributes
    ----------
    steps
        Batches.
    learning_rate
        Of Adam, falling linearly to 0.
    lowest
        Share of rows c_0 that budget 0 allows.
    pressure
        Weight mu of what is spent above the budget.
    temperature
        Of the soft gates, from the first to the last step.
    """

    steps: int = 200
    learning_rate: float = 1e-2
    lowest: float = 0.3
    pressure: float = 20.0
    temperature: tuple[float, float] = (0.1, 0.02)

    def allowed(self, budget: Tensor) -> Tensor:
        """Share of rows that a budget allows."""
        return self.lowest + (1 - self.lowest) * budget


def with_thresholds(model: SttfModel, config: ThresholdConfig, budget: float = 1.0) -> SttfModel:
    """The same weights with gates and an untrained policy of their thresholds."""
    spec = dataclasses.replace(
        model.spec,
        encoder=dataclasses.replace(model.spec.encoder, gate_tau=config.tau_min),
        policy=dataclasses.replace(model.spec.policy, budget=budget),
        thresholds=config,
    )
    return _copied(model, spec)


def with_fixed_threshold(model: SttfModel, tau: float) -> SttfModel:
    """The same weights with gates that all have the threshold ``tau``."""
    encoder = dataclasses.replace(model.spec.encoder, gate_tau=tau)
    return _copied(model, dataclasses.replace(model.spec, encoder=encoder, thresholds=None))


def _copied(model: SttfModel, spec: ModelSpec) -> SttfModel:
    copy = SttfModel(spec)
    weights = {k: v for k, v in model.state_dict().items() if not k.startswith("thresholds.")}
    missing, unexpected = copy.load_state_dict(weights, strict=False)
    assert not unexpected and all(name.startswith("thresholds.") for name in missing)
    return copy.eval()


def fit_thresholds(
    model: SttfModel,
    batches: Iterator[Batch],
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
        Clips side by side.
    seed
        Decides the budgets.
    report
        Called after each step with its number and losses.
    """
    policy = model.thresholds
    if policy is None:
        raise ValueError("fit_thresholds: the model has no threshold policy")
    plain = with_fixed_threshold(model, 0.0).requires_grad_(False)
    model.requires_grad_(False)
    policy.requires_grad_(True)
    optimizer = torch.optim.Adam(policy.parameters(), config.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    first, last = config.temperature
    for step in range(config.steps):
        done = step / config.steps
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - done)
        batch = next(batches)
        budget = torch.rand(len(batch.label), generator=generator)
        losses = _losses(model, plain, batch, budget, config, first + (last - first) * done)
        total = losses["readout"] + losses["label"] + config.pressure * losses["overspent"]
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        report(step, {name: float(loss.detach()) for name, loss in losses.items()})


def _losses(
    model: SttfModel,
    plain: SttfModel,
    batch: Batch,
    budget: Tensor,
    config: FitThresholds,
    temperature: float,
) -> dict[str, Tensor]:
    state: SttfState | None = None
    teacher: SttfState | None = None
    head, teacher_head = model.head.initial(len(budget)), model.head.initial(len(budget))
    probabilities = torch.full((len(budget), len(model.spec.labels)), 1 / len(model.spec.labels))
    readout, label, shares = [], [], []
    limits = Limits(batch.max_active, batch.n_refresh)
    for window in range(batch.counts.shape[1]):
        inputs = (batch.counts[:, window], batch.frame(window))
        seen = (batch.changed[:, window], batch.score[:, window])
        steering = model.steering(inputs[0], probabilities)
        assert steering is not None
        steering = dataclasses.replace(
            steering, budget=budget, limits=limits, temperature=temperature
        )
        with torch.no_grad():
            teacher = encode_window(plain.encoder, model.spec.policy, inputs, *seen, teacher).state
            right = plain.head.observe(teacher, seen[1])
            hidden, teacher_head = plain.head.advance(right[:, None], teacher_head)
            right_logits = plain.head.label(hidden[:, -1])
        before = None if state is None else SttfState(state.memory.detach(), state.policy)
        encoded = encode_window(
            model.encoder, model.spec.policy, inputs, *seen, before, steering=steering
        )
        state = encoded.state
        mine = model.head.observe(state, seen[1])
        hidden, head = model.head.advance(mine[:, None], _detached(head))
        logits = model.head.label(hidden[:, -1])
        probabilities = logits.detach().softmax(-1)
        if encoded.tau is None:
            continue
        readout.append((mine - right).square().sum(-1).mean() / right.square().sum(-1).mean())
        label.append(_kl(right_logits, logits))
        ungated = encoded.n_active * model.spec.encoder.depth
        shares.append(encoded.n_rows.sum(-1) / ungated.clamp(min=1))
    spent = torch.stack(shares, 1).mean(1)
    return {
        "readout": torch.stack(readout).mean(),
        "label": torch.stack(label).mean(),
        "overspent": functional.relu(spent - config.allowed(budget)).square().mean(),
    }


def _detached(state: HeadState) -> HeadState:
    return HeadState(state.history.detach(), state.hidden.detach())


def _kl(right: Tensor, given: Tensor) -> Tensor:
    """KL(right || given) of logits, mean over clips."""
    log_right, log_given = right.log_softmax(-1), given.log_softmax(-1)
    return (log_right.exp() * (log_right - log_given)).sum(-1).mean()
