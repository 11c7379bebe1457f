"""Losses: how wrong predictions are, as one number to be made small.

Each is there twice, as in Keras: `Huber(delta)` is an object with settings that reduces a batch to one number,
`huber(y_true, y_pred, delta)` a function that returns the loss of every sample.
"""

from __future__ import annotations

from typing import Any

from gpudl import registry
from gpudl.errors import UsageError
from gpudl.losses.base import FunctionLoss as FunctionLoss
from gpudl.losses.base import Loss as Loss
from gpudl.losses.crossentropy import BinaryCrossentropy as BinaryCrossentropy
from gpudl.losses.crossentropy import CategoricalCrossentropy as CategoricalCrossentropy
from gpudl.losses.crossentropy import SparseCategoricalCrossentropy as SparseCategoricalCrossentropy
from gpudl.losses.crossentropy import binary_crossentropy as binary_crossentropy
from gpudl.losses.crossentropy import categorical_crossentropy as categorical_crossentropy
from gpudl.losses.crossentropy import sparse_categorical_crossentropy as sparse_categorical_crossentropy
from gpudl.losses.distributions import Dice as Dice
from gpudl.losses.distributions import KLDivergence as KLDivergence
from gpudl.losses.distributions import Poisson as Poisson
from gpudl.losses.distributions import Tversky as Tversky
from gpudl.losses.distributions import dice as dice
from gpudl.losses.distributions import kl_divergence as kl_divergence
from gpudl.losses.distributions import poisson as poisson
from gpudl.losses.distributions import tversky as tversky
from gpudl.losses.focal import BinaryFocalCrossentropy as BinaryFocalCrossentropy
from gpudl.losses.focal import CategoricalFocalCrossentropy as CategoricalFocalCrossentropy
from gpudl.losses.focal import binary_focal_crossentropy as binary_focal_crossentropy
from gpudl.losses.focal import categorical_focal_crossentropy as categorical_focal_crossentropy
from gpudl.losses.hinge import CategoricalHinge as CategoricalHinge
from gpudl.losses.hinge import Hinge as Hinge
from gpudl.losses.hinge import SquaredHinge as SquaredHinge
from gpudl.losses.hinge import categorical_hinge as categorical_hinge
from gpudl.losses.hinge import hinge as hinge
from gpudl.losses.hinge import squared_hinge as squared_hinge
from gpudl.losses.regression import CosineSimilarity as CosineSimilarity
from gpudl.losses.regression import Huber as Huber
from gpudl.losses.regression import LogCosh as LogCosh
from gpudl.losses.regression import MeanAbsoluteError as MeanAbsoluteError
from gpudl.losses.regression import MeanAbsolutePercentageError as MeanAbsolutePercentageError
from gpudl.losses.regression import MeanSquaredError as MeanSquaredError
from gpudl.losses.regression import MeanSquaredLogarithmicError as MeanSquaredLogarithmicError
from gpudl.losses.regression import cosine_similarity as cosine_similarity
from gpudl.losses.regression import huber as huber
from gpudl.losses.regression import log_cosh as log_cosh
from gpudl.losses.regression import mean_absolute_error as mean_absolute_error
from gpudl.losses.regression import mean_absolute_percentage_error as mean_absolute_percentage_error
from gpudl.losses.regression import mean_squared_error as mean_squared_error
from gpudl.losses.regression import mean_squared_logarithmic_error as mean_squared_logarithmic_error


def is_own(function: Any) -> bool:
    """Whether this is one of the functions of this package."""
    return callable(function) and globals().get(getattr(function, "__name__", "")) is function


def get(loss: Any) -> Any:
    """Return a loss by name, settings, or from a function of (y_true, y_pred); None for None.

    Raises: UnknownNameError.
    """
    if loss is None:
        return None
    if is_own(loss) and not isinstance(loss, type):
        loss = loss.__name__
    found = registry.resolve("losses", loss)
    if not callable(found):
        raise UsageError(f'loss={loss!r} is no loss; give a name as "mse", a loss as Huber(), or a function')
    return found if isinstance(found, Loss) else FunctionLoss(found)
