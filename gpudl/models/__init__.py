"""Models: layers put together, trained, used and saved."""

from gpudl.models.architecture import model_from_json as model_from_json
from gpudl.models.model import Model as Model
from gpudl.models.model import clone_model as clone_model
from gpudl.models.saving import load_model as load_model
from gpudl.models.saving import save_model as save_model
from gpudl.models.sequential import Sequential as Sequential
