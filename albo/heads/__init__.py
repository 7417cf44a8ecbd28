"""Heads predict genres from features, with numpy alone, and say why.

Fitting happens elsewhere (`albo.learning`).
"""

from __future__ import annotations

from albo.heads.fusion import Fusion, Prior, Scores, answer, conformal_sets
from albo.heads.head import Head
from albo.heads.maps import ActivationMap, spread
from albo.heads.numbers import floored, log_softmax
from albo.heads.predictors import (
    GramPredictor,
    LightgbmPredictor,
    LogisticPredictor,
    Predictor,
    Scaler,
    UnitPredictor,
    weigh_grams,
)
from albo.heads.reasons import Heard, Reasons, ViewReason, WordReason, explain
from albo.heads.starter import STARTER, load_starter
from albo.heads.views import CharactersView, Features, Hints, ImageView, MeaningView, View

__all__ = [
    "STARTER",
    "ActivationMap",
    "CharactersView",
    "Features",
    "Fusion",
    "GramPredictor",
    "Head",
    "Heard",
    "Hints",
    "ImageView",
    "LightgbmPredictor",
    "LogisticPredictor",
    "MeaningView",
    "Predictor",
    "Prior",
    "Reasons",
    "Scaler",
    "Scores",
    "UnitPredictor",
    "View",
    "ViewReason",
    "WordReason",
    "answer",
    "conformal_sets",
    "explain",
    "floored",
    "load_starter",
    "log_softmax",
    "spread",
    "weigh_grams",
]
