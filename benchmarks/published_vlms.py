"""Vision towers, connectors and language models of published vision-language models.

Shapes are those of each model's configuration file or paper, named in the notes of the workload.
One inference is one caption: image in, prompt and image tokens prefilled with full attention, then
20 tokens decoded greedily, each a pass over all weights.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from benchmarks.published_parts import (
    Blocks,
    Part,
    as_decode,
    blocks,
    conv,
    cross,
    embedding,
    linear,
    norm,
    total,
    visit,
)

CAPTION = 20  # tokens

CLIP_L = Blocks(24, 1024, 4096, 16)
EVA_G = Blocks(39, 1408, 6144, 16)
SIGLIP_B = Blocks(12, 768, 3072, 12)
SIGLIP_SO400M = Blocks(27, 1152, 4304, 16)
MOONDREAM_SMALL = Blocks(27, 720, 2690, 10)
VIT_B = Blocks(12, 768, 3072, 12)
QFORMER = Blocks(12, 768, 3072, 12)
QFORMER_CROSS = Blocks(6, 768, 3072, 12)  # in every second layer

LLAMA_7B = Blocks(32, 4096, 11008, 32, gated=True, bias=False, rotary=True)
MOBILELLAMA_1_4B = Blocks(24, 2048, 5632, 16, gated=True, bias=False, rotary=True)
MOBILELLAMA_2_7B = Blocks(32, 2560, 6912, 32, gated=True, bias=False, rotary=True)
OPT_2_7B = Blocks(32, 2560, 10240, 32)
PHI_2 = Blocks(32, 2560, 10240, 32, norms=1, rotary=True)
PHI_1_5 = Blocks(24, 2048, 8192, 32, norms=1, rotary=True)
MOONDREAM_TEXT_SMALL = Blocks(24, 1024, 4096, 16, norms=1, rotary=True)
SMOLLM2_360M = Blocks(32, 960, 2560, 15, 5, 64, gated=True, bias=False, rotary=True)
SMOLLM2_135M = Blocks(30, 576, 1536, 9, 3, 64, gated=True, bias=False, rotary=True)
GPT2 = Blocks(12, 768, 3072, 12)
CHINCHILLA_70B = Blocks(80, 8192, 32768, 64, head_dim=128, bias=False)
GATED = Blocks(12, 8192, 32768, 64, head_dim=128, bias=False)  # before every seventh layer


def vit(
    shape: Blocks,
    side: int,
    patch: int,
    *,
    extra: int = 0,
    used: int | None = None,
    patch_bias: bool = True,
    pre_norm: bool = False,
) -> Part:
    """Vision transformer over a square image, ``extra`` class tokens.

    Of its layers only ``used`` run; all are held.
    """
    grid = side // patch
    tokens = grid**2 + extra
    running = replace(shape, layers=used or shape.layers)
    idle = blocks("encoder", "idle", replace(shape, layers=shape.layers - running.layers), 1)
    parts = [
        conv("encoder", "patches", (grid, grid), 3, shape.d, patch, stride=patch, bias=patch_bias),
        visit(
            "encoder", "positions", tokens * shape.d, operands=2, weights=(tokens + extra) * shape.d
        ),
        norm("encoder", "first-norm", tokens, shape.d) if pre_norm else Part(),
        blocks("encoder", "vision", running, tokens),
        norm("encoder", "last-norm", tokens, shape.d),
        Part(params=idle.params),
    ]
    return total(*parts)


def mlp(widths: tuple[int, ...], rows: int, *, bias: bool = True) -> Part:
    """Connector of linear layers of these widths, an activation between two."""
    parts = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        if i:
            parts.append(visit("fusion", f"connector.activation{i}", rows * n_in))
        parts.append(linear("fusion", f"connector.linear{i + 1}", rows, n_in, n_out, bias=bias))
    return total(*parts)


def qformer(keys: int, d_out: int) -> Part:
    """BLIP-2's: 32 queries over the image, then one linear layer."""
    n = 32
    return total(
        Part(params=n * QFORMER.d),  # the queries
        blocks("fusion", "qformer", QFORMER, n),
        cross("fusion", "qformer", QFORMER_CROSS, n, keys, d_keys=EVA_G.d),
        linear("fusion", "qformer.linear", n, QFORMER.d, d_out),
    )


def ldp(d_in: int, d: int, grid: int) -> Part:
    """MobileVLM's: two linear layers, two depthwise-separable blocks, the second with stride 2."""
    parts = [mlp((d_in, d, d), grid**2)]
    for i, side in enumerate((grid, grid // 2)):
        name, sites = f"connector.block{i + 1}", side**2
        stride = grid // side
        squeezed = d // 4
        parts += [
            conv(
                "fusion",
                f"{name}.depthwise",
                (side, side),
                d,
                d,
                3,
                stride=stride,
                groups=d,
                bias=False,
            ),
            norm("fusion", f"{name}.norm", sites, d, times=2),
            visit("fusion", f"{name}.activation", sites * d),
            linear("fusion", f"{name}.squeeze", 1, d, squeezed),
            linear("fusion", f"{name}.excite", 1, squeezed, d),
            visit("fusion", f"{name}.scale", sites * d),
            conv("fusion", f"{name}.pointwise", (side, side), d, d, 1, bias=False),
        ]
    return total(*parts)


def language(
    shape: Blocks,
    vocabulary: int,
    tokens: int,
    *,
    prompt: int,
    positions: int = 0,
    tied: bool = False,
    head_bias: bool = False,
) -> Part:
    """Language model: prefill of ``tokens`` (``prompt`` of them words), then the caption."""
    d = shape.d
    head = linear("decoder", "prefill.head", 1, d, vocabulary, bias=head_bias)
    prefill = total(
        embedding("decoder", "prefill.embedding", prompt, vocabulary, d),
        blocks("decoder", "prefill", shape, tokens),
        norm("decoder", "prefill.last-norm", 1, d, bias=shape.bias),
        replace(head, params=0) if tied else head,
    )
    keys = CAPTION * tokens + CAPTION * (CAPTION + 1) // 2
    decode = total(
        blocks("decoder", "decode", shape, 1, keys, passes=CAPTION),
        norm("decoder", "decode.head", 1, d, times=CAPTION, bias=shape.bias),
        linear("decoder", "decode.head", 1, d, vocabulary, times=CAPTION, bias=head_bias),
    )
    cache = CAPTION * shape.layers * 2 * shape.kv
    words = replace(embedding("decoder", "decode.embedding", CAPTION, vocabulary, d), params=0)
    table = Part(params=positions * d)
    return prefill + table + words + as_decode(decode, cache)


def gpt2_with_image(keys: int, d_keys: int, vocabulary: int, positions: int) -> Part:
    """GPT-2 with cross-attention in every layer: no prefill, the caption only."""
    shape, d = GPT2, GPT2.d
    words = embedding("decoder", "decode.embedding", CAPTION, vocabulary, d)
    once = cross("decoder", "prefill", shape, 1, keys, d_keys=d_keys)
    held = total(once, blocks("decoder", "held", shape, 1), norm("decoder", "held", 1, d))
    seen = CAPTION * (CAPTION + 1) // 2
    decode = total(
        blocks("decoder", "decode", shape, 1, seen, passes=CAPTION),
        cross("decoder", "decode", shape, 1, keys, d_keys=d_keys, passes=CAPTION, with_keys=False),
        norm("decoder", "decode.head", 1, d, times=CAPTION),
        linear("decoder", "decode.head", 1, d, vocabulary, times=CAPTION, bias=False),
    )
    parameters = Part(params=held.params + words.params + positions * d)
    image = Part(once.layers[:1])  # keys and values
    cache = CAPTION * shape.layers * 2 * shape.kv
    return image + Part(words.layers) + parameters + as_decode(decode, cache)


def resampler(keys: int, latents: int, d_keys: int) -> Part:
    """Flamingo's: latents attend to image and latents, six times."""
    shape = Blocks(6, 1536, 6144, 16, bias=False)
    d = shape.d
    attention = [
        norm("fusion", "resampler.norm", keys + latents, d, times=shape.layers),
        linear("fusion", "resampler.q", latents, d, d, times=shape.layers, bias=False),
        linear("fusion", "resampler.kv", keys + latents, d, 2 * d, times=shape.layers, bias=False),
    ]
    rest = [
        each
        for each in blocks("fusion", "resampler", shape, latents, keys + latents).layers
        if not each.layer.endswith((".qkv", ".attention.norm"))
    ]
    held = shape.layers * (2 * d * shape.ff + d * d + 2 * d)
    table = Part(params=latents * d)
    project = linear("fusion", "resampler.project", keys, d_keys, d, bias=False)
    return total(project, *attention, Part(tuple(rest), held), table)


def chinchilla_with_image(latents: int, d_latents: int, vocabulary: int, prompt: int) -> Part:
    """Flamingo's language model: frozen blocks, gated cross-attention before every seventh."""
    plain = language(CHINCHILLA_70B, vocabulary, prompt, prompt=prompt, tied=True)
    relative = Part(params=CHINCHILLA_70B.layers * CHINCHILLA_70B.d**2)  # of positions
    image = gated("prefill", latents, d_latents, prompt, 1)
    decode = gated("decode", latents, d_latents, 1, CAPTION)
    return total(plain, relative, image, as_decode(decode, 0))


def gated(prefix: str, latents: int, d_latents: int, rows: int, passes: int) -> Part:
    """Cross-attention and a feed-forward layer of its own, both behind a gate."""
    shape = GATED
    times = shape.layers * passes
    name = f"{prefix}.gated"
    first = passes == 1
    part = total(
        cross(
            "decoder",
            prefix,
            shape,
            rows,
            latents,
            d_keys=d_latents,
            passes=passes,
            with_keys=first,
            bias=False,
        ),
        norm("decoder", f"{name}.norm", rows, shape.d, times=times),
        linear("decoder", f"{name}.up", rows, shape.d, shape.ff, times=times, bias=False),
        visit("decoder", f"{name}.activation", rows * shape.ff, times=times),
        linear("decoder", f"{name}.down", rows, shape.ff, shape.d, times=times, bias=False),
        visit("decoder", f"{name}.residual", rows * shape.d, operands=2, times=times),
    )
    return part if first else replace(part, params=0)
