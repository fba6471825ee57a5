"""Two gestures one after the other: clips whose order matters, for tests of temporal memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurovlm.core.errors import UsageError
from neurovlm.events.scenes.body import Puppet
from neurovlm.events.scenes.boxes import puppet_boxes
from neurovlm.events.scenes.clip import (
    SENSOR,
    draw_style_camera,
    perform,
    pose,
    render_puppet,
    sensor_wall,
)
from neurovlm.events.scenes.film import Clip, film
from neurovlm.events.scenes.subject import Subject

BLEND_US = 200_000
"""Time in which the body goes over from the first gesture to the second."""


@dataclass(frozen=True, eq=False)
class ChainClip(Clip):
    """One gesture, then another.

    Attributes
    ----------
    labels
        Of the first and of the second gesture; the order is what a memory has to keep.
    switch_us
        Time at which the second begins; the body is on its way in the `BLEND_US` before.
    boxes
        As in `SceneClip`.
    """

    labels: tuple[int, int]
    switch_us: int
    boxes: NDArray[np.float32]


def render_chain(
    first: int,
    second: int,
    subject: Subject,
    *,
    seed: int,
    duration_s: float = 3.0,
    switch_share: float = 0.5,
    window_ms: float = 25.0,
    noise_hz: float | None = None,
    style: str = "hard",
) -> ChainClip:
    """Render ``first`` for ``switch_share`` of the duration and ``second`` for the rest.

    Raises
    ------
    UsageError
        For an unknown label or style, or a share that leaves the first gesture less than
        `BLEND_US` or the second nothing.
    """
    switch_us = round(switch_share * duration_s * 1e6)
    if not BLEND_US <= switch_us < duration_s * 1e6:
        raise UsageError(
            f"render_chain: the switch must lie between {BLEND_US} us and the end, "
            f"got switch_share={switch_share} of {duration_s} s"
        )
    acts = [perform(label, subject, seed, style=style) for label in (first, second)]

    def pose_at(t_us: NDArray[np.int64]) -> Puppet:
        weight = np.clip((t_us - switch_us) / BLEND_US + 1, 0.0, 1.0)
        return _between(pose(acts[0], t_us), pose(acts[1], t_us), weight)

    rng = np.random.default_rng([seed, 3])
    params, habits = draw_style_camera(style, noise_hz, rng)
    wall = sensor_wall(subject, SENSOR)
    clip = film(
        lambda t_us: render_puppet(pose_at(t_us), wall), duration_s, window_ms, params, rng, habits
    )
    ends_us = clip.start_us + clip.window_us * np.arange(1, clip.n_windows + 1)
    boxes = puppet_boxes(pose_at(ends_us), SENSOR)
    return ChainClip(**vars(clip), labels=(first, second), switch_us=switch_us, boxes=boxes)


def _between(first: Puppet, second: Puppet, weight: NDArray[np.float64]) -> Puppet:
    """Puppet on its way from one pose to another; ``weight`` 0 is the first, 1 the second.

    Both are the same person; shapes are those of the trunk, then of one arm, then of the other.
    Where the arms come in another order, those of the second are exchanged.
    """
    capsules = second.capsules
    if (first.parts[1] < first.parts[2]) != (second.parts[1] < second.parts[2]):
        n_arm = abs(max(second.parts[1]) - max(second.parts[2]))
        n_trunk = capsules.shape[1] - 2 * n_arm
        trunk, back, front = np.split(capsules, [n_trunk, n_trunk + n_arm], axis=1)
        capsules = np.concatenate([trunk, front, back], axis=1)
    w = weight[:, None, None]
    return replace(first, capsules=(1 - w) * first.capsules + w * capsules)
