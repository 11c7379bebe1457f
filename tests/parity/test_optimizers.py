"""Optimizers and schedules beside Keras's: the same gradients, the same weights after every step."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpudl import constraints, optimizers, schedules
from gpudl.autograd import Parameter
from gpudl.testing import check_close

pytestmark = pytest.mark.parity

STEPS = 20
Drawn = st.SearchStrategy[dict[str, Any]]


def number(least: float, most: float) -> st.SearchStrategy[float]:
    """A number whose digits are few, so that single precision has it too."""
    return st.floats(least, most, width=16, allow_subnormal=False)


rates = st.sampled_from([1.0, 0.1, 0.01, 0.001]) | number(2**-12, 1)
epsilons = st.sampled_from([1e-7, 1e-3, 0.1])
beta_1, beta_2 = number(0, 0.96875), st.sampled_from([0.999, 0.99]) | number(0.125, 0.96875)
OWN: dict[str, Drawn] = {
    "SGD": st.fixed_dictionaries({}, optional={"momentum": number(0, 1), "nesterov": st.booleans()}),
    "RMSprop": st.fixed_dictionaries(
        {},
        optional={
            "rho": number(0.25, 1),
            "momentum": number(0, 1),
            "epsilon": epsilons,
            "centered": st.booleans(),
        },
    ),
    "Adagrad": st.fixed_dictionaries({}, optional={"initial_accumulator_value": number(0, 4), "epsilon": epsilons}),
    "Adadelta": st.fixed_dictionaries({}, optional={"rho": number(0, 1), "epsilon": epsilons}),
    "Adam": st.fixed_dictionaries(
        {}, optional={"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilons, "amsgrad": st.booleans()}
    ),
    "AdamW": st.fixed_dictionaries(
        {}, optional={"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilons, "amsgrad": st.booleans()}
    ),
    "Adamax": st.fixed_dictionaries({}, optional={"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilons}),
    "Nadam": st.fixed_dictionaries({}, optional={"beta_1": beta_1, "beta_2": beta_2, "epsilon": epsilons}),
    "Lion": st.fixed_dictionaries({}, optional={"beta_1": number(0.125, 1), "beta_2": number(0, 1)}),
}

limits = number(2**-10, 20) | st.sampled_from([0.0, -1.0])
CLIPS = st.just({}) | st.sampled_from(["clipnorm", "clipvalue", "global_clipnorm"]).flatmap(
    lambda name: st.fixed_dictionaries({name: limits})
)
EMA = st.just({}) | st.fixed_dictionaries(
    {"use_ema": st.just(True)},
    optional={
        "ema_momentum": number(0, 1),
        "ema_overwrite_frequency": st.none() | st.integers(1, 6),
    },
)
OTHERS = st.fixed_dictionaries(
    {},
    optional={
        "weight_decay": st.sampled_from([0.004, 0.0]) | number(0, 0.5),
        "loss_scale_factor": st.none() | st.sampled_from([1.0, 256.0, 3.0]),
        "gradient_accumulation_steps": st.none() | st.integers(2, 7),
        "name": st.just("one"),
    },
)

first_rates = st.sampled_from([0.1, 0.01, 1.0]) | number(2**-10, 1)
steps, alphas = st.integers(1, 30), number(0, 1)
SCHEDULES: dict[str, Drawn] = {
    "ExponentialDecay": st.fixed_dictionaries(
        {"initial_learning_rate": first_rates, "decay_steps": steps, "decay_rate": number(0.25, 1.5)},
        optional={"staircase": st.booleans(), "name": st.just("one")},
    ),
    "InverseTimeDecay": st.fixed_dictionaries(
        {"initial_learning_rate": first_rates, "decay_steps": steps, "decay_rate": number(0, 4)},
        optional={"staircase": st.booleans()},
    ),
    "PiecewiseConstantDecay": st.lists(st.integers(0, 40), min_size=1, max_size=5, unique=True).flatmap(
        lambda boundaries: st.fixed_dictionaries(
            {
                "boundaries": st.just(sorted(boundaries)),
                "values": st.lists(first_rates, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1),
            }
        )
    ),
    "PolynomialDecay": st.fixed_dictionaries(
        {"initial_learning_rate": first_rates, "decay_steps": steps},
        optional={
            "end_learning_rate": number(0, 1),
            "power": st.sampled_from([0.5, 1.0, 2.0]) | number(0.25, 4),
            "cycle": st.booleans(),
        },
    ),
    "CosineDecay": st.fixed_dictionaries(
        {"initial_learning_rate": st.just(0.0) | first_rates, "decay_steps": steps},
        optional={
            "alpha": alphas,
            "warmup_target": st.none() | first_rates,
            "warmup_steps": st.integers(0, 20),
        },
    ),
    "CosineDecayRestarts": st.fixed_dictionaries(
        {"initial_learning_rate": first_rates, "first_decay_steps": steps},
        optional={
            "t_mul": st.sampled_from([1.0, 2.0, 1.5, 3.0]) | number(1.125, 4),
            "m_mul": number(0.25, 1.5),
            "alpha": alphas,
        },
    ),
}


def restarts(arguments: dict[str, Any]) -> list[float]:
    """The steps at which cosines restart. Keras finds them by logarithms in single precision, and may be late."""
    begin, length, found = 0.0, arguments.get("first_decay_steps", 100), []
    while begin < 60:
        begin, length = begin + length, length * arguments.get("t_mul", 2.0)
        found.append(begin)
    return found


def is_sure(arguments: dict[str, Any]) -> bool:
    return arguments.get("t_mul", 2.0) in (1.0, 2.0) or not any(s % 1 < 1e-3 for s in restarts(arguments))


SCHEDULED = st.none() | st.sampled_from(list(SCHEDULES)).flatmap(
    lambda name: st.tuples(st.just(name), SCHEDULES[name].filter(is_sure))
)

CONSTRAINTS = st.none() | st.sampled_from(
    [
        ("MaxNorm", {"max_value": 1.0, "axis": 0}),
        ("NonNeg", {}),
        ("UnitNorm", {"axis": [0, 1]}),
        ("MinMaxNorm", {"min_value": 0.5, "rate": 0.5}),
    ]
)
SHAPES = {"kernel": (3, 4), "bias": (4,), "scale": (), "depth_kernel": (2, 2, 1, 3)}
MISSING = [(), (), (), ("bias",), ("kernel", "scale"), ("depth_kernel",)]


class Run:
    """The same weights in both, and 20 steps along the same gradients."""

    def __init__(self, keras: Any, torch: Any, seed: int) -> None:
        self.torch, self.rng = torch, np.random.default_rng(seed)
        start = {name: self.rng.normal(0, 1, shape).astype(np.float32) for name, shape in SHAPES.items()}
        self.mine = [Parameter(w.copy(), name) for name, w in start.items()]
        self.others = [keras.Variable(w, name=name) for name, w in start.items()]

    def compare(self, what: str) -> None:
        scale = max(float(np.abs(p.data).max()) for p in self.mine)
        for p, other in zip(self.mine, self.others, strict=True):
            check_close(f"{p.name} {what}", p.data, other.numpy(), 1e-4, scale=scale)

    def same_steps(self, ours: Any, theirs: Any, style: str = "own", missing: bool = False) -> None:
        size = self.rng.choice([1e-2, 1.0, 10.0])
        with self.torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # both warn of gradients that are missing
            for step in range(STEPS):
                without = MISSING[self.rng.integers(len(MISSING))] if missing else ()
                gradients = [
                    None if p.name in without else self.rng.normal(0, size, p.shape).astype(np.float32)
                    for p in self.mine
                ]
                self._apply(ours, gradients, style)
                theirs.apply([None if g is None else self.torch.tensor(g) for g in gradients], self.others)
                self.compare(f"after step {step + 1}")
                assert ours.iterations == int(theirs.iterations)
                assert ours.learning_rate == pytest.approx(float(theirs.learning_rate), rel=1e-5, abs=1e-7)
            ours.finalize_variable_values(self.mine)
            theirs.finalize_variable_values(self.others)
            self.compare("at the end")

    def _apply(self, ours: Any, gradients: list[Any], style: str) -> None:
        if style == "own":
            for p, gradient in zip(self.mine, gradients, strict=True):
                if gradient is not None:
                    p.accumulate(gradient)
            ours.apply(self.mine)
        elif style == "apply":
            ours.apply([None if g is None else g.copy() for g in gradients], self.mine)
        else:
            ours.apply_gradients(zip(gradients, self.mine, strict=True))


@pytest.mark.parametrize("name", list(OWN))
@given(data=st.data(), seed=st.integers(0, 2**16))
@settings(max_examples=60)
def test_steps(keras: Any, torch: Any, score: Any, name: str, data: st.DataObject, seed: int) -> None:
    arguments = {part: value for of in (OWN[name], CLIPS, EMA, OTHERS) for part, value in data.draw(of).items()}
    scheduled = data.draw(SCHEDULED)
    rate = {} if scheduled is not None else data.draw(st.fixed_dictionaries({}, optional={"learning_rate": rates}))
    ours_rate, theirs_rate = dict(rate), dict(rate)
    if scheduled is not None:
        kind, settings_of_it = scheduled
        ours_rate["learning_rate"] = getattr(schedules, kind)(**settings_of_it)
        theirs_rate["learning_rate"] = getattr(keras.optimizers.schedules, kind)(**settings_of_it)
    excluded: list[Any] = data.draw(st.sampled_from([[], [], ["bias", "sc"], ["^kernel"], [2]]))
    style, missing = data.draw(st.sampled_from(["own", "apply", "apply_gradients"])), data.draw(st.booleans())
    constrained = [data.draw(CONSTRAINTS), data.draw(CONSTRAINTS)]
    with score("optimizer", name):
        ours = getattr(optimizers, name)(**arguments, **ours_rate)
        theirs = getattr(keras.optimizers, name)(**arguments, **theirs_rate)
        run = Run(keras, torch, seed)
        for position, constraint in zip((0, 3), constrained, strict=True):
            if constraint is not None:
                run.mine[position].constraint = getattr(constraints, constraint[0])(**constraint[1])
                run.others[position].constraint = getattr(keras.constraints, constraint[0])(**constraint[1])
        if excluded == [2]:
            ours.exclude_from_weight_decay(run.mine[2:3])
            theirs.exclude_from_weight_decay(run.others[2:3])
        elif excluded:
            ours.exclude_from_weight_decay(var_names=excluded)
            theirs.exclude_from_weight_decay(var_names=excluded)
        run.same_steps(ours, theirs, style, missing)


@pytest.mark.parametrize("name", list(OWN))
def test_defaults_by_name(keras: Any, torch: Any, name: str) -> None:
    for spelled in (name, name.lower()):
        ours, theirs = optimizers.get(spelled), keras.optimizers.get(spelled)
        assert ours.learning_rate == pytest.approx(float(theirs.learning_rate))
        Run(keras, torch, 0).same_steps(ours, theirs)
        config = theirs.get_config()
        config["learning_rate"] = pytest.approx(config["learning_rate"])
        assert {**ours.get_config(), "name": theirs.name} == config


@pytest.mark.parametrize("name", list(OWN))
@given(data=st.data())
@settings(max_examples=20)
def test_what_keras_serialized_comes_back(keras: Any, name: str, data: st.DataObject) -> None:
    arguments = {part: value for of in (OWN[name], CLIPS, EMA, OTHERS) for part, value in data.draw(of).items()}
    scheduled = data.draw(SCHEDULED)
    if scheduled is not None:
        arguments["learning_rate"] = getattr(keras.optimizers.schedules, scheduled[0])(**scheduled[1])
    theirs = getattr(keras.optimizers, name)(**arguments)
    ours = optimizers.deserialize(keras.optimizers.serialize(theirs))
    assert type(ours).__name__ == name and ours.name == theirs.name
    assert ours.learning_rate == pytest.approx(float(theirs.learning_rate), rel=1e-5)
    again = optimizers.deserialize(optimizers.serialize(ours))
    assert again.get_config() == ours.get_config()


@pytest.mark.parametrize("name", list(SCHEDULES))
@given(data=st.data())
@settings(max_examples=60)
def test_schedules(keras: Any, score: Any, name: str, data: st.DataObject) -> None:
    arguments = data.draw(SCHEDULES[name])
    with score("schedule", name):
        ours = getattr(schedules, name)(**arguments)
        theirs = getattr(keras.optimizers.schedules, name)(**arguments)
        top = max(ours(step) for step in range(60))
        doubtful = {round(s) for s in restarts(arguments) if abs(s - round(s)) < 1e-3}
        for step in {*range(60)} - doubtful:
            assert ours(step) == pytest.approx(float(theirs(step)), rel=1e-5, abs=1e-5 * top), step
        assert ours.get_config() == {
            key: list(value) if isinstance(value, tuple) else value for key, value in theirs.get_config().items()
        }


def constructors() -> list[Any]:
    found = [("optimizers", optimizers, name) for name in OWN]
    return [*found, *(("schedules", schedules, name) for name in SCHEDULES)]


@pytest.mark.parametrize(("kind", "module", "name"), constructors())
def test_constructors_take_keras_arguments_in_keras_order(keras: Any, kind: str, module: Any, name: str) -> None:
    ours = list(inspect.signature(getattr(module, name).__init__).parameters.values())[1:]
    own = [(p.name, p.default) for p in ours if p.kind is not p.VAR_KEYWORD]
    of_keras = keras.optimizers if kind == "optimizers" else keras.optimizers.schedules
    theirs = list(inspect.signature(getattr(of_keras, name).__init__).parameters.values())[1:]
    assert own == [(p.name, p.default) for p in theirs[: len(own)]]
    common = optimizers.Optimizer.__init__.__kwdefaults__ or {}
    rest = {p.name: p.default for p in theirs[len(own) :] if p.kind is not p.VAR_KEYWORD}
    assert rest == ({name: common[name] for name in common if name in rest} if kind == "optimizers" else {})
    if kind == "optimizers":
        assert set(common) == set(rest) | ({"weight_decay"} if name == "AdamW" else set())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("SGD", {"momentum": 1.5}),
        ("SGD", {"momentum": -0.1}),
        ("SGD", {"momentum": "fast"}),
        ("SGD", {"momentun": 0.9}),
        ("Adam", {"beta": 0.9}),
        ("Adam", {"clipnorm": 1.0, "clipvalue": 0.5}),
        ("SGD", {"clipnorm": 1.0, "global_clipnorm": 0.0}),
        ("Nadam", {"use_ema": True, "ema_momentum": 1.5}),
        ("Nadam", {"use_ema": True, "ema_momentum": -0.5}),
        ("Adagrad", {"use_ema": True, "ema_overwrite_frequency": 2.5}),
        ("Adagrad", {"use_ema": True, "ema_overwrite_frequency": -1}),
        ("Adadelta", {"gradient_accumulation_steps": 1}),
        ("AdamW", {"weight_decay": None}),
        ("Lion", {"beta_1": 0.0}),
        ("Lion", {"beta_1": 1.5}),
        ("RMSprop", {"learning_rate": "fast"}),
        ("schedules.ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 0, "decay_rate": 0.5}),
        ("schedules.InverseTimeDecay", {"initial_learning_rate": 0.1, "decay_steps": -1, "decay_rate": 0.5}),
        ("schedules.PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 0}),
        ("schedules.CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 0}),
        ("schedules.CosineDecayRestarts", {"initial_learning_rate": 0.1, "first_decay_steps": 0}),
        ("schedules.PiecewiseConstantDecay", {"boundaries": [1, 2], "values": [0.1, 0.2]}),
    ],
)
def test_arguments_that_keras_refuses_are_refused(keras: Any, name: str, arguments: dict[str, Any]) -> None:
    def find(module: Any) -> Any:
        for part in name.split("."):
            module = getattr(module, part)
        return module

    for module in (keras.optimizers, optimizers):
        with pytest.raises((ValueError, TypeError)):
            find(module)(**arguments)


def test_arguments_that_keras_lets_pass_do_here(keras: Any) -> None:
    for module in (keras.optimizers, optimizers):
        module.SGD(ema_momentum=7.0, ema_overwrite_frequency=-3, gradient_accumulation_steps=0)
        module.SGD(use_ema=True, ema_overwrite_frequency=0)


def test_what_apply_refuses(keras: Any, torch: Any) -> None:
    run = Run(keras, torch, 0)
    for module, variables, array in (
        (keras.optimizers, run.others, lambda p: torch.zeros(p.shape)),
        (optimizers, run.mine, lambda p: np.zeros(p.shape, np.float32)),
    ):
        gradients = [array(p) for p in variables]
        optimizer = module.SGD()
        with pytest.raises(ValueError):
            optimizer.apply(gradients)  # of which weights?
        optimizer.build(variables[:3])
        with pytest.raises(ValueError):
            optimizer.apply(gradients)
        with pytest.raises(ValueError):
            optimizer.apply(gradients, variables)
        with pytest.raises(ValueError):
            optimizer.apply([None, None], variables[:2])
        optimizer.apply(gradients[1:2], variables[1:2])
        optimizer.apply(gradients[:3])
        assert int(optimizer.iterations) == 2
        scheduled = module.SGD(module.schedules.CosineDecay(0.1, 10))
        with pytest.raises((ValueError, TypeError)):
            scheduled.learning_rate = 0.5
        scheduled.learning_rate = module.schedules.CosineDecay(0.2, 10)
        assert float(scheduled.learning_rate) == pytest.approx(0.2)
        optimizer.learning_rate = 0.5
        assert optimizer.get_config()["learning_rate"] == 0.5
        assert float(module.SGD(lambda: 0.25).learning_rate) == 0.25
