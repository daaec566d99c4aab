"""What the timing scripts share: runs in turns, operations, memory, the machine, one table and its JSON."""

import argparse
import ctypes
import gc
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from tqdm import tqdm

from restoreformer.memory import keep_freed_memory
from restoreformer.program import option_parser

Row = Mapping[str, Any]
_CLEAR_PEAK, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def arguments(description: str | None, rounds: int) -> argparse.ArgumentParser:
    """The options that every timing script has; :func:`begin` acts on them."""
    parser = option_parser(description)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--keep-memory", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser


def begin(args: argparse.Namespace) -> tuple[torch.device, dict[str, str]]:
    """The device, and what its figures were measured on."""
    torch.manual_seed(0)
    kept = args.keep_memory and keep_freed_memory()
    device = torch.device(args.device)
    return device, machine(device) | {"freed memory": "kept" if kept else "given back"}


def machine(device: torch.device) -> dict[str, str]:
    """What a figure is worth nothing without: processor, versions, date."""
    info = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
        "threads": str(torch.get_num_threads()),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "basicsr", "spandrel", "gfpgan")},
        "date": date.today().isoformat(),
    }
    if device.type == "cuda":
        info |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return info


def _processor() -> str:
    found = subprocess.run(["lscpu"], capture_output=True, text=True, check=True).stdout
    fields = dict(line.split(":", 1) for line in found.splitlines() if ":" in line)
    flags = fields["Flags"].split() if "Flags" in fields else []
    extras = [name for name in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    return f"{fields['Model name'].strip()}, {os.cpu_count()} cores ({', '.join(extras)})"


def wait(device: torch.device) -> None:
    """Let the device finish what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def in_turns(
    runs: Mapping[str, Callable[[], Any]], rounds: int, device: torch.device, what: str
) -> dict[str, list[float]]:
    """Seconds of each of ``runs``, by rounds in which each has its turn, after one that does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for i in tqdm(range(rounds + 1), desc=what, leave=False):
        for name, run in runs.items():
            wait(device)
            start = time.perf_counter()
            run()
            wait(device)
            if i:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median, over the rounds, of one's time as a part of another's."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


class _Counter(TorchDispatchMode):
    """torch's ``FlopCounterMode`` stops at ``autograd.grad``; these are its formulas."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func.overloadpacket)
        if formula is None:
            # In inference mode operations that consist of others arrive whole.
            with self:
                result = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if result is NotImplemented else result
        result = func(*args, **kwargs)
        self.total += formula(*args, **kwargs, out_val=result)
        return result


def operations(run: Callable[[], Any]) -> int:
    """Additions and multiplications of convolutions, matrix products and attention, by torch's formulas."""
    with _Counter() as counter:
        run()
    return counter.total


def peak_rate(device: torch.device, dtype: torch.dtype, side: int = 4096, rounds: int = 5) -> float:
    """Operations a second of this machine's matrix product, the best of a few."""
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    seconds = in_turns({"product": lambda: a @ b}, rounds, device, f"peak of {dtype}")["product"]
    return 2 * side**3 / min(seconds)


def peak_memory(run: Callable[[], Any], device: torch.device) -> int:
    """Bytes that ``run`` needs at once beyond what is there before; on CPU, what the system sees of it (Linux)."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    _CLEAR_PEAK.write_text("5")
    before = resident("VmRSS")
    run()
    return resident("VmHWM") - before


def resident(field: str) -> int:
    """A figure of this process in /proc/self/status, in bytes (Linux): ``VmRSS`` now, ``VmHWM`` at most."""
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def report(title: str, rows: Sequence[Row], about: Mapping[str, str], output: Path | None) -> None:
    """Print the table with what it was measured on, and write both as JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    print(f"\n{title}\n")
    print("| " + " | ".join(columns) + " |\n" + "| --- " * len(columns) + "|")
    for row in rows:
        print("| " + " | ".join(_shown(row.get(column)) for column in columns) + " |")
    print("\n" + ", ".join(f"{key} {value}" for key, value in about.items()))
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"title": title, "machine": about, "rows": list(rows)}, indent=1) + "\n")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return "" if value is None else str(value)
