"""Learning-rate schedules, under the name that Keras has for them."""

from gpudl.schedules import CosineDecay as CosineDecay
from gpudl.schedules import CosineDecayRestarts as CosineDecayRestarts
from gpudl.schedules import ExponentialDecay as ExponentialDecay
from gpudl.schedules import InverseTimeDecay as InverseTimeDecay
from gpudl.schedules import LearningRateSchedule as LearningRateSchedule
from gpudl.schedules import PiecewiseConstantDecay as PiecewiseConstantDecay
from gpudl.schedules import PolynomialDecay as PolynomialDecay
from gpudl.schedules import deserialize as deserialize
from gpudl.schedules import serialize as serialize
