"""How much of the dictionary stays in use, by how it starts and whether unused entries are drawn again.

Trains stage 1 of options/small/train_dictionary.yml once for each setting of renewal_opt and draws the curves:

python benchmarks/dictionary_collapse.py --output docs/dictionary_collapse.png

Needs what that option file needs: datasets/faces_128.lmdb with a thousand faces. Runs that are there already, under
experiments/collapse_*, are not run again.
"""

import re
import subprocess
import sys
from pathlib import Path

import yaml
from measuring.training_log import losses, read_log

from restoreformer.program import option_parser

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "uniform": {"start": "uniform", "interval": 0},
    "uniform, redrawn": {"start": "uniform", "interval": 20, "until": 220},
    "encoder": {"start": "encoder", "interval": 0},
    "encoder, redrawn": {"start": "encoder", "interval": 20, "until": 220},
}
ITERATIONS = 300
COLUMNS = ("entries_in_use", "perplexity", "l_dict")


def train(name: str, renewal: dict[str, object]) -> str:
    """The log of one training, run unless it is there."""
    folder = ROOT / "experiments" / name
    if not list(folder.glob("models/net_g_latest.pth")):
        opt = yaml.safe_load((ROOT / "options/small/train_dictionary.yml").read_text())
        opt["name"] = name
        opt["train"] |= {"total_iter": ITERATIONS, "gan_start_iter": ITERATIONS + 1, "renewal_opt": renewal}
        # Collapse shows without the stand-ins' weights too.
        del opt["train"]["perceptual_opt"]
        opt["val"]["metrics"] = {"psnr": opt["val"]["metrics"]["psnr"]}
        opt["logger"]["print_freq"] = 20
        path = ROOT / "experiments" / f"{name}.yml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(opt, sort_keys=False))
        subprocess.run([sys.executable, "-W", "ignore", "basicsr/train.py", "-opt", str(path)], cwd=ROOT, check=True)
    return read_log(folder)


def draw(curves: dict[str, list[dict[str, float]]], output: Path) -> None:
    """Entries in use and perplexity over iterations, side by side."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    for axis, column in zip(axes, COLUMNS, strict=False):
        for name, rows in curves.items():
            axis.plot([r["iteration"] for r in rows], [r[column] for r in rows], label=name)
        axis.set(xlabel="iteration", title=column.replace("_", " "), ylim=(0, None))
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(output, dpi=110)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--output", type=Path, help="picture to draw")
    args = parser.parse_args()
    curves = {}
    print("| `renewal_opt` | " + " | ".join(f"{c} at 20, 100, 300" for c in COLUMNS) + " | PSNR |")
    print("| --- |" + " --- |" * (len(COLUMNS) + 1))
    for name, renewal in SETTINGS.items():
        log = train("collapse_" + re.sub(r"\W+", "_", name), renewal)
        rows = curves[name] = losses(log, COLUMNS)
        at = {r["iteration"]: r for r in rows}
        cells = [", ".join(f"{at[i][c]:.4g}" for i in (20, 100, 300)) for c in COLUMNS]
        psnr = re.findall(r"# psnr: ([\d.]+)", log)[-1]
        print(f"| {name} | " + " | ".join(cells) + f" | {psnr} |", flush=True)
    if args.output is not None:
        draw(curves, args.output)


if __name__ == "__main__":
    main()
