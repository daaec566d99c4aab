"""Table 4 in small: the option files of options/ablation, trained alike at 64x64 with several seeds, in its layout.

python datasets/pack_lmdb.py --input FACES --output datasets/faces_64.lmdb --size 64
python datasets/find_components.py --input LARGER_FACES --output datasets/faces_64_boxes.pth
python benchmarks/ablation.py --seeds 0 1 2 --out results/ablation

Needs a thousand faces: the first 100 by name are held out. The option files stay as they are but for sizes, schedule
and what a machine without downloads does not have (see `shrink`); in experiments/pretrained_models, the stand-ins of
docs/evaluating.md. metrics/evaluate.py measures every training, and below its table stand the means of each row over
the seeds. They compare these rows with each other, and with no other table. Trainings that are there already, under
experiments/small64_*, are not run again.
"""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import restoreformer  # noqa: F401  # isort: skip  (first: it makes basicsr importable)

import yaml

from restoreformer.datasets.blind_face_dataset import BlindFaceDataset
from restoreformer.image_source import ImageSource
from restoreformer.images import to_image, write
from restoreformer.metrics.evaluation_table import decimal
from restoreformer.metrics.markdown import heading, row
from restoreformer.metrics.published import INPUT
from restoreformer.program import option_parser

ROOT = Path(__file__).parents[1]
STAGE_1 = {"learned": "options/train_dictionary.yml", "vgg19": "options/ablation/recognition_dictionary.yml"}
# By the names of Table 4's rows.
ROWS = {
    "exp1": "exp1_none",
    "exp2": "exp2_mhsa_degraded",
    "exp3": "exp3_mhsa_prior",
    "exp4": "exp4_sft",
    "exp5": "exp5_mhca_d",
    "Ours": "ours_mhca_p",
}
# Of Sec. 4.3's text; an encoder without VGG-19's weights says nothing of it, so it is shrunk for the tests alone.
RECOGNITION = "recognition_restoreformer"
HELD_OUT = 100
# So that a full training of the same option file is left alone.
PREFIX = "small64_"
# About what the paper's ranges are to 512 pixels.
DEGRADATION = {"blur_sigma": [0.2, 1.3], "downsample": [1.0, 4.0], "noise": [0.0, 10.0], "jpeg": [60.0, 100.0]}
DEGRADATION |= {"blur_kernel_size": 9}
# What looks in place of VGG-19 and ArcFace.
STAND_INS: dict[str, dict[str, Any]] = {
    "perceptual_opt": {
        "type": "EdgeVGG16PerceptualLoss",
        "weights": "experiments/pretrained_models/vgg16_hed_features_fp16.pth",
        "layer_weights": {"conv1_2": 0.3, "conv2_2": 2.0, "conv3_3": 2.0, "conv4_3": 1.5},
        "criterion": "l1",
        "loss_weight": 1.0,
    },
    "identity_opt": {
        "type": "ArcFaceIdentityLoss",
        "network": "mobilefacenet",
        "weights": "experiments/pretrained_models/mobilefacenet_068.ckpt",
        "loss_weight": 0.25,
    },
}


def shrink(
    opt: dict[str, Any], data: dict[str, Any], iterations: int, batch: int = 8, seed: int = 0, stand_ins: bool = False
) -> dict[str, Any]:
    """An option file of stage 1 or 2 at 64x64, otherwise as it is.

    Args:
        opt: the file's content, changed in place.
        data: of ``datasets: train``, what to train on.
        iterations: length of the training.
        batch: images of an iteration.
        seed: in place of the file's; in the name of the training too.
        stand_ins: whether :data:`STAND_INS` take the places of the perceptual and the identity loss, which are left
            out otherwise, as their networks' weights are not to be had everywhere.

    Adversarial losses are weak, as little holds against them. A fixed encoder is random.
    """
    opt["name"] = f"{PREFIX}{seed}_{opt['name']}"
    opt["manual_seed"] = seed
    for key, path in opt["path"].items():
        if path and path.startswith("experiments/"):
            opt["path"][key] = path.replace("experiments/", f"experiments/{PREFIX}{seed}_", 1)
    net, train, block = opt["network_g"], opt["train"], opt["datasets"]["train"]
    fixed = net.get("encoder") == "vgg19"
    net |= {"ch": 32, "ch_mult": [1, 2, 2], "num_res_blocks": 1, "resolution": 64, "embed_dim": 128 if fixed else 64}
    opt["network_d"] |= {"ndf": 16, "n_layers": 2}
    block |= {k: v for k, v in data.items() if k in block or k != "component_path"}
    block |= {"gt_size": 64, "batch_size_per_gpu": batch, "num_worker_per_gpu": 0, "persistent_workers": False}
    if "degradation" in block:
        block["degradation"] = dict(DEGRADATION)
    if fixed and "pretrain_encoder" in opt["path"]:
        opt["path"]["pretrain_encoder"] = "none"
    for key, stand_in in STAND_INS.items():
        if train.pop(key, None) is not None and stand_ins:
            train[key] = dict(stand_in)
    train |= {"total_iter": iterations, "gan_start_iter": max(1, iterations // 2)}
    train["scheduler"] |= {"milestones": [iterations * 4 // 5], "gamma": 0.25}
    for key, rate in (("optim_g", 0.0005), ("optim_d", 0.0002), ("optim_component", 0.0005)):
        if key in train:
            train[key]["lr"] = rate
    for key, weight in (("gan_opt", 0.01), ("component_gan_opt", 0.005)):
        if key in train:
            train[key]["loss_weight"] = weight
    if "renewal_opt" in train:
        train["renewal_opt"] = {"start": "encoder", "interval": 20, "until": iterations * 3 // 4}
    opt["logger"] |= {"print_freq": 20, "save_checkpoint_freq": 10**6, "use_tb_logger": False}
    return opt


def test_options(opt: dict[str, Any], faces: str) -> dict[str, Any]:
    """The test of what ``opt`` has trained, on the held-out faces."""
    name = opt["name"]
    return {
        **{key: opt[key] for key in ("model_type", "num_gpu", "manual_seed", "network_g")},
        "name": f"{name}_test",
        "datasets": {"test": {"name": "faces", **held_out(faces)}},
        "path": {"pretrain_network_g": f"experiments/{name}/models/net_g_latest.pth"},
        "val": {"save_img": True, "suffix": None},
    }


def held_out(faces: str) -> dict[str, Any]:
    """Options of the dataset that tests."""
    options = {"type": "BlindFaceDataset", "dataroot_gt": faces, "gt_size": 64, "num_images": HELD_OUT}
    return options | {"degradation": dict(DEGRADATION)}


def run(*command: str) -> None:
    """Run a script of this project."""
    words = [sys.executable, "-W", "ignore", *command]
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")


def pipeline(script: str, opt: dict[str, Any]) -> None:
    """One of BasicSR's pipelines with these options."""
    path = ROOT / "experiments" / f"{opt['name']}.yml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(opt, sort_keys=False))
    run(f"basicsr/{script}.py", "-opt", str(path))


def train(file: str, data: dict[str, Any], iterations: int, seed: int) -> dict[str, Any]:
    """Train an option file in small, unless its network is there."""
    opt = shrink(yaml.safe_load((ROOT / file).read_text()), data, iterations, seed=seed, stand_ins=True)
    if not (ROOT / "experiments" / opt["name"] / "models" / "net_g_latest.pth").exists():
        sys.stderr.write(f"training {opt['name']}\n")
        pipeline("train", opt)
    return opt


def write_faces(faces: str, folder: Path) -> None:
    """As files: the held-out faces, degraded (``lq``) and true (``gt``), and the ``others``."""
    dataset = BlindFaceDataset({**held_out(faces), "name": "faces", "phase": "test"})
    for name, sample in zip(dataset.names, (dataset[i] for i in range(len(dataset))), strict=True):
        for kind in ("lq", "gt"):
            write(folder / kind / f"{name}.png", to_image(sample[kind]))
    source = ImageSource(faces)
    for name in source.names[HELD_OUT:]:
        write(folder / "others" / f"{name}.png", source.read(name))


def means(report: Path) -> str:
    """A row for each of Table 4's, with the mean over the seeds and, in brackets, the least and the greatest."""
    values: dict[str, dict[str, list[float]]] = {}
    for e in json.loads(report.read_text())["evaluations"]:
        of_row = values.setdefault(e["method"].split(",")[0], {})
        for label, figure in e["figures"].items():
            of_row.setdefault(label, []).append(float(figure["value"]))
    labels = list(values[INPUT])
    table = heading(["", *labels])
    for name, of_row in values.items():
        cells = []
        for label in labels:
            found = of_row[label]
            cell = decimal(label, statistics.mean(found))
            ends = "" if len(found) == 1 else f" ({decimal(label, min(found))}, {decimal(label, max(found))})"
            cells.append(cell + ends)
        table += row(name, *cells)
    return table


def main() -> None:
    parser = option_parser(__doc__)
    parser.add_argument("--faces", default="datasets/faces_64.lmdb", help="LMDB of 64x64 faces")
    parser.add_argument("--boxes", default="datasets/faces_64_boxes.pth", help="their eyes and mouths")
    parser.add_argument("--iterations", type=int, default=600, help="of each training (default 600)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="trainings of each row (default 0 1 2)")
    parser.add_argument("--out", type=Path, default=Path("results/ablation"), help="folder for the table")
    args = parser.parse_args()
    data = {"dataroot_gt": args.faces, "component_path": args.boxes, "skip_images": HELD_OUT}
    methods = []
    for seed in args.seeds:
        start = train(STAGE_1["learned"], data, args.iterations, seed)["name"]
        for name, file in ROWS.items():
            opt = train(f"options/ablation/{file}.yml", data, args.iterations, seed)
            assert f"experiments/{start}/" in opt["path"]["pretrain_network_g"]
            test = test_options(opt, args.faces)
            pipeline("test", test)
            results = f"results/{test['name']}/visualization/faces/*_{test['name']}.png"
            methods += ["--method", f"{name}, seed {seed}={results}"]
    write_faces(args.faces, args.out)
    run(
        "metrics/evaluate.py",
        *("--gt", f"{args.out}/gt", "--lq", f"{args.out}/lq", *methods, "--reference", f"{args.out}/others"),
        *("--metrics", "metrics/standins.yml", "--ablation", "--out", str(args.out)),
    )
    sys.stdout.write((args.out / "evaluation.md").read_text() + "\n" + means(args.out / "evaluation.json"))


if __name__ == "__main__":
    main()
