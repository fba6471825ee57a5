"""Write the scores of README.md anew: ``python docs/make_scores_table.py``.

They are those of the shipped model's card, which ``neurovlm evaluate sttf-tiny --save`` wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from neurovlm.training.evaluate import TARGETS
from neurovlm.zoo.load import card_path

PAGE = Path(__file__).parents[1] / "README.md"
MARKS = re.compile(r"(?<=<!-- scores -->\n).*?(?=<!-- end of scores -->)", re.DOTALL)

ROWS = {
    "accuracy": "label right, STTF",
    "dense_accuracy": "label right, dense twin",
    "retention": "STTF over dense (95% interval)",
    "train_test_gap": "people trained on minus people never seen, points",
    "caption_slots": "caption slots right",
    "box_map50": "boxes, mAP50, STTF",
    "dense_box_map50": "boxes, mAP50, dense twin",
    "box_retention": "boxes, STTF over dense",
    "mean_active": "tokens computed a window, of 196",
    "accuracy_oracle_masks": "label right with an oracle's masks",
    "control_counts": "control: linear on event counts",
    "control_image": "control: linear on the summed image",
    "control_shuffled": "control: same model, windows shuffled",
}
PLAIN = ("mean_active", "box_map50", "dense_box_map50")


def number(name: str, value: float) -> str:
    """Shares as per cent, ratios and counts as they are."""
    if name == "train_test_gap":
        return f"{100 * value:+.1f}"
    if name.endswith("retention"):
        return f"{value:.3f}"
    if name in PLAIN:
        return f"{value:.1f}" if value > 1 else f"{value:.3f}"
    return f"{100 * value:.1f}%"


def cell(name: str, style: Mapping[str, Any]) -> str:
    """Mean over the performances, and the lowest and highest of them."""
    if name not in style:
        return ""
    text = number(name, style[name])
    if name == "retention":
        return f"{text} ({style['retention_low']:.3f} to {style['retention_high']:.3f})"
    each = [seed[name] for seed in style["by_seed"] if name in seed]
    return f"{text} ({number(name, min(each))} to {number(name, max(each))})" if each else text


def target(name: str) -> str:
    """Bound that both styles, or the hard one, are held to."""
    bound, limit = TARGETS.get(f"hard.{name}", ("", 0.0))
    return f"{bound} {number(name, limit).lstrip('+')}" if bound else ""


def table() -> str:
    """Scores by style, tokens by motion, and the real recordings."""
    scores = json.loads(card_path("sttf-tiny").read_text(encoding="utf-8"))["scores"]
    styles = [scores["hard"], scores["natural"]]
    lines = ["", "| score | hard scenes | natural scenes | wanted |", "|---|---|---|---|"]
    for name, title in ROWS.items():
        cells = " | ".join(cell(name, style) for style in styles)
        lines.append(f"| {title} | {cells} | {target(name)} |")
    motions = list(scores["active"])
    lines += ["", "| tokens a window | " + " | ".join(motions) + " |"]
    lines.append("|---" * (1 + len(motions)) + "|")
    for title, name in (("hard", "active"), ("natural", "active_natural")):
        means = " | ".join(f"{scores[name][motion]['mean']:.1f}" for motion in motions)
        lines.append(f"| {title} | {means} |")
    real = scores["real"]
    lines += [
        "",
        f"Real DVS128 gestures, of which the model never saw one: **{real['named']} of "
        f"{real['recordings']}** are named as labelled.",
        "",
        "| recording | true | named | caption |",
        "|---|---|---|---|",
    ]
    for row in real["each"]:
        named = f"{row['given']} ({row['confidence']:.0%})"
        lines.append(f"| {row['file']} | {row['true']} | {named} | {row['caption']} |")
    return "\n".join(lines) + "\n\n"


if __name__ == "__main__":
    PAGE.write_text(MARKS.sub(lambda _: table(), PAGE.read_text()))
