from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from gpudl.callbacks.base import Callback, Logs
from gpudl.errors import UsageError


class BackupAndRestore(Callback):
    """Save where training stands, so that the same `fit`, called again after a break, goes on from there to the bit.

    It saves after every epoch, or after every `save_freq` batches, once all other callbacks are done: weights,
    optimizer, their states and the history. The file, `backup.safetensors` in `backup_dir`, goes when training ends,
    unless `delete_checkpoint` is off. It is replaced as a whole or not at all, so `double_checkpoint` changes nothing.

    Raises: UsageError for an empty `backup_dir` or a strange `save_freq`.
    """

    called = "backup_and_restore"
    writes_to = ("backup_dir",)

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: Literal["epoch"] | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        if not os.fspath(backup_dir):
            raise UsageError('BackupAndRestore(backup_dir=""): give a folder for the backup')
        if save_freq != "epoch" and (not isinstance(save_freq, int) or isinstance(save_freq, bool) or save_freq < 1):
            raise UsageError(
                f'BackupAndRestore(save_freq={save_freq!r}): expected "epoch" or a number of batches from 1'
            )
        self.backup_dir, self.save_freq, self.delete_checkpoint = os.fspath(backup_dir), save_freq, delete_checkpoint

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.backup_dir) / "backup.safetensors"

    def resume(self) -> dict[str, Any] | None:
        return self.model.read_backup(self.path) if self.path.is_file() else None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if isinstance(self.save_freq, int) and self.model.training_state.step % self.save_freq == 0:
            self._save()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self.save_freq == "epoch":
            self._save()

    def on_train_end(self, logs: Logs | None = None) -> None:
        if self.delete_checkpoint:
            self.path.unlink(missing_ok=True)

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.model.write_backup(self.path)
