"""Training on several processes, as ``torchrun`` starts them: gradients are averaged.

A model is unrolled window by window, so gradients are reduced after the backward pass rather than
by a wrapper of one forward pass. Every process draws batches of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

PATIENCE = timedelta(hours=12)
"""For the first process, which renders clips before the others read them."""


@dataclass(frozen=True)
class World:
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the tensors of the first, in place."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.data, 0)

    def average(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace gradients by their mean over the processes; no gradient counts as zero."""
        if self.size == 1:
            return
        learned = list(parameters)
        gradients = (torch.zeros_like(p) if p.grad is None else p.grad for p in learned)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)  # one message: hundreds of small ones took a tenth of a step
        for parameter, mean in zip(learned, flat.split([p.numel() for p in learned]), strict=True):
            parameter.grad = (mean / self.size).view_as(parameter)

    @contextmanager
    def first_ahead(self) -> Iterator[None]:
        """What is inside the first process does before the others begin with it."""
        if self.size > 1 and not self.is_first:
            distributed.barrier()
        yield
        if self.size > 1 and self.is_first:
            distributed.barrier()

    def any(self, what: bool) -> bool:
        """Whether it is so in any process."""
        if self.size == 1:
            return what
        told = torch.tensor(float(what), device="cuda" if _backend() == "nccl" else "cpu")
        distributed.all_reduce(told)
        return bool(told > 0)


def _backend() -> str:
    return str(distributed.get_backend())


@contextmanager
def joined(device: str) -> Iterator[World]:
    """Join the processes that ``torchrun`` started; one alone when it did not."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield World()
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield World(distributed.get_rank(), size)
    finally:
        distributed.destroy_process_group()
