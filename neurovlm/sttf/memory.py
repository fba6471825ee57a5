"""TokenMemory: one token per patch and each layer's keys and values, kept across windows.

A value, not a service: every function here returns new tensors and leaves its arguments alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurovlm.core.errors import UsageError


@dataclass(frozen=True, eq=False)
class TokenMemory:
    """What the encoder remembers of ``B`` streams with ``N`` patches each.

    Attributes
    ----------
    tokens
        ``(B, R, D)``, the last output of the encoder: R rows, first those of prefix tokens (class
        token, registers; none in our own models), then one per patch.
    keys, values
        Per layer ``(B, h, R, D/h)``, what active tokens attend to; empty where none are kept.
    size
        ``(B, N)``, effective number of windows averaged into a token; 1 where it was replaced.
    age
        int64 ``(B, N)``, windows since the token was computed; 0 is fresh.
    exposure
        int64 ``(B, N)``, tokens computed by others in the windows since: what it has not seen.
    signals
        ``(B, L, 2)``, of each layer in the last step: mean distance from the gate's reference and
        mean attention entropy over its largest value, log R; zero without gates.
    references
        Per layer ``(B, R, D)``, the normalised input that layer last computed on; empty
        without gates.
    outputs
        Per layer ``(B, R, D)``, the output a gated token falls back to; empty without gates.
    """

    tokens: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    size: Tensor
    age: Tensor
    exposure: Tensor
    signals: Tensor
    references: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()

    @property
    def n_streams(self) -> int:
        """Streams in the batch."""
        return self.tokens.shape[0]

    @property
    def n_prefix(self) -> int:
        """Rows before those of the patches."""
        return self.tokens.shape[1] - self.age.shape[1]

    @property
    def patches(self) -> Tensor:
        """Tokens of the patches alone, ``(B, N, D)``."""
        return self.tokens[:, self.n_prefix :]

    def _map(self, function: Callable[[Tensor], Tensor]) -> TokenMemory:
        def apply(value: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
            return tuple(map(function, value)) if isinstance(value, tuple) else function(value)

        fields = {f.name: apply(getattr(self, f.name)) for f in dataclasses.fields(self)}
        return TokenMemory(**fields)  # type: ignore[arg-type]

    def detach(self) -> TokenMemory:
        """Cut the gradient's path into the past; shares storage, as tensors are never written."""
        return self._map(Tensor.detach)

    def streams(self, index: Tensor) -> TokenMemory:
        """Memory of the chosen streams, in that order."""
        return self._map(lambda tensor: tensor[index])

    def where(self, mask: Tensor, other: TokenMemory) -> TokenMemory:
        """Streams of this memory where ``mask (B,)`` is True, of ``other`` elsewhere."""

        def choose(mine: Tensor, theirs: Tensor) -> Tensor:
            return torch.where(mask.view(-1, *(1,) * (mine.ndim - 1)), mine, theirs)

        fields: dict[str, Tensor | tuple[Tensor, ...]] = {}
        for field in dataclasses.fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if isinstance(mine, tuple):
                fields[field.name] = tuple(map(choose, mine, theirs))
            else:
                fields[field.name] = choose(mine, theirs)
        return TokenMemory(**fields)  # type: ignore[arg-type]

    def aged(self) -> TokenMemory:
        """Memory after a window in which nothing was computed."""
        return dataclasses.replace(self, age=self.age + 1)

    def to_arrays(self) -> dict[str, NDArray[np.generic]]:
        """Arrays by name, ready for ``np.savez``; `from_arrays` is the inverse."""
        arrays = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                for layer, tensor in enumerate(value):
                    arrays[f"{field.name}.{layer}"] = tensor.numpy(force=True).copy()
            else:
                arrays[field.name] = value.numpy(force=True).copy()
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> TokenMemory:
        """Rebuild a memory from `to_arrays`.

        Raises
        ------
        UsageError
            When an array is missing, naming it.
        """
        missing = {"tokens", "size", "age", "exposure", "signals"} - set(arrays)
        if missing:
            raise UsageError(f"TokenMemory: arrays lack {', '.join(sorted(missing))}")

        def layers(name: str) -> tuple[Tensor, ...]:
            n = sum(key.startswith(f"{name}.") for key in arrays)
            return tuple(torch.tensor(arrays[f"{name}.{layer}"]) for layer in range(n))

        return cls(
            tokens=torch.tensor(arrays["tokens"]),
            keys=layers("keys"),
            values=layers("values"),
            size=torch.tensor(arrays["size"]),
            age=torch.tensor(arrays["age"]),
            exposure=torch.tensor(arrays["exposure"]),
            signals=torch.tensor(arrays["signals"]),
            references=layers("references"),
            outputs=layers("outputs"),
        )


def take_rows(bank: Tensor, index: Tensor) -> Tensor:
    """Rows ``index (B, k)`` of ``bank (B, ..., N, D)`` -> ``(B, ..., k, D)``."""
    return bank.gather(-2, _expand(index, bank))


def put_rows(bank: Tensor, index: Tensor, rows: Tensor, valid: Tensor | None = None) -> Tensor:
    """Copy of ``bank`` with ``rows`` written at ``index``; all others keep their bits.

    Indices of a stream must be distinct. Where ``valid (B, k)`` is False the old row is kept.
    """
    where = _expand(index, bank)
    if valid is not None:
        rows = torch.where(_expand(valid, bank), rows, bank.gather(-2, where))
    return bank.scatter(-2, where, rows)


def _expand(index: Tensor, bank: Tensor) -> Tensor:
    n_streams, k = index.shape
    middle = bank.shape[1:-2]
    shaped = index.view(n_streams, *(1,) * len(middle), k, 1)
    return shaped.expand(n_streams, *middle, k, bank.shape[-1])
