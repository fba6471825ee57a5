"""TokenMemory is a value: it comes back from disk, and rows go where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurovlm.core.errors import UsageError
from neurovlm.sttf.block import Rows
from neurovlm.sttf.memory import TokenMemory, put_rows, take_rows


@pytest.mark.parametrize("gate_tau", [None, 0.1])
def test_round_trip_through_a_file(make, tmp_path, gate_tau):
    encoder = make.encoder(replace(make.small, gate_tau=gate_tau))
    memory = make.history(encoder)
    np.savez(tmp_path / "memory.npz", **memory.to_arrays())
    with np.load(tmp_path / "memory.npz") as file:
        again = TokenMemory.from_arrays(file)
    rows, now = Rows(torch.tensor([[1, 7, 20]]), None), (make.counts(4), None)
    one, _ = encoder.step(now, rows, memory)
    other, _ = encoder.step(now, rows, again)
    assert one.to_arrays().keys() == other.to_arrays().keys()
    for name, array in one.to_arrays().items():
        np.testing.assert_array_equal(array, other.to_arrays()[name])


def test_arrays_share_nothing_with_the_memory(make):
    memory = make.history(make.encoder())
    memory.to_arrays()["tokens"][:] = 0
    assert memory.tokens.abs().max() > 0


def test_missing_array_is_named(make):
    arrays = make.history(make.encoder()).to_arrays()
    del arrays["age"]
    with pytest.raises(UsageError, match="lack age"):
        TokenMemory.from_arrays(arrays)


def test_where_takes_whole_streams(make):
    encoder = make.encoder()
    one, other = make.history(encoder, 3, seed=1), make.history(encoder, 3, seed=2)
    mixed = one.where(torch.tensor([True, False, True]), other)
    for stream, source in enumerate((one, other, one)):
        part = torch.tensor([stream])
        for name, array in mixed.streams(part).to_arrays().items():
            np.testing.assert_array_equal(array, source.streams(part).to_arrays()[name])


@pytest.mark.parametrize("middle", [(), (3,)])
def test_put_then_take_gives_the_rows_back(middle):
    generator = torch.Generator().manual_seed(0)
    bank = torch.randn(2, *middle, 6, 4, generator=generator)
    rows = torch.randn(2, *middle, 2, 4, generator=generator)
    index = torch.tensor([[5, 0], [2, 3]])
    valid = torch.tensor([[True, True], [False, True]])
    after = put_rows(bank, index, rows, valid)
    expected = bank.clone()
    expected[0, ..., 5, :], expected[0, ..., 0, :] = rows[0, ..., 0, :], rows[0, ..., 1, :]
    expected[1, ..., 3, :] = rows[1, ..., 1, :]
    assert torch.equal(after, expected)
    assert torch.equal(take_rows(after, index)[0], rows[0])
