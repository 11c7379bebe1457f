"""From data to batches: splitting, shuffling, taking. Samples keep their type (uint8 stays uint8) until taken."""

from __future__ import annotations

import itertools
import math
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from gpudl import random
from gpudl.autograd import Tensor
from gpudl.backend import array_module, to_numpy
from gpudl.errors import DataError, UsageError
from gpudl.structures import leaves, mapped


class Batch(NamedTuple):
    """Inputs, targets and sample weights of one step, each an array or several in a list or dict; y and weight may be
    None.
    """

    x: Any
    y: Any
    weight: Any

    @property
    def samples(self) -> int:
        return samples_of(self.x)

    def packed(self) -> Any:
        """Return what `train_step` is given: (x, y, weight), without what there is not; x alone where it is all."""
        if self.y is None:
            return (self.x,) if isinstance(self.x, (list, tuple)) else self.x
        return (self.x, self.y) if self.weight is None else (self.x, self.y, self.weight)


def unpacked(data: Any) -> Batch:
    """Turn what a generator yields, or `train_step` is given, into a Batch."""
    if isinstance(data, Batch):
        return data
    if not isinstance(data, (tuple, list)):
        return Batch(data, None, None)
    if not 1 <= len(data) <= 3:
        raise UsageError(f"a batch must be (x,), (x, y) or (x, y, sample_weight), but has {len(data)} entries")
    return Batch(*data, *(None,) * (3 - len(data)))


def samples_of(x: Any) -> int:
    """Return how many samples there are, by the first array."""
    if type(x) is np.ndarray:
        return len(x)
    for array in leaves(x):
        if array is not None:
            return len(array)
    raise DataError("there are no samples: no array was given")


def as_arrays(data: Any) -> Any:
    """Return data with everything in it as arrays: lists of numbers and tables of pandas become NumPy arrays.

    A list or tuple of arrays stays one of arrays: several inputs.
    """
    if data is None or isinstance(data, np.ndarray):
        return data
    if isinstance(data, Tensor):
        return data.data
    if isinstance(data, Mapping):
        return {name: as_arrays(item) for name, item in data.items()}
    if isinstance(data, (list, tuple)) and any(hasattr(item, "shape") and np.ndim(item) for item in data):
        return type(data)(as_arrays(item) for item in data)
    if type(data).__module__.split(".")[0] == "cupy":
        return data
    try:
        return np.asarray(to_numpy(data) if hasattr(data, "get") and not hasattr(data, "to_numpy") else data)
    except ValueError:
        raise DataError(
            "the data is a list whose entries differ in length, which no array can hold; bring them to one length, as "
            "utils.pad_sequences does"
        ) from None


def _remedy(array: Any) -> str:
    if array.dtype.kind in "US":
        return "give each word or kind a number"
    if array.dtype.kind == "O":
        other = next((x for x in array.flat if not isinstance(x, (int, float))), array.flat[0])
        return f'an entry is {other!r}; where all are numbers, x.astype("float32") makes them so'
    return 'turn them into real ones, as x.astype("float32") does'


def is_stream(x: Any) -> bool:
    """Whether data comes batch by batch: a generator, a PyDataset or another sequence of batches, a DataLoader."""
    if x is None or isinstance(x, (np.ndarray, Tensor, Mapping, list, tuple, str)) or hasattr(x, "dtype"):
        return False
    if hasattr(x, "to_numpy") or hasattr(x, "__array__"):  # pandas
        return False
    return isinstance(x, Iterator) or hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


def _chosen(data: Any, picks: Any) -> Any:
    """Return some samples, a slice or by their numbers, of an array or of several in lists and dicts."""

    def chosen(array: Any) -> Any:
        if array is None or isinstance(picks, slice):
            return None if array is None else array[picks]
        return array.take(array_module(array).asarray(picks), axis=0)

    if type(data) is np.ndarray:  # in every step
        return data[picks] if isinstance(picks, slice) else data.take(picks, axis=0)
    return mapped(chosen, data)


class Batches:
    """Arrays of equal length, cut into batches; a last one that is not full is kept.

    x, y and weight are arrays, or several in lists and dicts. `order(key)` fixes the order of a pass over the data;
    equal keys give equal orders.
    """

    def __init__(
        self,
        x: Any,
        y: Any = None,
        weight: Any = None,
        batch_size: int | None = None,
        shuffle: bool = False,
    ) -> None:
        self.x, self.y = as_arrays(x), as_arrays(y)
        self.weight = mapped(lambda a: a if a is None else a.astype(np.float32, copy=False), as_arrays(weight))
        batch_size = 32 if batch_size is None else batch_size
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size < 1:
            raise UsageError(f"batch_size={batch_size!r} must be an integer of at least 1")
        self.batch_size = int(batch_size)
        self.shuffle = bool(shuffle)
        for name, data in (("inputs", self.x), ("targets", self.y), ("sample weights", self.weight)):
            for array in leaves(data):
                if array is not None and array.ndim == 0:
                    raise DataError(f"the {name} must be arrays with one entry for each sample, but one is {array!r}")
        for name, data in (("inputs", self.x), ("sample weights", self.weight)):
            for array in leaves(data):
                if array is not None and array.dtype.kind not in "biuf":
                    raise DataError(f"the {name} must be numbers, but are of type {array.dtype}; {_remedy(array)}")
        self.samples = samples_of(self.x)
        if self.samples == 0:
            raise DataError("there are no samples: the inputs have length 0")
        for name, data in (("inputs", self.x), ("targets", self.y), ("sample weights", self.weight)):
            for array in leaves(data):
                if array is not None and len(array) != self.samples:
                    raise DataError(self._unequal(name, len(array)))

    def _unequal(self, name: str, count: int) -> str:
        if name == "inputs":
            lengths = ", ".join(str(len(array)) for array in leaves(self.x))
            return f"the model's inputs must have as many samples each, but they have {lengths}"
        several = isinstance(self.x, (list, tuple)) and len(self.x) == count
        hint = f"; x is a list of {count} arrays, which are taken for {count} inputs: stack them, np.stack(x)"
        return f"there are {self.samples} inputs but {count} {name}; they must be as many{hint if several else ''}"

    def __len__(self) -> int:
        return math.ceil(self.samples / self.batch_size)

    def order(self, key: int) -> np.ndarray | None:
        """Return the order of the samples in one pass; None where they are not shuffled."""
        if not self.shuffle:
            return None
        return random.stream(random.current_seed(), "shuffle", key).permutation(self.samples)

    def take(self, order: np.ndarray | None, first: int = 0) -> Iterator[Batch]:
        """Yield the batches of a pass from batch number `first` on."""
        for start in range(first * self.batch_size, self.samples, self.batch_size):
            where = slice(start, min(start + self.batch_size, self.samples))
            picks = where if order is None else order[where]
            yield Batch(_chosen(self.x, picks), _chosen(self.y, picks), _chosen(self.weight, picks))

    def begin_pass(self, key: int, first: int) -> Iterator[Batch]:
        """Yield the batches of the pass that `key` orders, from number `first` on."""
        return self.take(self.order(key), first)

    def begin_epoch(self) -> None: ...

    def end_epoch(self) -> None: ...


class Stream:
    """Batches that something else makes: a generator, a sequence of batches (`__getitem__`, `__len__`), a DataLoader.

    What it yields is x, (x, y) or (x, y, sample_weight). A generator goes on from epoch to epoch and needs
    `steps_per_epoch` unless it ends; the rest begins anew with every pass.
    """

    weigh: Callable[[Batch], Batch] | None = None
    """What gives each batch its sample weights, where it does not bring them."""

    def __init__(self, source: Any, shuffle: bool = False) -> None:
        self.source = source
        self.batch_size = None
        self.once = isinstance(source, (types.GeneratorType, Iterator))
        self.indexed = not self.once and hasattr(source, "__getitem__") and hasattr(source, "__len__")
        self.endless = self.indexed and getattr(source, "num_batches", 0) is None
        self.shuffle = shuffle and self.indexed and not self.endless
        self._first: Batch | None = None

    def __len__(self) -> int:
        """The number of batches of a pass; 0 where nobody knows."""
        if self.endless or not hasattr(self.source, "__len__"):
            return 0
        try:
            return int(getattr(self.source, "num_batches", None) or len(self.source))
        except TypeError:  # a DataLoader of an endless data set has a length that fails
            return 0

    def begin_pass(self, key: int, first: int) -> Iterator[Batch]:
        """Yield the batches from number `first` on; a sequence of batches is taken in the order `key` gives."""
        if self.endless:
            yield from (self._batch(self.source[number]) for number in itertools.count(first))
        elif self.indexed:
            count = len(self)
            order = range(count)
            if self.shuffle:
                order = random.stream(random.current_seed(), "shuffle", key).permutation(count)
            for number in range(first, count):
                yield self._batch(self.source[int(order[number])])
        else:
            yield from self._following(first)

    def _following(self, first: int) -> Iterator[Batch]:
        source = iter(self.source)
        if self._first is not None:
            batch, self._first = self._first, None
            yield batch
        elif not self.once:
            for _ in range(first):
                next(source, None)
        for data in source:
            yield self._batch(data)

    def begin_epoch(self) -> None:
        """Tell the source, if it wants to know."""
        if hasattr(self.source, "on_epoch_begin"):
            self.source.on_epoch_begin()

    def end_epoch(self) -> None:
        """Tell the source, if it wants to know."""
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()

    def peek(self) -> Batch:
        """Return the first batch without losing it. Raises: DataError where there is none."""
        if self.indexed:
            if len(self) == 0 and not self.endless:
                raise DataError("the data has no batches: its length is 0")
            return self._batch(self.source[0])
        if self._first is None:
            for data in iter(self.source):
                self._first = self._batch(data)
                break
            else:
                raise DataError("the data has no batches: it ended at once")
        first = self._first
        if not self.once:
            self._first = None
        return first

    def _batch(self, data: Any) -> Batch:
        batch = unpacked(data)
        batch = Batch(as_arrays(batch.x), as_arrays(batch.y), as_arrays(batch.weight))
        return batch if self.weigh is None else self.weigh(batch)


def on_device(batches: Iterator[Batch], device: str) -> Iterator[Batch]:
    """Yield the batches with their numbers on the device: as they are for "cpu", sent one early for "cuda"."""
    if device == "cpu":
        return batches
    from gpudl.backend.cupy.transfer import ahead

    return ahead(batches)


def batches_of(
    x: Any, y: Any = None, weight: Any = None, batch_size: int | None = None, shuffle: bool = False
) -> Batches | Stream:
    """Return the batches of arrays, or of something that yields batches; there y and weight come with x.

    Raises: UsageError where y or weight are given beside such data.
    """
    if not is_stream(x):
        return Batches(x, y, weight, batch_size, shuffle)
    if batch_size is not None:
        warnings.warn(
            f"batch_size={batch_size} changes nothing: a {type(x).__name__} yields batches of its own", stacklevel=3
        )
    for name, given in (("y", y), ("sample_weight", weight)):
        if given is not None:
            raise UsageError(
                f"{name} cannot be given beside a {type(x).__name__}: it yields (x, y) or (x, y, sample_weight), "
                "a batch at a time"
            )
    return Stream(x, shuffle)


def split_off(samples: int, fraction: float) -> int:
    """Return where the last `fraction` of the samples begins: what `validation_split` sets aside, before shuffling.

    Raises: UsageError where either part would be empty.
    """
    if not isinstance(fraction, (int, float, np.number)) or not 0 < fraction < 1:
        raise UsageError(f"validation_split={fraction!r} must be a number between 0 and 1")
    if samples < 2:
        raise UsageError(f"validation_split={fraction} needs at least 2 samples, but there is {samples}")
    begin = math.floor(samples * (1 - fraction))
    if begin == 0 or begin == samples:
        part = "training" if begin == 0 else "validation"
        raise UsageError(
            f"validation_split={fraction} of {samples} samples leaves none for {part}; "
            f"choose a fraction between {1 / samples:.2g} and {1 - 1 / samples:.2g}"
        )
    return begin
