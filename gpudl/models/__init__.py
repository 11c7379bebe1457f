"""Models: layers put together, trained, used and saved."""

from gpudl.models.model import Model as Model
from gpudl.models.saving import load_model as load_model
from gpudl.models.sequential import Sequential as Sequential
