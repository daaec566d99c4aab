"""How a training went, from its log: losses above, validation below.

python benchmarks/curves.py --experiment experiments/small_dictionary \\
    --losses l_pix l_percep entries_in_use perplexity --output docs/small_dictionary.png
"""

import sys
from pathlib import Path

from measuring.training_log import Row, losses, read_log, validations

from restoreformer.program import option_parser


def draw(above: list[Row], below: list[Row], output: Path) -> None:
    """Every column by itself, over iterations; losses as they were and averaged over ten lines of the log."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = [[k for k in dict.fromkeys(k for row in rows for k in row) if k != "iteration"] for rows in (above, below)]
    width = max(map(len, names))
    figure, axes = pyplot.subplots(2, width, figsize=(2.6 * width, 4.2), squeeze=False)
    for axis in axes.flat:
        axis.set_axis_off()
    for line, rows, columns in zip(axes, (above, below), names, strict=True):
        for axis, column in zip(line, columns, strict=False):
            axis.set_axis_on()
            points = [(row["iteration"], row[column]) for row in rows if column in row]
            x, y = zip(*points, strict=True)
            if rows is above:
                axis.plot(x, y, color="0.8", linewidth=0.7)
                y = [sum(y[max(0, i - 9) : i + 1]) / len(y[max(0, i - 9) : i + 1]) for i in range(len(y))]
            axis.plot(x, y, marker=None if rows is above else ".")
            axis.set_title(column if rows is above else f"validation, {column}", fontsize=9)
            axis.tick_params(labelsize=7)
    figure.tight_layout()
    figure.savefig(output, dpi=100)


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--experiment", type=Path, required=True, help="folder of a training")
    parser.add_argument("--losses", nargs="+", required=True, help="names in the log's lines")
    parser.add_argument("--output", type=Path, required=True, help="picture to draw")
    args = parser.parse_args()
    log = read_log(args.experiment)
    above, below = losses(log, args.losses), validations(log)
    if not above:
        sys.exit(f"error: Expected a training's log in {args.experiment}, found none with losses in it.")
    draw(above, below, args.output)
    for row in below:
        print(", ".join(f"{k} {v:g}" for k, v in row.items()))


if __name__ == "__main__":
    main()
