"""The check for machines with a GPU, here on the stand-in for CuPy: it finds faults, and its tables are right."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import gpu_check
from bench.gpu import cases, convolutions, kernels, layers, networks, report, running

ROOT = Path(__file__).parents[1]


def check(out: Path, *only: str, count: int = 2, more: tuple[str, ...] = ()) -> tuple[int, dict[str, Any], str]:
    """Run the check in this process; return its exit status, the figures and the tables."""
    chosen = [word for name in only for word in ("--only", name)]
    common = ["--out", str(out), "--quick", "--here", "--patience", "100", "--cases", str(count)]
    status = gpu_check.main([*common, *chosen, *more])
    text = (out / "gpu_check.txt").read_text()
    assert max(map(len, text.splitlines())) <= report.WIDTH
    return status, json.loads((out / "gpu_check.json").read_text()), text


def test_kernels_and_networks_pass(cupy: Any, tmp_path: Path) -> None:
    parts = [f"kernels/{family}, high" for family in kernels.FAMILIES]
    parts += ["kernels/conv forward, medium", "kernels/relu, float", "kernels/depthwise, bfloat16"]
    status, found, text = check(tmp_path, *parts, "networks/MLP", "networks/small ResNet")
    assert status == 0, text
    assert "checks (kernels, networks): passed" in text
    rows = report.rows_of({name: section["parts"] for name, section in found["sections"].items()}, "kernels")
    assert {row["family"] for row in rows} == set(cases.FAMILIES)
    refused = [row for row in rows if "refused" in row]
    assert {row["precision"] for row in refused} == {"float16", "bfloat16"}
    assert all(row["cases"] == 2 and row["failures"] == row["other_bits"] == 0 for row in rows if row not in refused)
    assert all(0 <= row["largest"] <= row["limit"] for row in rows if row not in refused)
    steps = found["sections"]["networks"]["parts"]
    assert [row["precision"] for row in steps[0]["rows"]] == ["highest", "high", "medium"]
    assert found["machine"]["CuPy"] == cupy.__version__ and "--quick" in found["command"] and found["date"]


def test_wrong_numbers_are_found(cupy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpudl.backend.cupy import relu, scatter

    right, calls = relu.forward, iter(range(10**6))
    monkeypatch.setattr(relu, "forward", lambda x: right(x) + 1e-4)
    monkeypatch.setattr(relu, "backward", lambda dy, y: cupy.empty_like(dy))  # nobody writes it
    sound = scatter.add_rows
    monkeypatch.setattr(scatter, "add_rows", lambda *a: sound(*a) * (1 + 1e-7 * (next(calls) % 2)))
    status, found, text = check(tmp_path, "kernels/relu, high", "kernels/scatter, float64", "kernels/dropout, high")
    assert status == 1
    dropout, of_relu, of_scatter = (part["failures"] for part in found["sections"]["kernels"]["parts"])
    assert len(of_relu) == 2 and dropout == []
    assert "relu, high: shape=" in of_relu[0] and "result 0 is off by" in of_relu[0]
    assert "result 1 is off by nan" in of_relu[0]
    assert any("other bits when run again" in failure for failure in of_scatter)
    assert "FAILED: kernels: relu, high: shape=" in text and "checks (kernels): FAILED" in text


def test_a_kernel_that_raises_is_found(cupy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpudl.backend.cupy import relu

    def fails(x: Any) -> Any:
        raise RuntimeError("CUDA_ERROR_INVALID_VALUE")

    monkeypatch.setattr(relu, "forward", fails)
    status, found, _ = check(tmp_path, "kernels/relu, high", "kernels/scatter, high")
    assert status == 1
    assert [part["part"] for part in found["sections"]["kernels"]["parts"]] == ["relu, high", "scatter, high"]
    assert [len(part["failures"]) for part in found["sections"]["kernels"]["parts"]] == [2, 0]
    assert "RuntimeError: CUDA_ERROR_INVALID_VALUE" in found["sections"]["kernels"]["parts"][0]["failures"][0]


def test_a_wrong_step_is_found(cupy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpudl.backend.cupy import optimizers

    right = optimizers.sgd
    monkeypatch.setattr(optimizers, "sgd", lambda w, g, v, rate, *a: right(w, g, v, 1.01 * rate, *a))
    status, _, text = check(tmp_path, "networks/MLP")
    assert status == 1 and "FAILED: networks: MLP, highest" in text


def test_a_part_that_raises_keeps_no_other_from_running(
    cupy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(networks, "run", lambda part, options: 1 / 0)
    status, found, text = check(tmp_path, "networks/MLP", "kernels/relu, high")
    assert status == 1
    assert "ZeroDivisionError" in found["sections"]["networks"]["parts"][0]["error"]
    assert "Traceback" in found["sections"]["networks"]["parts"][0]["error"]
    assert "FAILED: networks: MLP: ZeroDivisionError: division by zero" in text
    assert found["sections"]["kernels"]["parts"][0]["rows"][0]["cases"] == 2


def test_without_a_gpu_nothing_is_timed(cupy: Any, torch: Any, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    status, found, text = check(tmp_path, "convolutions", "steps", "launches")
    assert status == 0
    for section in ("convolutions", "steps", "launches"):
        assert f"{section}: skipped: PyTorch has no GPU to use" in text
        assert not any("rows" in part for part in found["sections"][section]["parts"])


def test_rehearsal(cupy: Any, torch: Any, tmp_path: Path) -> None:
    """All that is timed is gone through on the CPU: both libraries compute the same, and no time is told."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    only = ("convolutions/ceilings", "convolutions/convolutions, float32", "convolutions/depthwise", "convolutions/max")
    only += ("convolutions/average", "convolutions/batch", "steps/MLP", "launches", "tiles/float32")
    status, found, text = check(tmp_path, *only, more=("--rehearse",))
    assert status == 0 and "REHEARSAL" in text and "not as it should be" not in text
    for section in found["sections"].values():
        assert all(part["rows"] and "error" not in part for part in section["parts"])
    rows = [row for part in found["sections"]["convolutions"]["parts"] for row in part["rows"]]
    assert {time for row in rows if "what" in row for time in row["ms"].values()} == {1.0}


def test_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from gpudl.backend import diagnosis

    monkeypatch.setattr(diagnosis, "why_no_gpu", lambda: "there is no driver; install one")
    assert gpu_check.main(["--out", str(tmp_path), "--here"]) == 2
    assert "there is no driver; install one" in capsys.readouterr().err


def test_sections_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        gpu_check.main(["--out", str(tmp_path), "--only", "kernel"])
    assert "no section kernel; there are kernels, networks, mnist" in capsys.readouterr().err


# Cases


@pytest.mark.parametrize("family", cases.FAMILIES)
@pytest.mark.parametrize("quick", [True, False])
def test_cases_are_sound(family: str, quick: bool) -> None:
    """What NumPy computes in float64 is without error; a number that is off shows; a seed gives the same case."""
    for number in range(6):
        case, again = (cases.FAMILIES[family](cases.Draw([number, 1], "float64", quick)) for _ in range(2))
        assert case.text == again.text
        found = [np.array(result) for result in case.run(kernels.twin("numpy"), *case.arrays)]
        off = kernels.errors(case, found)
        assert all(0 <= error <= 1e-14 for error in off), case.text
        for result in found:
            result.reshape(-1)[-1] += 1000 if result.dtype.kind == "f" else 1
        assert all(error > kernels.limit_of(family, "medium") for error in kernels.errors(case, found)), case.text
        found[0] = found[0][..., None]
        assert np.isnan(kernels.errors(case, found)[0])


def test_what_nobody_writes_is_nan() -> None:
    class Library:
        empty, empty_like = staticmethod(np.empty), staticmethod(np.empty_like)

    before = Library.empty
    with kernels.poisoned(Library):
        assert np.isnan(Library.empty((2, 3), "float32")).all() and np.isnan(Library.empty_like(np.ones(2))).all()
    assert Library.empty is before


# Processes


def answers(monkeypatch: pytest.MonkeyPatch, *runs: tuple[list[dict[str, Any]], Any]) -> list[list[str]]:
    """Let processes write these results and end so; return the parts each was asked for."""
    asked: list[list[str]] = []
    waiting = iter(runs)

    def run(command: list[str], *, timeout: float, stdout: Any, **_: Any) -> Any:
        order = json.loads(command[-1])
        asked.append(order["parts"])
        results, ending = next(waiting)
        Path(order["lines"]).write_text("".join(json.dumps(result) + "\n" for result in results))
        stdout.write(b"its last words")
        if ending == "hangs":
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, ending)

    monkeypatch.setattr(running.subprocess, "run", run)
    return asked


def test_what_a_process_leaves_undone_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = ({"part": name, "rows": []} for name in ("one", "two"))
    asked = answers(monkeypatch, ([one], running.LOST), ([two], -11), ([], "hangs"), ([], 0))
    found = running.in_processes("launches", ["one", "two", "three", "four", "five"], running.Options(until=9e9))
    assert asked == [
        ["one", "two", "three", "four", "five"],
        ["two", "three", "four", "five"],
        ["four", "five"],
        ["five"],
    ]
    assert [result["part"] for result in found] == ["one", "two", "three", "four", "five"]
    assert found[:2] == [one, two]
    assert found[2]["error"] == "its process ended with status -11; it said:\nits last words"
    assert "did not end within" in found[3]["error"]
    answers(monkeypatch, ([], 0))
    late = running.in_processes("launches", ["one"], running.Options(until=0))
    assert late == [{"part": "one", "skipped": "no time left"}]


def test_parts_share_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    monkeypatch.setattr(convolutions, "run", lambda part, options: shares.append(options.left()) or {})
    options = running.Options()
    options.until = running.time.time() + 100
    assert running.run_parts(
        "convolutions", ["convolutions, TF32, 32", "ceilings", "depthwise"], options, lambda _: None
    )
    assert shares == pytest.approx([80, 50, 100], abs=1)


# Figures


def test_layers() -> None:
    assert len(set(layers.RESNET_50)) == len(layers.RESNET_50) == 22
    first = layers.FIRST[2]
    assert str(first) == "224x224 3>64 7x7/2" and first.out == 112
    assert first.flops(1) == 2 * 118_013_952  # the multiply-adds that papers give for ResNet's first layer
    assert layers.Layer(56, 64, 64, 3).flops(2) == 2 * 2 * 115_605_504
    assert layers.DEPTHWISE[0].flops(1) == 2 * 112 * 112 * 32 * 9
    assert {layer.channels for layer in layers.FIRST} == {1, 3}
    assert all(layer.out == -(-layer.size // layer.stride) for of in layers.KINDS.values() for layer in of)
    assert layers.passes("max pooling", False, (1, 4, 4, 1), (1, 2, 2, 1)) == 4 * 20 + 4
    assert layers.passes("batch normalization", True, (8, 2), (8, 2)) == 4 * 5 * 16


def test_ratios() -> None:
    assert layers.geometric_mean([0.5, 2.0, 8.0]) == pytest.approx(2)
    assert layers.geometric_mean([]) is None
    row = {"ms": {"gpudl": 2.0, "contiguous": 3.0, "channels last": 1.0}}
    assert layers.ratio(row) == 0.5 and layers.ratio({"ms": {"gpudl": 2.0}}) is None
    assert layers.ratio({"ms": {"contiguous": 1.0}}) is None


def table_of(results: report.Results, *tables: Any) -> str:
    section = {name: {"seconds": 1.0, "parts": parts} for name, parts in results.items()}
    return report.text({"machine": {}, "date": "", "command": "", "rehearsal": False, "sections": section})


def cells(text: str, first: str) -> list[list[str]]:
    """The cells of the rows that begin so."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] == first]


def test_tables() -> None:
    common = {"layer": "56x56 64>64 3x3", "batch": 32, "kind": "convolutions", "precision": "TF32", "apart": 0.0}
    rows: list[dict[str, Any]] = [{"ceiling": "TF32", "tflops": 400.0}, {"ceiling": "copy", "gb_per_s": 3000.0}]
    for what, ms in (("forward", 1.0), ("input gradient", 2.0), ("kernel gradient", 4.0)):
        times = {"gpudl": ms, "contiguous": 3.0, "channels last": 2.0}
        rows.append({**common, "what": what, "ms": times, "tflops": 100.0 / ms})
    times = {"gpudl": 2.0, "contiguous": 4.0}
    pool = {**common, "kind": "max pooling", "precision": "float32", "layer": "6x6x4", "ms": times, "gb_per_s": 1500.0}
    rows += [{**pool, "what": "forward"}, {**pool, "what": "gradient"}]
    step = {"network": "MLP", "precision": "float32", "ms": {"gpudl": 0.5, "contiguous": 0.4, "compiled": 0.3}}
    call = {"op": "relu", "who": "gpudl", "microseconds": 12.34}
    learned = {"data": "mnist", "goal": 0.99, "accuracy": 0.9912, "epochs": 3, "seconds": 9.5}
    text = table_of(
        {
            "mnist": [{"part": "training", "rows": [{**learned, "seconds_of_later_epochs": [2.0, 3.0]}]}],
            "convolutions": [{"part": "all", "rows": rows, "failures": ["a layer is apart"]}],
            "launches": [{"part": "launches", "rows": [call]}],
            "steps": [{"part": "MLP", "rows": [step], "notes": ["torch.compile failed"]}],
        }
    )
    assert cells(text, "56x56 64>64 3x3") == [
        ["56x56 64>64 3x3", "2.00   100.0   25%", "1.00    50.0   12%", "0.50    25.0    6%"]
    ]
    assert cells(text, "convolutions") == [["convolutions", "TF32", "2.00", "1.00", "0.50", "1.00", "0.65", "3"]]
    ratio, bandwidth = cells(text, "max pooling")
    assert ratio == ["max pooling", "float32", "2.00", "2.00", "", "2.00", "1.50", "2"]
    assert bandwidth == ["max pooling", "1500   50%", "1500   50%"]
    assert cells(text, "MLP") == [["MLP", "float32", "0.500", "0.400", "", "0.300", "0.60"]]
    assert cells(text, "gpudl") == [["gpudl", "12.3", "", "", ""]]
    assert cells(text, "mnist") == [["mnist", "0.9912", "0.99", "3", "9.50", "3.00"]]
    assert "ceilings measured: TF32 400 TFLOP/s, copy 3000 GB/s" in text
    assert "note: steps: torch.compile failed" in text and "not as it should be: convolutions: a layer is apart" in text
    assert text.rstrip().endswith("checks (mnist): passed")


def test_what_was_not_run_has_not_passed() -> None:
    skipped = {"kernels": [{"part": "relu, high", "skipped": "no time left"}]}
    assert report.failures_of(skipped, report.CHECKS) == ["kernels: relu, high was not run: no time left"]
    assert report.failures_of({"steps": skipped["kernels"]}, report.CHECKS) == []
    many = {"kernels": [{"part": "relu, high", "failures": ["a"], "failed": 3}]}
    assert report.failures_of(many, report.CHECKS) == ["kernels: a", "kernels: relu, high: 2 more"]
    assert report.first_of(list("abc"), 2) == ["a", "b", "... and 1 more, in gpu_check.json"]
