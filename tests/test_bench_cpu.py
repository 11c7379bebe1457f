"""The benchmark on the CPU: what it times runs, and what it draws is a picture. Nothing is timed here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from bench import fit_step
from bench.cpu import calls, chart, commits, profile, ranges, shares, steps, threads, turns
from bench.cpu.__main__ import DEFAULT_FORMAT, goal_of, in_default_format, row
from bench.cpu.reasons import depthwise, lines, lock, pooling, products, relu, tape, timing
from gpudl.backend.numpy import batch_norm, workers
from gpudl.datasets.digits import Digits

NAMES = [f"step: {name}" for name in steps.NETWORKS] + calls.names()


@pytest.fixture(autouse=True)
def nothing_stays_entered() -> Iterator[None]:
    """In a benchmark's own process steps hold BLAS to one thread for good; here others run after them."""
    yield
    steps.ENTERED.close()


@pytest.mark.parametrize("name", ["MLP 64-64-10, batch 32", "MLP 784-256-128-10, batch 128"])
def test_a_step_trains(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    real = fit_step.fit_step
    monkeypatch.setattr(fit_step, "fit_step", lambda model, *more: made.append(model) or real(model, *more))
    step = steps.make("gpudl", name)
    model = made[0]
    before = [weight.data.copy() for weight in model.weights]

    def moved() -> list[bool]:
        step()
        return [bool((old != weight.data).any()) for old, weight in zip(before, model.weights, strict=True)]

    assert not any(moved())
    model.optimizer.learning_rate = 0.001
    assert all(moved())


@pytest.mark.parametrize("name", [name for name in calls.names() if "of the CNN" in name or "pooling" in name])
def test_calls(name: str) -> None:
    found = calls.make("gpudl", name)()
    for array in found if isinstance(found, tuple) else (found,):
        assert np.isfinite(array).all() and array.any()


@pytest.mark.parity
@pytest.mark.parametrize("name", [name for name in calls.names() if "of the CNN" in name and "forward" not in name])
def test_both_libraries_compute_the_same_gradients(name: str) -> None:
    pytest.importorskip("torch")
    ours, theirs = calls.make("gpudl", name)(), calls.make("torch channels last", name)()
    ours = ours if isinstance(ours, tuple) else (ours,)
    assert [each.size for each in ours] == [each.numel() for each in theirs if each is not None]


@pytest.mark.parity
@pytest.mark.parametrize("layer", ["3x3, 64 to 64, 56x56, batch 32", "depthwise 3x3, 64, 56x56, batch 32"])
def test_both_libraries_compute_as_much(layer: str) -> None:
    pytest.importorskip("torch")
    for library in ("gpudl", "torch", "torch channels last"):
        y = calls.make(library, f"conv2d {layer}, forward")()
        assert np.prod(y.shape) == 32 * 56 * 56 * 64


@pytest.mark.parity
def test_both_libraries_learn_from_as_many_digits() -> None:
    pytest.importorskip("torch")
    from bench.cpu import torch_script

    ours, theirs = Digits().load(), torch_script.digits()
    assert len(ours.x_train) == len(theirs.images) == len(theirs.labels)
    assert ours.x_test is not None
    assert len(ours.x_test) == len(theirs.test_images) == len(theirs.test_labels)


def test_every_work_has_its_goal() -> None:
    assert [name for name in NAMES if goal_of(name) is None] == [name for name in NAMES if "of the CNN" in name]
    goals = [goal for name in NAMES if (goal := goal_of(name)) is not None]
    assert goals == [2.5, 1.5, 1, 0.9, 0.8, 0.9, 0.9, 0.9, 1.5, 1, 0.7, 0.7, 0.7, 1, 1]
    found = row(
        "step: MLP 64-64-10, batch 32", "ms", {"gpudl": 2.0, "torch": 6.0, "torch channels last": 5.0, "keras": 1.0}
    )
    assert found["ratio"] == 2.5 == found["goal"]
    assert set(DEFAULT_FORMAT) <= set(steps.NETWORKS)
    default = in_default_format(found, 1.5)
    assert (default["ratio"], default["goal"], "torch channels last" in default) == (3.0, 1.5, False)


def test_only_images_have_two_formats() -> None:
    last = [name for name in steps.NETWORKS if steps.takes_part("torch channels last", name)]
    assert [name.split()[0] for name in last] == ["CNN", "VGG-like", "ResNet"]
    assert all(steps.takes_part(library, name) for library in ("gpudl", "torch", "keras") for name in steps.NETWORKS)
    assert calls.takes_part("torch channels last", NAMES[-1]) and not calls.takes_part("keras", NAMES[-1])


def test_the_picture() -> None:
    text = chart.svg("times <&>", [("a & b", 2.0, 1.0), ("b", 2.0, 3.0), ("c", 0.3, None)])
    picture = ElementTree.fromstring(text)
    words = [each.text for each in picture.iter() if each.tag.endswith("text")]
    assert "times <&>" in words and "a & b" in words and "2.00" in words
    bars = [each for each in picture.iter() if each.tag.endswith("rect")][1 + len(chart.LEGEND) :]
    first, second, third = (float(bar.get("x", "")) for bar in bars)
    assert first == second > third, "what is slower begins left of 1"
    assert [bar.get("fill") for bar in bars] == [chart.REACHED, chart.MISSED, chart.NO_GOAL]


def test_ranges_of_runs() -> None:
    def run(**ratios: float) -> dict[str, Any]:
        return {"machine": "m", "rows": [{"work": work, "ratio": ratio, "goal": 1.0} for work, ratio in ratios.items()]}

    assert ranges.ranges([run(a=1.23456, b=2.0), run(a=0.5)]) == [
        {"work": "a", "goal": 1.0, "ratios": [1.235, 0.5]},
        {"work": "b", "goal": 1.0, "ratios": [2.0]},
    ]


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (lock.calls_in_a_row, (64, 2)),
        (lines.squares_from, (16,)),
        (lock.other_thread_and_back, ()),
        *((relu.relu_by, (by,)) for by in relu.RELU),
        (depthwise.multiply_adds_of_strips, ()),
        (depthwise.transforms_of_strips, ()),
        (depthwise.transforms_of_tiles, ()),
        (depthwise.writing_of_results, ()),
        (pooling.maxima_of_rows, ()),
        (pooling.maxima_of_neighbours, (32,)),
        *((pooling.copies_of_pixels, (32, as_one)) for as_one in (False, True)),
        (calls.our_pooling, ("gpudl", (2, 4, 4, 3))),
        (profile.step, ("digits", 16)),
        (products.products_of_mlp, ()),
        (products.tall_product, (300, 9, 32, True)),
        *((make, (op,)) for make in (tape.ops_on_the_tape, tape.ops_by_hand) for op in ("relu", "add")),
    ],
)
def test_what_is_timed_for_a_reason_runs(make: Callable[..., Callable[[], Any]], arguments: tuple[Any, ...]) -> None:
    make(*arguments)()


def test_jobs_run_at_the_same_time_and_say_where_they_fail() -> None:
    one = timing.Job(pooling.maxima_of_rows, (), threads=1)
    assert timing.milliseconds(0.01, one, one) > 0
    with pytest.raises(EOFError):
        timing.milliseconds(0.01, timing.Job(pooling.maxima_of_neighbours, ("none",)))


def test_ways_take_turns() -> None:
    ways = [
        turns.Way("two threads", pooling.maxima_of_neighbours, (32,)),
        turns.Way("two processes", pooling.maxima_of_neighbours, (64,), processes=2, threads=1),
    ]
    first, second = turns.take_turns(ways, turns=3, seconds=0.01)
    assert (first["way"], first["ratio"], first["half of the ratios"]) == ("two threads", 1, [1, 1])
    assert second["wall"] >= second["quickest"] > 0


def test_turns_are_compared_with_those_beside_them() -> None:
    """The machine slows down to a third halfway, which hits both."""
    first = [turns.Turn(wall, wall, 0) for wall in (10, 10, 30, 30)]
    other = [turns.Turn(wall, 4, 3, 2, 1) for wall in (5, 6, 15, 18)]
    assert turns.row("other", other, first) == {
        "way": "other",
        "wall": 10.5,
        "caller": 4,
        "others": 3,
        "faults": 2,
        "rests": 1,
        "quickest": 5,
        "ratio": 0.55,
        "half of the ratios": [0.5, 0.6],
    }


def test_code_of_a_commit_is_what_its_way_imports(tmp_path: Path) -> None:
    source = tmp_path / "gpudl"
    source.mkdir()
    (source / "__init__.py").write_text("")
    way = turns.Way("old", pooling.maxima_of_rows, (), source=str(tmp_path))
    assert turns.take_turns([way], turns=1, seconds=0.01)[0]["quickest"] > 0
    elsewhere = turns.Way("old", pooling.maxima_of_rows, (), source=str(tmp_path / "elsewhere"))
    with pytest.raises(RuntimeError, match=r"not from .*elsewhere"):
        turns.take_turns([elsewhere], turns=1, seconds=0.01)


def test_shares_of_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is alone for 20 ms; then the two share eight pieces of 5 ms, in which they sleep."""
    monkeypatch.setenv("GPUDL_NUM_THREADS", "2")
    workers.reset()

    def work(pieces: Iterator[workers.Piece]) -> None:
        for _ in pieces:
            time.sleep(0.005)

    def call() -> None:
        time.sleep(0.02)
        workers.run(work, workers.blocks(8, 1), workers.SMALL)

    join_in = workers._Job.join_in
    found = shares.shares(call, 3)
    assert workers._Job.join_in is join_in, "nothing stays watched"
    assert found.works == 1
    assert found.alone >= 20 and found.sharing >= 5 and found.other >= 5
    assert found.sharing + found.other >= 40
    assert max(found.sharing_computing, found.other_computing) < 5, "who sleeps does not compute"
    workers.reset()


def test_a_commit_is_unpacked_or_refused(tmp_path: Path) -> None:
    if not (commits.ROOT / ".git").exists():
        pytest.skip("this is no checkout of git")
    assert (Path(commits.unpack("HEAD", str(tmp_path))) / "gpudl" / "__init__.py").is_file()
    with pytest.raises(SystemExit, match="git archive no-such-commit: "):
        commits.unpack("no-such-commit", str(tmp_path))


@pytest.mark.parametrize("name", ["mlp64", "max pooling 2x2, 64, 16x16, batch 128, forward and gradient"])
def test_works_of_commits_run(name: str) -> None:
    commits.make(name)()


def test_input_gradients_of_commits_have_the_shape_they_say() -> None:
    assert commits.make("input gradient 5x5, stride 2, 3 to 4, 9x9, batch 2")().shape == (2, 9, 9, 3)


def test_batch_normalization_is_cut_finer_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_norm, "BLOCK", 1 << 10)
    threads.make("digits", 16, finer=4)()
    assert batch_norm.BLOCK == 1 << 8


def test_calls_of_threads_have_the_batch_asked_for() -> None:
    assert threads.make("depthwise", 16)().shape == (2, 56, 56, 64)
    threads.beside_each_other("digits", 2)()
    assert threads.make("pooling", 64)().shape == (2, 28, 28, 32)


@pytest.mark.parametrize("network", ["mlp64", "digits"])
def test_the_profile_holds_all_ops_of_a_step(network: str) -> None:
    found = profile.profile(network, count=2, batch=4)
    ways = {"there", "back"}
    assert {way for name, _, way in found.ops if name == "dense"} == ways
    assert {way for name, _, way in found.ops if name == "conv2d"} == (ways if network == "digits" else set())
    assert 0 < sum(found.ops.values()) < 2 * found.clocked


@pytest.mark.parity
def test_pytorch_computes_in_the_format_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images of one channel may lie in both formats at once, and then PyTorch takes channels last."""
    torch = pytest.importorskip("torch")
    seen: list[bool] = []
    real = torch.nn.MaxPool2d.forward

    def forward(layer: Any, x: Any) -> Any:
        seen.append(x.is_contiguous(memory_format=torch.channels_last))
        return real(layer, x)

    monkeypatch.setattr(torch.nn.MaxPool2d, "forward", forward)
    for library in ("torch", "torch channels last"):
        steps.make(library, "CNN 32-64-128, 28x28x1, batch 128")()
    assert seen == [False, False, True, True]
