"""Write published networks as workloads: ``hw_models/published/workloads/*.json``.

    python -m benchmarks.make_published_workloads [--to FOLDER]

Nineteen rows of a table of published vision-language and event networks, BLIP-2 with OPT at both
image sizes. GPT-4V is left out: neither its shapes nor its size are public. Shapes come from each
model's configuration file, code or paper, which the notes of its workload name; figures that were
only read in a secondary place are marked as approximate there. For vision-language models one
inference is one caption of 20 tokens, greedy; for MobileCLIP an image and a text; for E2VID and
FireNet a frame; for EventNet a batch of events and one output.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import published_convnets as nets
from benchmarks import published_vlms as vlm
from benchmarks.published_parts import Part, total, visit
from hw_models import LayerOps, Ops, Workload

FOLDER = Path(__file__).parent.parent / "hw_models" / "published" / "workloads"
WINDOW_MS = 1000.0


@dataclass(frozen=True)
class Network:
    """A published network: its layers, and what was published about it."""

    build: Callable[[], Part]
    params_m: float
    notes: tuple[str, ...]


def blip2(side: int, shape: Any, vocabulary: int, prompt: int, **how: Any) -> Part:
    return total(
        vlm.vit(vlm.EVA_G, side, 14, extra=1),
        vlm.qformer((side // 14) ** 2 + 1, shape.d),
        vlm.language(shape, vocabulary, 32 + prompt, prompt=prompt, **how),
    )


def clip_and_mlp(shape: Any, connector: Part, tokens: int) -> Part:
    tower = vlm.vit(vlm.CLIP_L, 336, 14, extra=1, used=23, patch_bias=False, pre_norm=True)
    return total(tower, connector, vlm.language(shape, 32000, tokens + 40, prompt=40))


def siglip_shuffled(
    tower: Part, patches: int, factor: int, shape: Any, vocabulary: int, prompt: int, *, tied: bool
) -> Part:
    """Pixel shuffle joins ``factor`` squared patches into one token."""
    tokens, width = patches // factor**2, vlm.SIGLIP_B.d * factor**2
    return total(
        tower,
        visit("fusion", "connector.shuffle", patches * vlm.SIGLIP_B.d),
        vlm.mlp((width, shape.d), tokens, bias=False),
        vlm.language(shape, vocabulary, tokens + prompt, prompt=prompt, tied=tied),
    )


def moondream(tower: Any, text: Any, hidden: int) -> Part:
    """One crop: local and global features of 729 patches stand side by side."""
    return total(
        vlm.vit(tower, 378, 14),
        vlm.mlp((2 * tower.d, hidden, text.d), 729),
        vlm.language(text, 51200, 730 + 8, prompt=9, head_bias=True),
    )


def flamingo() -> Part:
    return total(
        nets.nfnet_f6(320),
        vlm.resampler(100, 64, 3072),
        vlm.chinchilla_with_image(64, 1536, 32000, 8),
    )


NETWORKS: dict[str, Network] = {
    "flamingo-80b": Network(
        flamingo,
        80_000,
        (
            "Flamingo (Alayrac et al. 2022), tables of the appendix: NFNet-F6 (Brock et al. 2021) "
            "at 320 px, Perceiver resampler 6 layers d1536 h16, 64 latents; Chinchilla-70B 80 "
            "layers d8192 ff32768 h64x128, gated cross-attention before every 7th",
            "approximate: 80 B, 435 M and 194 M parameters as read; feed-forward widths of the "
            "gated blocks and the resampler (4 d), and the projection before it, are assumed",
            "projections of relative positions are parameters; they do not depend on the input",
        ),
    ),
    "blip2-opt-2.7b": Network(
        lambda: blip2(224, vlm.OPT_2_7B, 50272, 8, positions=2050, tied=True),
        3745,
        ("BLIP-2 (Li et al. 2023), Salesforce/blip2-opt-2.7b config.json: EVA-g 224 px, "
         "Q-Former 32 queries, OPT-2.7B",),
    ),
    "blip2-opt-2.7b-364px": Network(
        lambda: blip2(364, vlm.OPT_2_7B, 50272, 8, positions=2050, tied=True),
        3745,
        ("BLIP-2 (Li et al. 2023), Salesforce/blip2-opt-2.7b-coco config.json: EVA-g 364 px, "
         "Q-Former 32 queries, OPT-2.7B",),
    ),
    "blip2-vicuna-7b": Network(
        lambda: blip2(224, vlm.LLAMA_7B, 32000, 12),
        7833,
        ("InstructBLIP (Dai et al. 2023), Salesforce/instructblip-vicuna-7b config.json: EVA-g "
         "224 px, Q-Former 32 queries, LLaMA-7B; the text path of the Q-Former is left out",),
    ),
    "llava-1.5-7b": Network(
        lambda: clip_and_mlp(vlm.LLAMA_7B, vlm.mlp((1024, 4096, 4096), 576), 576),
        7063,
        ("LLaVA-1.5 (Liu et al. 2023), liuhaotian/llava-v1.5-7b config.json: CLIP-L/14 336 px, "
         "23 of 24 layers run, MLP, LLaMA-7B",),
    ),
    "vit-gpt2": Network(
        lambda: total(
            vlm.vit(vlm.VIT_B, 224, 16, extra=1), vlm.gpt2_with_image(197, 768, 50257, 1024)
        ),
        238.5,
        ("nlpconnect/vit-gpt2-image-captioning config.json: ViT-B/16 224 px, GPT-2 with "
         "cross-attention",),
    ),
    "mobilevlm-1.7b": Network(
        lambda: clip_and_mlp(vlm.MOBILELLAMA_1_4B, vlm.ldp(1024, 2048, 24), 144),
        1687,
        ("MobileVLM (Chu et al. 2023), mtgv/MobileVLM-1.7B config.json and vision_projector.py: "
         "CLIP-L/14 336 px, LDP, MobileLLaMA-1.4B",),
    ),
    "mobilevlm-3b": Network(
        lambda: clip_and_mlp(vlm.MOBILELLAMA_2_7B, vlm.ldp(1024, 2560, 24), 144),
        3034,
        ("MobileVLM (Chu et al. 2023), mtgv/MobileVLM-3B config.json and vision_projector.py: "
         "CLIP-L/14 336 px, LDP, MobileLLaMA-2.7B",),
    ),
    "tinyllava-3.1b": Network(
        lambda: total(
            vlm.vit(vlm.SIGLIP_SO400M, 384, 14),
            vlm.mlp((1152, 2560, 2560), 729),
            vlm.language(vlm.PHI_2, 51200, 729 + 40, prompt=40, head_bias=True),
        ),
        3202,
        ("TinyLLaVA (Zhou et al. 2024), TinyLLaVA-Phi-2-SigLIP-3.1B config.json: SigLIP-so400m "
         "384 px, all 27 layers counted, MLP, Phi-2",),
    ),
    "smolvlm-500m": Network(
        lambda: siglip_shuffled(
            vlm.vit(vlm.SIGLIP_B, 512, 16), 1024, 4, vlm.SMOLLM2_360M, 49280, 20, tied=False
        ),
        507.5,
        ("SmolVLM (Marafioti et al. 2025), HuggingFaceTB/SmolVLM-500M-Instruct config.json: one "
         "tile of 512 px, SigLIP-B/16, pixel shuffle 4, SmolLM2-360M",),
    ),
    "smolvlm-256m": Network(
        lambda: siglip_shuffled(
            vlm.vit(vlm.SIGLIP_B, 512, 16), 1024, 4, vlm.SMOLLM2_135M, 49280, 20, tied=False
        ),
        256.5,
        ("SmolVLM (Marafioti et al. 2025), HuggingFaceTB/SmolVLM-256M-Instruct config.json: one "
         "tile of 512 px, SigLIP-B/16, pixel shuffle 4, SmolLM2-135M",),
    ),
    "nanovlm-222m": Network(
        lambda: siglip_shuffled(
            vlm.vit(vlm.SIGLIP_B, 224, 16), 196, 2, vlm.SMOLLM2_135M, 49155, 8, tied=True
        ),
        222.1,
        ("huggingface/nanoVLM, lusxvr/nanoVLM-222M config.json: SigLIP-B/16 224 px, pixel "
         "shuffle 2, SmolLM2-135M",),
    ),
    "nanovlm-450m": Network(
        lambda: siglip_shuffled(
            vlm.vit(vlm.SIGLIP_B, 512, 16), 1024, 4, vlm.SMOLLM2_360M, 49218, 8, tied=True
        ),
        455,
        ("huggingface/nanoVLM, lusxvr/nanoVLM-450M config.json: SigLIP2-B/16 512 px, pixel "
         "shuffle 4, SmolLM2-360M", "approximate: 455 M parameters as read, 460 M from shapes"),
    ),
    "moondream2": Network(
        lambda: moondream(vlm.SIGLIP_SO400M, vlm.PHI_1_5, 8192),
        1867,
        ("vikhyatk/moondream2 config.py: 27 layers d1152, one crop of 378 px, MLP, text 24 layers "
         "d2048; without the region head",),
    ),
    "moondream-0.5b": Network(
        lambda: moondream(vlm.MOONDREAM_SMALL, vlm.MOONDREAM_TEXT_SMALL, 8192),
        589,
        ("vikhyatk/moondream-0.5b config: 27 layers d720, one crop of 378 px, MLP, text 24 layers "
         "d1024",),
    ),
    "mobileclip-s0": Network(
        lambda: total(
            nets.mobileclip_image((2, 6, 10, 2), (64, 128, 256, 512)), nets.mobileclip_text(4, 2)
        ),
        53.8,
        ("MobileCLIP (Vasu et al. 2024), apple/ml-mobileclip mci.py and mobileclip_s0.json: MCi0 "
         "256 px and a text of 77 tokens, reparameterised",),
    ),
    "mobileclip-s2": Network(
        lambda: total(
            nets.mobileclip_image((4, 12, 24, 4), (80, 160, 320, 640)),
            nets.mobileclip_text(12, 0),
        ),
        99.1,
        ("MobileCLIP (Vasu et al. 2024), apple/ml-mobileclip mci.py and mobileclip_s2.json: MCi2 "
         "256 px and a text of 77 tokens, reparameterised",),
    ),
    "e2vid": Network(
        lambda: nets.e2vid(184, 240),
        10.71,
        ("E2VID (Rebecq et al. 2019), uzh-rpg/rpg_e2vid unet.py with the released weights' 3 "
         "encoders: 240 x 184, one frame",),
    ),
    "firenet": Network(
        lambda: nets.firenet(180, 240),
        0.037777,
        ("FireNet (Scheerlinck et al. 2020), cedric-scheerlinck/rpg_e2vid: 240 x 180, one frame",),
    ),
    "eventnet": Network(
        lambda: nets.eventnet(1000, 2),
        0.8,
        ("EventNet (Sekikawa et al. 2019): 1,000 events through the MLPs (not the look-up table) "
         "and one output of 2 classes", "approximate: widths as read, 0.8 M parameters"),
    ),
}  # fmt: skip


def workload(name: str) -> Workload:
    """Count one network."""
    network = NETWORKS[name]
    built = network.build()
    return Workload(name, 1, WINDOW_MS, built.layers, params=built.params, notes=network.notes)


def to_text(workload: Workload) -> str:
    """Write JSON with one layer a line and without what the reader fills in."""
    head = {
        "schema_version": 1,
        "name": workload.name,
        "inferences": workload.inferences,
        "window_ms": workload.window_ms,
        "params": workload.params,
        "notes": list(workload.notes),
    }
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in head.items()]
    layers = ",\n".join(f"    {json.dumps(_brief(layer))}" for layer in workload.layers)
    return "\n".join(["{", *lines, '  "layers": [', layers, "  ]", "}", ""])


def _brief(layer: LayerOps) -> dict[str, Any]:
    executed = layer.executed.to_dict()
    counts = {key: count for key, count in executed.items() if count != getattr(Ops(), key)}
    return {
        "stage": layer.stage,
        "layer": layer.layer,
        "kind": str(layer.kind),
        "ran_as": layer.ran_as,
        "executed": counts,
    }


def main() -> None:
    """Write every network's file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--to", type=Path, default=FOLDER, help="folder (default: the shipped one)")
    folder = parser.parse_args().to
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORKS:
        (folder / f"{name}.json").write_text(to_text(workload(name)), encoding="utf-8")


if __name__ == "__main__":
    main()
