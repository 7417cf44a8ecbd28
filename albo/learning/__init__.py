"""Fit heads, and score them on covers held out.

What is fitted predicts elsewhere (`albo.heads`).
"""

from __future__ import annotations

from albo.learning.baselines import MajorityTrainer, NearestTrainer
from albo.learning.bootstrap import Interval
from albo.learning.evaluation import (
    INTENDED_USE,
    LIMITS,
    MAJORITY,
    NEAREST,
    NO_HEAD,
    Evaluation,
    Leak,
    LearningPoint,
    LeftOut,
    Mistake,
    ModelCard,
    Row,
)
from albo.learning.fitting import (
    Making,
    describe_fit,
    describe_scores,
    make_head,
    open_job,
    seed_deviation,
)
from albo.learning.folds import FitCounter, Fitted, Job, Run, count_fits, draw_folds
from albo.learning.groups import group_covers
from albo.learning.labels import (
    MIN_GENRES,
    MIN_GROUPS,
    SEEDS,
    Corpus,
    Kind,
    LabelledCover,
    Labelling,
    Level,
    Settings,
    label_covers,
    select_covers,
)
from albo.learning.material import Gatherer, Material
from albo.learning.metrics import (
    Answered,
    Summary,
    confusion,
    paired_difference,
    reliability,
    risk_coverage,
    summarise,
)
from albo.learning.splits import PUBLISHED, Side, Sides, read_split, sides_of
from albo.learning.trainers import Trainer, open_trainer

__all__ = [
    "INTENDED_USE",
    "LIMITS",
    "MAJORITY",
    "MIN_GENRES",
    "MIN_GROUPS",
    "NEAREST",
    "NO_HEAD",
    "PUBLISHED",
    "SEEDS",
    "Answered",
    "Corpus",
    "Evaluation",
    "FitCounter",
    "Fitted",
    "Gatherer",
    "Interval",
    "Job",
    "Kind",
    "LabelledCover",
    "Labelling",
    "Leak",
    "LearningPoint",
    "LeftOut",
    "Level",
    "MajorityTrainer",
    "Making",
    "Material",
    "Mistake",
    "ModelCard",
    "NearestTrainer",
    "Row",
    "Run",
    "Settings",
    "Side",
    "Sides",
    "Summary",
    "Trainer",
    "confusion",
    "count_fits",
    "describe_fit",
    "describe_scores",
    "draw_folds",
    "group_covers",
    "label_covers",
    "make_head",
    "open_job",
    "open_trainer",
    "paired_difference",
    "read_split",
    "reliability",
    "risk_coverage",
    "seed_deviation",
    "select_covers",
    "sides_of",
    "summarise",
]
