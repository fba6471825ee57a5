"""Labelled recordings, read one at a time: DVS128 Gesture, N-MNIST, folders of one's own."""

from neurovlm.events.datasets.cut import folds, split_by_time, windows_of
from neurovlm.events.datasets.folder import labelled_folder
from neurovlm.events.datasets.gesture import dvs128_gesture
from neurovlm.events.datasets.nmnist import nmnist
from neurovlm.events.datasets.sample import LabelledSet, Sample, streams

__all__ = [
    "LabelledSet",
    "Sample",
    "dvs128_gesture",
    "folds",
    "labelled_folder",
    "nmnist",
    "split_by_time",
    "streams",
    "windows_of",
]
