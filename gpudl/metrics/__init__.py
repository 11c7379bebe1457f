"""Metrics: what is counted over an epoch and reported, but not trained on."""

from __future__ import annotations

from typing import Any

from gpudl import registry
from gpudl.losses import binary_crossentropy as binary_crossentropy
from gpudl.losses import binary_focal_crossentropy as binary_focal_crossentropy
from gpudl.losses import categorical_crossentropy as categorical_crossentropy
from gpudl.losses import categorical_focal_crossentropy as categorical_focal_crossentropy
from gpudl.losses import categorical_hinge as categorical_hinge
from gpudl.losses import hinge as hinge
from gpudl.losses import huber as huber
from gpudl.losses import kl_divergence as kl_divergence
from gpudl.losses import log_cosh as log_cosh
from gpudl.losses import mean_absolute_error as mean_absolute_error
from gpudl.losses import mean_absolute_percentage_error as mean_absolute_percentage_error
from gpudl.losses import mean_squared_error as mean_squared_error
from gpudl.losses import mean_squared_logarithmic_error as mean_squared_logarithmic_error
from gpudl.losses import poisson as poisson
from gpudl.losses import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from gpudl.losses import squared_hinge as squared_hinge
from gpudl.metrics.accuracy import Accuracy as Accuracy
from gpudl.metrics.accuracy import BinaryAccuracy as BinaryAccuracy
from gpudl.metrics.accuracy import CategoricalAccuracy as CategoricalAccuracy
from gpudl.metrics.accuracy import ChosenAccuracy as ChosenAccuracy
from gpudl.metrics.accuracy import SparseCategoricalAccuracy as SparseCategoricalAccuracy
from gpudl.metrics.accuracy import SparseTopKCategoricalAccuracy as SparseTopKCategoricalAccuracy
from gpudl.metrics.accuracy import TopKCategoricalAccuracy as TopKCategoricalAccuracy
from gpudl.metrics.accuracy import binary_accuracy as binary_accuracy
from gpudl.metrics.accuracy import categorical_accuracy as categorical_accuracy
from gpudl.metrics.accuracy import sparse_categorical_accuracy as sparse_categorical_accuracy
from gpudl.metrics.accuracy import sparse_top_k_categorical_accuracy as sparse_top_k_categorical_accuracy
from gpudl.metrics.accuracy import top_k_categorical_accuracy as top_k_categorical_accuracy
from gpudl.metrics.base import Metric as Metric
from gpudl.metrics.base import Variable as Variable
from gpudl.metrics.confusion import FalseNegatives as FalseNegatives
from gpudl.metrics.confusion import FalsePositives as FalsePositives
from gpudl.metrics.confusion import Precision as Precision
from gpudl.metrics.confusion import Recall as Recall
from gpudl.metrics.confusion import TrueNegatives as TrueNegatives
from gpudl.metrics.confusion import TruePositives as TruePositives
from gpudl.metrics.curves import AUC as AUC
from gpudl.metrics.curves import PrecisionAtRecall as PrecisionAtRecall
from gpudl.metrics.curves import RecallAtPrecision as RecallAtPrecision
from gpudl.metrics.curves import SensitivityAtSpecificity as SensitivityAtSpecificity
from gpudl.metrics.curves import SpecificityAtSensitivity as SpecificityAtSensitivity
from gpudl.metrics.f_score import F1Score as F1Score
from gpudl.metrics.f_score import FBetaScore as FBetaScore
from gpudl.metrics.matrices import BinaryIoU as BinaryIoU
from gpudl.metrics.matrices import ConfusionMatrix as ConfusionMatrix
from gpudl.metrics.matrices import IoU as IoU
from gpudl.metrics.matrices import MeanIoU as MeanIoU
from gpudl.metrics.matrices import OneHotIoU as OneHotIoU
from gpudl.metrics.matrices import OneHotMeanIoU as OneHotMeanIoU
from gpudl.metrics.matrices import confusion_matrix as confusion_matrix
from gpudl.metrics.of_losses import BinaryCrossentropy as BinaryCrossentropy
from gpudl.metrics.of_losses import CategoricalCrossentropy as CategoricalCrossentropy
from gpudl.metrics.of_losses import CategoricalHinge as CategoricalHinge
from gpudl.metrics.of_losses import Hinge as Hinge
from gpudl.metrics.of_losses import KLDivergence as KLDivergence
from gpudl.metrics.of_losses import LogCoshError as LogCoshError
from gpudl.metrics.of_losses import MeanAbsoluteError as MeanAbsoluteError
from gpudl.metrics.of_losses import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from gpudl.metrics.of_losses import MeanSquaredError as MeanSquaredError
from gpudl.metrics.of_losses import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from gpudl.metrics.of_losses import Poisson as Poisson
from gpudl.metrics.of_losses import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from gpudl.metrics.of_losses import SquaredHinge as SquaredHinge
from gpudl.metrics.reduction import Mean as Mean
from gpudl.metrics.reduction import MeanMetricWrapper as MeanMetricWrapper
from gpudl.metrics.reduction import Sum as Sum
from gpudl.metrics.regression import ConcordanceCorrelation as ConcordanceCorrelation
from gpudl.metrics.regression import CosineSimilarity as CosineSimilarity
from gpudl.metrics.regression import PearsonCorrelation as PearsonCorrelation
from gpudl.metrics.regression import R2Score as R2Score
from gpudl.metrics.regression import RootMeanSquaredError as RootMeanSquaredError
from gpudl.metrics.regression import concordance_correlation as concordance_correlation
from gpudl.metrics.regression import cosine_similarity as cosine_similarity
from gpudl.metrics.regression import pearson_correlation as pearson_correlation


def get(metric: Any) -> Any:
    """Return a metric by name, settings, or from a function; a metric found by name is called as it was asked for.

    None gives None. Raises: UnknownNameError.
    """
    if metric is None:
        return None
    found = registry.resolve("metrics", metric)
    if not isinstance(found, Metric):
        found = MeanMetricWrapper(found)
    if isinstance(metric, str):
        found.name = metric
    return found
