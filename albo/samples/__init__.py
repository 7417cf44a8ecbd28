"""Sample covers, drawn by albo itself: what `albo demo` works on, free of rights.

Each of the twelve styles is a way of drawing, not a genre of music. Inside a style every artist has
a hand of their own (palette, lettering, favourite composition), so covers of one artist resemble
each other; and some covers borrow a motif from another style, so styles overlap as genres do.
"""

from albo.samples.covers import draw_sample
from albo.samples.folder import is_sample_folder, sample_file, write_samples
from albo.samples.plan import EDITIONS, STYLES, Sample, plan_kept_aside, plan_samples

__all__ = [
    "EDITIONS",
    "STYLES",
    "Sample",
    "draw_sample",
    "is_sample_folder",
    "plan_kept_aside",
    "plan_samples",
    "sample_file",
    "write_samples",
]
