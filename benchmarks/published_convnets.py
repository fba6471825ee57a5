"""Published convolutional networks: NFNet-F6, MobileCLIP, E2VID, FireNet, and EventNet.

Batch norms and parallel branches are folded into convolutions, as at inference.
"""

from __future__ import annotations

from typing import Any

from benchmarks.published_parts import (
    Blocks,
    Part,
    attend,
    blocks,
    conv,
    embedding,
    linear,
    norm,
    resize,
    total,
    visit,
)

ENCODER = "encoder"


def square(side: int) -> tuple[int, int]:
    return side, side


def nfnet_f6(side: int) -> Part:
    """Normaliser-free network without its classifier; groups of 128 channels."""
    side //= 2
    parts = [conv(ENCODER, "stem1", square(side), 3, 16, 3, stride=2)]
    for i, (n_in, n_out) in enumerate(((16, 32), (32, 64))):
        parts.append(conv(ENCODER, f"stem{i + 2}", square(side), n_in, n_out, 3))
    side //= 2
    parts.append(conv(ENCODER, "stem4", square(side), 64, 128, 3, stride=2))
    n_in = 128
    for stage, (depth, n_out) in enumerate(
        zip((7, 14, 42, 21), (256, 512, 1536, 1536), strict=True)
    ):
        before, side = side, side if stage == 0 else side // 2
        parts.append(_nf_block(f"stage{stage + 1}.first", before, side, n_in, n_out, 1))
        parts.append(conv(ENCODER, f"stage{stage + 1}.shortcut", square(side), n_in, n_out, 1))
        parts.append(_nf_block(f"stage{stage + 1}.block", side, side, n_out, n_out, depth - 1))
        n_in = n_out
    parts.append(conv(ENCODER, "last", square(side), 1536, 3072, 1))
    return total(*parts)


def _nf_block(name: str, before: int, side: int, n_in: int, n_out: int, times: int) -> Part:
    """Convolve 1x1, 3x3 grouped twice, 1x1; squeeze and excite; all activated before."""
    mid = n_out // 2
    groups = mid // 128
    stride = before // side
    sites, sites_before = side**2, before**2
    return total(
        visit(ENCODER, f"{name}.activation1", sites_before * n_in, times=times),
        conv(ENCODER, f"{name}.reduce", square(before), n_in, mid, 1, times=times),
        visit(ENCODER, f"{name}.activation2", sites_before * mid, times=times),
        conv(
            ENCODER,
            f"{name}.space1",
            square(side),
            mid,
            mid,
            3,
            stride=stride,
            groups=groups,
            times=times,
        ),
        visit(ENCODER, f"{name}.activation3", sites * mid, times=2 * times),
        conv(ENCODER, f"{name}.space2", square(side), mid, mid, 3, groups=groups, times=times),
        conv(ENCODER, f"{name}.expand", square(side), mid, n_out, 1, times=times),
        _squeeze(name, sites, n_out, n_out // 2, times),
        visit(ENCODER, f"{name}.residual", sites * n_out, operands=2, times=times),
    )


def _squeeze(name: str, sites: int, channels: int, hidden: int, times: int = 1) -> Part:
    return total(
        visit(ENCODER, f"{name}.pool", sites * channels, times=times),
        linear(ENCODER, f"{name}.squeeze", 1, channels, hidden, times=times),
        linear(ENCODER, f"{name}.excite", 1, hidden, channels, times=times),
        visit(ENCODER, f"{name}.scale", sites * channels, times=times),
    )


def mobileclip_image(depths: tuple[int, ...], widths: tuple[int, ...], side: int = 256) -> Part:
    """MCi: three stages of reparameterised mixers, one of attention with heads of 32."""
    d = widths[0]
    side //= 2
    parts = [_activated("stem1", side, 3, d, 3, stride=2)]
    side //= 2
    parts += [
        _activated("stem2", side, d, d, 3, stride=2, groups=d),
        _activated("stem3", side, d, d, 1),
    ]
    for stage, (depth, d) in enumerate(zip(depths, widths, strict=True)):
        name = f"stage{stage + 1}"
        if stage:
            before, side = widths[stage - 1], side // 2
            parts.append(
                conv(ENCODER, f"{name}.down1", square(side), before, d, 7, stride=2, groups=before)
            )
            if stage >= 2:
                parts.append(_squeeze(f"{name}.down1", side**2, d, d // 4))
            parts.append(visit(ENCODER, f"{name}.down1.activation", side**2 * d))
            parts.append(_activated(f"{name}.down2", side, d, d, 1))
        if stage == 3:
            parts.append(conv(ENCODER, f"{name}.positions", square(side), d, d, 7, groups=d))
            parts.append(_mixing_attention(name, side**2, d, depth))
        else:
            parts.append(
                conv(ENCODER, f"{name}.mixer", square(side), d, d, 3, groups=d, times=depth)
            )
        parts.append(_conv_mlp(name, square(side), d, 3 * d, 7, depth))
    wide, sites = 2 * d, side**2
    parts += [
        conv(ENCODER, "expand", square(side), d, wide, 3, groups=d),
        _squeeze("expand", sites, wide, wide // 16),
        visit(ENCODER, "expand.activation", sites * wide),
        visit(ENCODER, "pool", sites * wide),
        linear(ENCODER, "project", 1, wide, 512, bias=False),
    ]
    return total(*parts)


def _activated(name: str, side: int, n_in: int, n_out: int, kernel: int, **how: Any) -> Part:
    part = conv(ENCODER, name, square(side), n_in, n_out, kernel, **how)
    return part + visit(ENCODER, f"{name}.activation", side**2 * n_out)


def _mixing_attention(name: str, tokens: int, d: int, depth: int) -> Part:
    shape = Blocks(depth, d, 0, d // 32)
    return total(
        visit(ENCODER, f"{name}.norm", tokens * d, weights=2 * d, times=depth),
        linear(ENCODER, f"{name}.qkv", tokens, d, 3 * d, times=depth, bias=False),
        attend(ENCODER, f"{name}.attention", tokens, tokens, shape, times=depth),
        linear(ENCODER, f"{name}.out", tokens, d, d, times=depth),
        visit(ENCODER, f"{name}.scaled-sum", tokens * d, operands=2, weights=d, times=depth),
    )


def _conv_mlp(
    name: str, out: tuple[int, int], d: int, ff: int, kernel: int | tuple[int, int], depth: int
) -> Part:
    """Convolve depthwise, then pointwise to ``ff`` and back, scale and add."""
    sites = out[0] * out[1]
    return total(
        conv(ENCODER, f"{name}.mlp.depthwise", out, d, d, kernel, groups=d, times=depth),
        conv(ENCODER, f"{name}.mlp.up", out, d, ff, 1, times=depth),
        visit(ENCODER, f"{name}.mlp.activation", sites * ff, times=depth),
        conv(ENCODER, f"{name}.mlp.down", out, ff, d, 1, times=depth),
        visit(ENCODER, f"{name}.mlp.scaled-sum", sites * d, operands=2, weights=d, times=depth),
    )


def mobileclip_text(layers: int, mixers: int) -> Part:
    """Text tower over 77 tokens: transformer blocks, with mixers of 11 tokens around them."""
    tokens, d, shape = 77, 512, Blocks(layers, 512, 2048, 8)
    mixing = [
        conv(ENCODER, "text.mixer", (1, tokens), d, d, (1, 11), groups=d, times=mixers),
        _conv_mlp("text.mixer", (1, tokens), d, 4 * d, (1, 11), mixers),
    ]
    return total(
        embedding(ENCODER, "text.embedding", tokens, 49408, d),
        visit(ENCODER, "text.positions", tokens * d, operands=2, weights=tokens * d),
        *(mixing if mixers else ()),
        blocks(ENCODER, "text", shape, tokens),
        norm(ENCODER, "text.last-norm", tokens, d),
        linear(ENCODER, "text.project", 1, d, d, bias=False),
    )


def e2vid(rows: int, columns: int) -> Part:
    """Recurrent U-net from 5 bins of events to a frame; skips are sums."""
    size = rows, columns
    parts = [conv(ENCODER, "head", size, 5, 32, 5), _relu("head", size, 32)]
    d = 32
    for level in (1, 2, 3):
        size, d = (size[0] // 2, size[1] // 2), 2 * d
        name = f"encoder{level}"
        parts += [
            conv(ENCODER, f"{name}.conv", size, d // 2, d, 5, stride=2),
            _relu(f"{name}.conv", size, d),
            conv(ENCODER, f"{name}.gates", size, 2 * d, 4 * d, 3),
            visit(ENCODER, f"{name}.cell", size[0] * size[1] * d, operands=5, times=2),
        ]
    parts += _residual_blocks("residual", size, d, 2)
    for level in (3, 2, 1):
        name, sites = f"decoder{level}", size[0] * size[1]
        parts.append(visit(ENCODER, f"{name}.skip", sites * d, operands=2))
        size, d = (2 * size[0], 2 * size[1]), d // 2
        parts += [
            resize(ENCODER, f"{name}.upsample", size, 2 * d),
            conv(ENCODER, f"{name}.conv", size, 2 * d, d, 5),
            _relu(f"{name}.conv", size, d),
        ]
    sites = size[0] * size[1]
    return total(
        *parts,
        visit(ENCODER, "last.skip", sites * d, operands=2),
        conv(ENCODER, "last.conv", size, d, 1, 1),
        visit(ENCODER, "last.sigmoid", sites),
    )


def firenet(rows: int, columns: int) -> Part:
    """Recurrent network of 16 channels at full resolution."""
    size, d = (rows, columns), 16
    sites = rows * columns
    parts = [conv(ENCODER, "head", size, 5, d, 3), _relu("head", size, d)]
    for i in (1, 2):
        parts += [
            conv(ENCODER, f"gru{i}.gates", size, 2 * d, 2 * d, 3),
            conv(ENCODER, f"gru{i}.candidate", size, 2 * d, d, 3),
            visit(ENCODER, f"gru{i}.cell", sites * d, operands=4, times=4),
            *_residual_blocks(f"residual{i}", size, d, 1),
        ]
    return total(*parts, conv(ENCODER, "last", size, d, 1, 1))


def _relu(name: str, size: tuple[int, int], d: int) -> Part:
    return visit(ENCODER, f"{name}.relu", size[0] * size[1] * d)


def _residual_blocks(name: str, size: tuple[int, int], d: int, times: int) -> list[Part]:
    elements = size[0] * size[1] * d
    return [
        conv(ENCODER, f"{name}.conv", size, d, d, 3, times=2 * times),
        visit(ENCODER, f"{name}.relu", elements, times=2 * times),
        visit(ENCODER, f"{name}.sum", elements, operands=2, times=times),
    ]


def eventnet(events: int, classes: int) -> Part:
    """Per event two small MLPs, temporal coding and a running maximum; then one output."""
    widths = ((4, 64), (64, 64), (64, 64), (64, 128), (128, 1024))
    parts = []
    for i, (n_in, n_out) in enumerate(widths):
        parts.append(linear(ENCODER, f"event.linear{i + 1}", events, n_in, n_out))
        parts.append(visit(ENCODER, f"event.relu{i + 1}", events * n_out))
    parts.append(visit(ENCODER, "event.coded-maximum", events * 1024, operands=2))
    for i, (n_in, n_out) in enumerate(((1024, 512), (512, 256), (256, classes))):
        parts.append(linear(ENCODER, f"output.linear{i + 1}", 1, n_in, n_out))
    return total(*parts)
