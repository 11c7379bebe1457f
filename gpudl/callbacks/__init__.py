"""Callbacks, with Keras's names and moments."""

from gpudl.callbacks.backup_and_restore import BackupAndRestore as BackupAndRestore
from gpudl.callbacks.base import Callback as Callback
from gpudl.callbacks.base import CallbackList as CallbackList
from gpudl.callbacks.base import Logs as Logs
from gpudl.callbacks.csv_logger import CSVLogger as CSVLogger
from gpudl.callbacks.early_stopping import EarlyStopping as EarlyStopping
from gpudl.callbacks.history import History as History
from gpudl.callbacks.lambda_callback import LambdaCallback as LambdaCallback
from gpudl.callbacks.learning_rate_scheduler import LearningRateScheduler as LearningRateScheduler
from gpudl.callbacks.model_checkpoint import ModelCheckpoint as ModelCheckpoint
from gpudl.callbacks.progress import Progress as ProgbarLogger  # noqa: F401  Keras's name for it
from gpudl.callbacks.progress import Progress as Progress
from gpudl.callbacks.reduce_lr_on_plateau import ReduceLROnPlateau as ReduceLROnPlateau
from gpudl.callbacks.tensorboard import TensorBoard as TensorBoard
from gpudl.callbacks.terminate_on_nan import TerminateOnNaN as TerminateOnNaN
