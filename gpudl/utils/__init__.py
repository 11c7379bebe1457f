"""Small helpers a lesson uses."""

from __future__ import annotations

from gpudl.custom_objects import CustomObjectScope as CustomObjectScope
from gpudl.custom_objects import custom_object_scope as custom_object_scope
from gpudl.custom_objects import get_registered_name as get_registered_name
from gpudl.custom_objects import get_registered_object as get_registered_object
from gpudl.custom_objects import register_keras_serializable as register_keras_serializable
from gpudl.naming import clear_session as clear_session
from gpudl.utils.arrays import normalize as normalize
from gpudl.utils.arrays import split_dataset as split_dataset
from gpudl.utils.arrays import to_categorical as to_categorical
from gpudl.utils.plotting import plot_model as plot_model
from gpudl.utils.py_dataset import PyDataset as PyDataset
from gpudl.utils.seeds import set_random_seed as set_random_seed
from gpudl.utils.sequences import pad_sequences as pad_sequences

Sequence = PyDataset  # Keras's older name
