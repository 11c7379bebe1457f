"""Keyed streams: what is drawn depends on (seed, purpose, step) and on nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpudl import random
from gpudl.errors import UsageError

STREAMS = st.tuples(st.integers(0, 2**64), st.text(max_size=12), st.integers(0, 2**40))


@pytest.fixture(autouse=True)
def restore() -> Iterator[None]:
    """Leave the process's own numbering as it was."""
    names = ("seed", "weights", "step", "draws")
    before = {name: getattr(random._Current, name) for name in names}
    yield
    for name, value in before.items():
        setattr(random._Current, name, value)


@given(arguments=STREAMS)
def test_equal_keys_give_equal_draws(arguments: tuple[int, str, int]) -> None:
    assert random.key(*arguments) == random.key(*arguments)
    assert 0 <= random.key(*arguments) < 2**128
    first, again = random.stream(*arguments), random.stream(*arguments)
    first.standard_normal(3)
    assert first.integers(0, 2**62) != random.stream(*arguments).integers(0, 2**62)
    again.standard_normal(3)
    assert first.bit_generator.random_raw() != again.bit_generator.random_raw()  # one of them drew once more
    assert np.array_equal(random.stream(*arguments).random(5), random.stream(*arguments).random(5))


@given(one=STREAMS, other=STREAMS)
def test_other_arguments_give_other_keys(one: Any, other: Any) -> None:
    assert (random.key(*one) == random.key(*other)) == (one == other)


@pytest.mark.parametrize("other", [(1, "shuffle", 5), (0, "weights", 5), (0, "shuffle", 6)])
def test_seed_purpose_and_step_each_matter(other: tuple[int, str, int]) -> None:
    assert not np.isclose(random.stream(0, "shuffle", 5).random(8), random.stream(*other).random(8)).any()


def test_the_draws_are_the_same_for_ever() -> None:
    """Runs saved by one version are resumed by the next: these numbers must not change."""
    assert random.key(0, "weights", 1) == FOREVER[0]
    assert random.stream(0, "weights", 1).integers(0, 1000, 4).tolist() == FOREVER[1]


def test_set_random_seed_starts_everything_again() -> None:
    def draws() -> list[Any]:
        weights = [random.weight_stream().random() for _ in range(3)]
        random.begin_step(4)
        return [random.current_seed(), weights, [random.layer_key() for _ in range(3)]]

    random.set_random_seed(7)
    first = draws()
    random.set_random_seed(7)
    assert draws() == first
    random.set_random_seed(8)
    other = draws()
    assert other[0] == 8 and not set(other[1]) & set(first[1]) and not set(other[2]) & set(first[2])


def test_every_weight_and_every_layer_draws_its_own() -> None:
    random.set_random_seed(1)
    assert len({random.weight_stream().random() for _ in range(20)}) == 20
    keys = []
    for step in (0, 1, 2):
        random.begin_step(step)
        keys += [random.layer_key() for _ in range(5)]
    assert len(set(keys)) == 15


def test_a_step_draws_the_same_whatever_came_before() -> None:
    random.set_random_seed(3)
    random.begin_step(10)
    expected = [random.layer_key(), random.layer_key()]
    random.begin_step(9)
    random.layer_key()
    random.weight_stream()
    random.begin_step(10)
    assert [random.layer_key(), random.layer_key()] == expected


@pytest.mark.parametrize("seed", [-1, 1.5, True, "1", None])
def test_seeds_are_integers_of_at_least_zero(seed: Any) -> None:
    before = random.current_seed()
    with pytest.raises(UsageError, match=f"seed={seed!r}"):
        random.set_random_seed(seed)
    assert random.current_seed() == before


FOREVER = (155375122206174474008940909413110588980, [477, 620, 525, 73])


def test_dropout_and_categorical() -> None:
    x = np.ones((100, 100), np.float32)
    y = random.dropout(x, 0.25, seed=1)
    assert set(np.unique(y)) == {np.float32(0), np.float32(4 / 3)} and abs((y == 0).mean() - 0.25) < 0.02
    assert (random.dropout(x, 1.0) == 0).all()
    drawn = random.categorical(np.log(np.array([[0.1, 0.9], [1.0, 1e-9]])), 2000, seed=1)
    assert drawn.shape == (2, 2000) and abs(drawn[0].mean() - 0.9) < 0.03 and drawn[1].max() == 0


def test_draws_are_noted_for_each_thread() -> None:
    """And noting within noting ends where it began."""
    begun, ended = threading.Event(), threading.Event()
    theirs: list[int] = []

    def other() -> None:
        with random.noted() as draws:
            begun.set()
            ended.wait(10)
            random.layer_key(1)
        theirs.extend(draw.key for draw in draws)

    thread = threading.Thread(target=other)
    thread.start()
    begun.wait(10)
    with random.noted() as outer:
        random.layer_key(2)
        with random.noted() as inner:
            random.layer_key(3)
        ended.set()
        thread.join()
        random.layer_key(4)
    assert len(outer) == 2 and len(inner) == len(theirs) == 1
