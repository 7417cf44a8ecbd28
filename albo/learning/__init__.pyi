from .baselines import MajorityTrainer as MajorityTrainer
from .baselines import NearestTrainer as NearestTrainer
from .bootstrap import Interval as Interval
from .evaluation import (
    INTENDED_USE as INTENDED_USE,
)
from .evaluation import (
    LIMITS as LIMITS,
)
from .evaluation import (
    MAJORITY as MAJORITY,
)
from .evaluation import (
    NEAREST as NEAREST,
)
from .evaluation import (
    NO_HEAD as NO_HEAD,
)
from .evaluation import (
    Evaluation as Evaluation,
)
from .evaluation import (
    Leak as Leak,
)
from .evaluation import (
    LearningPoint as LearningPoint,
)
from .evaluation import (
    LeftOut as LeftOut,
)
from .evaluation import (
    Mistake as Mistake,
)
from .evaluation import (
    ModelCard as ModelCard,
)
from .evaluation import (
    ReviewedEvaluation as ReviewedEvaluation,
)
from .evaluation import (
    Row as Row,
)
from .fitting import (
    Making as Making,
)
from .fitting import (
    describe_fit as describe_fit,
)
from .fitting import (
    describe_scores as describe_scores,
)
from .fitting import (
    make_crossfit as make_crossfit,
)
from .fitting import (
    make_head as make_head,
)
from .fitting import (
    open_job as open_job,
)
from .fitting import (
    seed_deviation as seed_deviation,
)
from .folds import (
    CrossValidation as CrossValidation,
)
from .folds import (
    FitCounter as FitCounter,
)
from .folds import (
    Fitted as Fitted,
)
from .folds import (
    Job as Job,
)
from .folds import (
    count_fits as count_fits,
)
from .folds import (
    draw_folds as draw_folds,
)
from .groups import artist_marks as artist_marks
from .groups import artwork_marks as artwork_marks
from .groups import group_covers as group_covers
from .labels import (
    MIN_GENRES as MIN_GENRES,
)
from .labels import (
    MIN_GROUPS as MIN_GROUPS,
)
from .labels import (
    SEEDS as SEEDS,
)
from .labels import (
    Corpus as Corpus,
)
from .labels import (
    LabelledCover as LabelledCover,
)
from .labels import (
    Labelling as Labelling,
)
from .labels import (
    TrainingSettings as TrainingSettings,
)
from .labels import (
    label_covers as label_covers,
)
from .labels import (
    note_few_seeds as note_few_seeds,
)
from .labels import (
    select_covers as select_covers,
)
from .material import Gatherer as Gatherer
from .material import Material as Material
from .material import gather_material as gather_material
from .metrics import (
    confusion as confusion,
)
from .metrics import (
    paired_difference as paired_difference,
)
from .metrics import (
    reliability as reliability,
)
from .metrics import (
    risk_coverage as risk_coverage,
)
from .metrics import (
    summarise as summarise,
)
from .scores import Answered as Answered
from .scores import ScoreSummary as ScoreSummary
from .splits import (
    PUBLISHED as PUBLISHED,
)
from .splits import (
    Side as Side,
)
from .splits import (
    Sides as Sides,
)
from .splits import (
    read_split as read_split,
)
from .splits import (
    sides_of as sides_of,
)
from .trainers import Trainer as Trainer
from .trainers import open_trainer as open_trainer
