"""Models and weights in files: gpudl's own safetensors, and Keras's `.keras` and `.weights.h5`."""

from gpudl.custom_objects import CustomObjectScope as CustomObjectScope
from gpudl.custom_objects import custom_object_scope as custom_object_scope
from gpudl.custom_objects import get_registered_name as get_registered_name
from gpudl.custom_objects import get_registered_object as get_registered_object
from gpudl.custom_objects import register_keras_serializable as register_keras_serializable
from gpudl.models.keras_files.archive import load_keras as load_keras
from gpudl.models.saving import load_model as load_model
from gpudl.models.saving import save_model as save_model
from gpudl.models.weight_files import load_weights as load_weights
from gpudl.models.weight_files import save_weights as save_weights
