"""Callbacks, with Keras's names and moments."""

from gpudl.callbacks.base import Callback as Callback
from gpudl.callbacks.base import CallbackList as CallbackList
from gpudl.callbacks.base import Logs as Logs
from gpudl.callbacks.history import History as History
from gpudl.callbacks.progress import Progress as Progress
from gpudl.callbacks.terminate_on_nan import TerminateOnNaN as TerminateOnNaN
