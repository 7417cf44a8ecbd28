from .crossfit import CrossFit as CrossFit
from .crossfit import Learnt as Learnt
from .crossfit import Mark as Mark
from .familiarity import Familiarity as Familiarity
from .fusion import (
    Fusion as Fusion,
)
from .fusion import (
    Scores as Scores,
)
from .fusion import (
    answer as answer,
)
from .fusion import (
    conformal_sets as conformal_sets,
)
from .grams import Grams as Grams
from .head import Head as Head
from .maps import ActivationMap as ActivationMap
from .maps import Mapper as Mapper
from .maps import open_mapper as open_mapper
from .numbers import floored as floored
from .numbers import log_softmax as log_softmax
from .predictors import (
    GramPredictor as GramPredictor,
)
from .predictors import (
    LightgbmPredictor as LightgbmPredictor,
)
from .predictors import (
    LogisticPredictor as LogisticPredictor,
)
from .predictors import (
    Predictor as Predictor,
)
from .predictors import (
    Scaler as Scaler,
)
from .predictors import (
    UnitPredictor as UnitPredictor,
)
from .predictors import (
    weigh_grams as weigh_grams,
)
from .reasons import (
    Heard as Heard,
)
from .reasons import (
    Reasons as Reasons,
)
from .reasons import (
    ViewReason as ViewReason,
)
from .reasons import (
    WordReason as WordReason,
)
from .reasons import (
    explain as explain,
)
from .saved import load_head as load_head
from .saved import save_head as save_head
from .starter import STARTER as STARTER
from .starter import load_starter as load_starter
from .views import (
    CharactersView as CharactersView,
)
from .views import (
    Features as Features,
)
from .views import (
    Hints as Hints,
)
from .views import (
    ImageView as ImageView,
)
from .views import (
    MeaningView as MeaningView,
)
from .views import (
    View as View,
)
