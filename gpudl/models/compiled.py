"""Which loss and which metrics belong to which output of a model, and what they are called in the logs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from gpudl import losses, metrics
from gpudl.errors import UsageError, counted, did_you_mean
from gpudl.losses import Loss
from gpudl.metrics import Mean, Metric
from gpudl.structures import leaves


class OutputLosses:
    """The losses of a model's outputs, with their weights; called, it returns their weighted sum.

    `loss` is one for all outputs, a list with one for each, or a dict by the outputs' names; so are the weights. Where
    there are several, `trackers` hold each one's mean, unweighted, as `<output>_loss`.
    """

    def __init__(self, loss: Any, loss_weights: Any, output_names: Sequence[str] | None) -> None:
        self.loss, self.loss_weights, self.output_names = loss, loss_weights, output_names
        self.trackers: list[Metric] = []
        self.each: list[Loss | None] = []
        self.weights: list[float | None] = []
        if not isinstance(loss, (list, tuple, dict)):
            self.loss = losses.get(loss)
            if output_names is not None:
                self.resolve(output_names)
        elif output_names is not None:
            self.resolve(output_names)

    def resolve(self, names: Sequence[str]) -> None:
        """Give each output its loss. Raises: UsageError naming the outputs, where the losses do not fit them."""
        if self.each:
            return
        count = len(names)
        if not isinstance(self.loss, (list, tuple, dict)):
            found = [self.loss] * count
        else:
            wanted = by_output(self.loss, names, "loss")
            missing = [name for name in names if name not in self.loss] if isinstance(self.loss, dict) else []
            if missing:
                raise UsageError(
                    f'loss: there is none for the output "{missing[0]}"; give it one, or None where nothing is trained'
                )
            found = [None if x is None else losses.get(x) for x in wanted]
        weights = self.loss_weights
        if weights is not None and not isinstance(weights, (list, tuple, dict)):
            weights = [weights] * count
        self.weights = [None] * count if weights is None else by_output(weights, names, "loss_weights")
        self.each = found
        if sum(x is not None for x in found) > 1:
            self.trackers = [
                Mean(name=f"{name}_loss") for name, one in zip(names, found, strict=True) if one is not None
            ]
            for tracker in self.trackers:
                tracker.direction = "down"

    def __call__(self, y: Any, y_pred: list[Any], sample_weight: Any, names: Sequence[str]) -> Any:
        self.resolve(names)
        if len(names) == 1 and self.each[0] is not None and not isinstance(y, (list, tuple, Mapping, type(None))):
            value = self.each[0](y, y_pred[0], sample_weight)
            return value if self.weights[0] is None else value * self.weights[0]
        total: Any = None
        trackers = iter(self.trackers)
        targets = targets_of(y, names, [x is not None for x in self.each])
        sample_weights = weights_of(sample_weight, names)
        for name, loss, weight, target, predicted, of_sample in zip(
            names, self.each, self.weights, targets, y_pred, sample_weights, strict=True
        ):
            if loss is None:
                continue
            if target is None:
                raise UsageError(f'the output "{name}" has a loss, but no targets were given for it')
            try:
                value = loss(target, predicted, of_sample)
            except UsageError as error:
                if len(names) > 1:
                    error.args = (f'output "{name}": {error}',)
                raise
            if self.trackers:
                next(trackers).update_state(value.data, len(predicted))
            if weight is not None:
                value = value * weight
            total = value if total is None else total + value
        return total


class OutputMetrics:
    """The metrics of a model's outputs. With several outputs their names begin with the output's."""

    def __init__(self, wanted: Any, weighted: Any, output_names: Sequence[str] | None) -> None:
        for what, given in (("metrics", wanted), ("weighted_metrics", weighted)):
            if given is not None and not isinstance(given, (list, tuple, dict)):
                name = given if isinstance(given, str) else getattr(given, "name", "accuracy")
                raise UsageError(f'compile: {what} must be a list, as in {what}=["{name}"]')
        self.wanted, self.weighted = _found(wanted), _found(weighted)
        self.called = {id(metric): metric.name for metric in _each([self.wanted, self.weighted])}
        """What each was called when it was asked for, before an output's name came in front."""
        self.each: list[tuple[int, bool, Metric]] = []
        self.resolved = False
        if output_names is not None:
            self.resolve(output_names)
        elif not _deep(self.wanted) and not _deep(self.weighted):
            self._name([(0, False, m) for m in _each(self.wanted)] + [(0, True, m) for m in _each(self.weighted)], [""])

    def resolve(self, names: Sequence[str]) -> None:
        """Give each output its metrics. Raises: UsageError naming the outputs, where they do not fit."""
        if self.resolved:
            return
        self.resolved = True
        if len(names) == 1 and self.each:
            return
        found = []
        for is_weighted, given in ((False, self.wanted), (True, self.weighted)):
            if len(names) == 1:
                found += [(0, is_weighted, metric) for metric in _each(given)]
                continue
            what = "weighted_metrics" if is_weighted else "metrics"
            for i, some in enumerate(by_output(given, names, what) if given else ()):
                found += [(i, is_weighted, metric) for metric in _each(some)]
        self._name(found, [f"{name}_" for name in names] if len(names) > 1 else [""])

    def _name(self, found: list[tuple[int, bool, Metric]], prefixes: Sequence[str]) -> None:
        counts: Counter[str] = Counter()
        for output, is_weighted, metric in found:
            name = f"{prefixes[output]}{metric.name}"
            if counts[name] and is_weighted:
                name = f"{prefixes[output]}weighted_{metric.name}"
            counts[name] += 1
            metric.name = name if counts[name] == 1 else f"{name}_{counts[name] - 1}"
        self.each = found

    def update(self, y: Any, y_pred: list[Any], sample_weight: Any, names: Sequence[str]) -> None:
        """Take one batch into account."""
        if not self.resolved:
            self.resolve(names)
        if len(names) == 1 and not isinstance(y, (list, tuple, Mapping)):
            for _, is_weighted, metric in self.each:
                if is_weighted:
                    metric.update_state(y, y_pred[0], weights_of(sample_weight, names)[0])
                else:
                    metric.update_state(y, y_pred[0])
            return
        if not self.each:
            return
        used = {output for output, _, _ in self.each}
        targets = targets_of(y, names, [i in used for i in range(len(names))])
        weights = weights_of(sample_weight, names)
        for output, is_weighted, metric in self.each:
            if is_weighted:
                metric.update_state(targets[output], y_pred[output], weights[output])
            else:
                metric.update_state(targets[output], y_pred[output])


def _found(given: Any) -> Any:
    """Turn names into metrics, keeping the lists and dicts."""
    if isinstance(given, dict) and "type" not in given:
        return {name: _found(item) for name, item in given.items()}
    if isinstance(given, (list, tuple)):
        return [_found(item) for item in given]
    return None if given is None else metrics.get(given)


def _each(given: Any) -> list[Metric]:
    return [metric for metric in leaves(given) if metric is not None]


def _deep(given: Any) -> bool:
    return isinstance(given, dict) or (
        isinstance(given, list) and any(isinstance(x, (list, dict)) or x is None for x in given)
    )


def by_output(given: Any, names: Sequence[str], what: str) -> list[Any]:
    """Return one entry for each output, from a list or a dict by name; an output a dict does not name has None.

    Raises: UsageError naming the outputs.
    """
    outputs = ", ".join(f'"{name}"' for name in names)
    if isinstance(given, Mapping):
        for name in given:
            if name not in names:
                raise UsageError(
                    f'{what}: the model has no output "{name}"{did_you_mean(str(name), names)}; '
                    f"its outputs are {outputs}"
                )
        return [given.get(name) for name in names]
    if not isinstance(given, (list, tuple)):
        raise UsageError(f"{what} must be a list or a dict with one entry for each output: {outputs}")
    if len(given) != len(names):
        raise UsageError(
            f"{what} has {counted(len(given), 'entry')}, but the model has {counted(len(names), 'output')}: {outputs}"
        )
    return list(given)


def targets_of(y: Any, names: Sequence[str], wanted: Sequence[bool]) -> list[Any]:
    """Return each output's targets; None where there are none. Raises: UsageError naming the outputs."""
    if isinstance(y, Mapping):
        return by_output(y, names, "the targets")
    given = list(y) if isinstance(y, (list, tuple)) else [y]
    if len(given) == len(names):
        return given
    if len(given) == sum(wanted):
        following = iter(given)
        return [next(following) if one else None for one in wanted]
    outputs = ", ".join(f'"{name}"' for name in names)
    were = f"{counted(len(given), 'target')} {'was' if len(given) == 1 else 'were'} given"
    raise UsageError(f"{were}, but the model has {counted(len(names), 'output')}: {outputs}")


def weights_of(sample_weight: Any, names: Sequence[str]) -> list[Any]:
    """Return each output's sample weights: the same for all, or one for each."""
    if sample_weight is None or not isinstance(sample_weight, (list, tuple, Mapping)):
        return [sample_weight] * len(names)
    return by_output(sample_weight, names, "sample_weight")
