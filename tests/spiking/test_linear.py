"""Linear NIR nodes against PyTorch, and synapses counted one by one at borders."""

from __future__ import annotations

import itertools
import warnings

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neurovlm.core.errors import GraphError
from neurovlm.spiking.linear import LINEAR_NODES, linear_map

RNG = np.random.default_rng(0)


def conv(weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1):
    bias = np.zeros(len(weight)) if bias is None else bias
    return nir.Conv2d(None, weight, stride, padding, dilation, groups, bias)


def integers(*shape):
    """Integer weights keep every sum exact, so results are compared for equality."""
    return RNG.integers(-9, 10, shape).astype(np.float64)


def apply(node, image):
    matrix, bias, shape = linear_map("n", node, image.shape)
    return (matrix @ image.ravel() + bias).reshape(shape)


CONVOLUTIONS = [
    {"stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    {"stride": 1, "padding": 1, "dilation": 1, "groups": 1},
    {"stride": 2, "padding": 1, "dilation": 1, "groups": 1},
    {"stride": (2, 3), "padding": (0, 2), "dilation": 1, "groups": 1},
    {"stride": 1, "padding": 2, "dilation": (2, 1), "groups": 1},
    {"stride": 1, "padding": 1, "dilation": 1, "groups": 2},
    {"stride": 1, "padding": "same", "dilation": 1, "groups": 1},
    {"stride": 1, "padding": "same", "dilation": 2, "groups": 4},
    {"stride": 2, "padding": "valid", "dilation": 1, "groups": 1},
]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kernel", [(3, 3), (2, 3)], ids=str)
def test_convolution_against_torch(options, kernel):
    weight = integers(8, 4 // options["groups"], *kernel)
    bias, image = integers(8), integers(4, 7, 9)
    tensors = (torch.from_numpy(x) for x in (image, weight, bias))
    with warnings.catch_warnings():
        # torch says that 'same' copies the input where the kernel is even
        warnings.filterwarnings("ignore", "Using padding='same'", UserWarning)
        expected = torch.nn.functional.conv2d(*tensors, **options)
    assert np.array_equal(apply(conv(weight, bias, **options), image), expected.numpy())


@settings(max_examples=30)
@given(
    height=st.integers(1, 8),
    width=st.integers(1, 8),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_any_convolution_against_torch_or_refused(height, width, kernel, stride, padding, dilation):
    weight, image = integers(2, 3, *kernel), integers(3, height, width)
    node = conv(weight, stride=stride, padding=padding, dilation=dilation)
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    fits = all(
        span <= n + 2 * p for span, n, p in zip(spans, (height, width), padding, strict=True)
    )
    if not fits:
        with pytest.raises(GraphError, match="larger than its input"):
            linear_map("n", node, image.shape)
        return
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(image),
        torch.from_numpy(weight),
        stride=stride,
        padding=padding,
        dilation=dilation,
    )
    assert np.array_equal(apply(node, image), expected.numpy())


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), ((3, 2), (2, 1), (1, 0))])
def test_pooling_against_torch(size, stride, padding):
    image = integers(3, 6, 8)
    geometry = np.array(size), np.array(stride), np.array(padding)
    area = np.prod(np.broadcast_to(size, 2))
    mean = torch.nn.functional.avg_pool2d(torch.from_numpy(image), size, stride, padding).numpy()
    summed, averaged = (
        apply(nir.SumPool2d(*geometry), image),
        apply(nir.AvgPool2d(*geometry), image),
    )
    assert np.allclose(summed, mean * area, rtol=1e-14, atol=1e-12)
    assert np.allclose(averaged, mean, rtol=1e-14, atol=1e-12)


def test_linear_and_affine_against_torch():
    weight, bias, x = integers(5, 12), integers(5), integers(12)
    expected = torch.nn.functional.linear(*(torch.from_numpy(a) for a in (x, weight, bias)))
    assert np.array_equal(apply(nir.Affine(weight, bias), x), expected.numpy())
    assert np.array_equal(apply(nir.Linear(weight), x), weight @ x)


def test_scale_multiplies_and_keeps_the_shape():
    scale, image = integers(2, 3, 4), integers(2, 3, 4)
    assert np.array_equal(apply(nir.Scale(scale), image), scale * image)


def test_flatten_is_row_major():
    image = integers(2, 3, 4)
    node = nir.Flatten({"input": np.array(image.shape)}, 0, -1)
    assert np.array_equal(apply(node, image), image.ravel())


def test_every_supported_node_is_compared_above():
    compared = {
        nir.Conv2d,
        nir.SumPool2d,
        nir.AvgPool2d,
        nir.Linear,
        nir.Affine,
        nir.Scale,
        nir.Flatten,
    }
    assert set(LINEAR_NODES) == compared


@pytest.mark.parametrize(
    ("size", "stride", "padding"), [(3, 1, 1), (3, 1, 0), (2, 2, 1), (3, 2, 1)]
)
def test_synapses_at_the_borders_of_a_4x4_input(size, stride, padding):
    """Every (output, tap) that reads a real pixel is one synapse; padding is none."""
    n_out = (4 + 2 * padding - size) // stride + 1
    expected = 0
    for oy, ox, ky, kx in itertools.product(*map(range, (n_out, n_out, size, size))):
        y, x = oy * stride - padding + ky, ox * stride - padding + kx
        expected += 0 <= y < 4 and 0 <= x < 4
    node = conv(np.ones((1, 1, size, size)), stride=stride, padding=padding)
    matrix, _, _ = linear_map("n", node, (1, 4, 4))
    assert matrix.nnz == expected


def test_a_zero_weight_is_no_synapse():
    ring = np.ones((1, 1, 3, 3))
    ring[0, 0, 1, 1] = 0
    whole, _, _ = linear_map("n", conv(np.ones((1, 1, 3, 3)), padding=1), (1, 4, 4))
    without_centre, _, _ = linear_map("n", conv(ring, padding=1), (1, 4, 4))
    assert whole.nnz - without_centre.nnz == 16
    dense, _, _ = linear_map("n", nir.Linear(np.array([[0.0, 2.0], [0.0, 0.0]])), (2,))
    assert dense.nnz == 1


@pytest.mark.parametrize(
    ("node", "shape", "message"),
    [
        (nir.Linear(np.ones((2, 5))), (4,), "takes 5 inputs, its source has 4"),
        (nir.Scale(np.ones(3)), (4,), "takes 3 inputs, its source has 4"),
        (conv(np.ones((1, 2, 3, 3))), (3, 8, 8), "takes 2 channels, its input has 3"),
        (conv(np.ones((1, 1, 3, 3))), (64,), "needs an input of"),
        (conv(np.ones((1, 1, 5, 5))), (1, 4, 4), "larger than its input"),
        (
            conv(np.ones((1, 1, 3, 3)), stride=2, padding="same"),
            (1, 4, 4),
            "'same' needs stride 1",
        ),
    ],
)
def test_a_node_that_does_not_fit_is_named(node, shape, message):
    with pytest.raises(GraphError, match=message) as caught:
        linear_map("c1", node, shape)
    assert "node 'c1'" in str(caught.value)
