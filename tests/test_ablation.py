"""Every row of Table 4 through BasicSR's pipeline from its own option file, as benchmarks/ablation.py does in full."""

import copy
import json
import re
import shutil

import pytest
from ablation import RECOGNITION, ROOT, ROWS, STAGE_1, means, shrink
from test_options import load
from test_pipeline import passed, run

from restoreformer.archs.fusion import FUSIONS
from restoreformer.options import check_options

ABLATION = ROOT / "options" / "ablation"
FILES = [*ROWS.values(), RECOGNITION]


@pytest.fixture(scope="module")
def small(faces_lmdb, boxes_file):
    def prepare(file):
        data = {"dataroot_gt": str(faces_lmdb), "component_path": str(boxes_file), "num_images": 4}
        return shrink(load(ROOT / file), data, iterations=3, batch=2)

    return prepare


@pytest.fixture(scope="module")
def root(tmp_path_factory, small, forks):
    """A checkout of its own in which both first stages have been trained."""
    folder = tmp_path_factory.mktemp("ablation")
    shutil.copytree(ROOT / "basicsr", folder / "basicsr")
    (folder / "src").symlink_to(ROOT / "src")
    for file in STAGE_1.values():
        passed(run(forks, folder, as_dict(small(file))))
    return folder


def as_dict(opt):
    """Without the order that BasicSR's reader keeps, which safe_dump does not write."""
    return {k: as_dict(v) for k, v in opt.items()} if isinstance(opt, dict) else opt


@pytest.mark.parametrize("file", FILES)
def test_a_row_trains_from_its_own_option_file(file, root, small, forks):
    opt = as_dict(small(f"options/ablation/{file}.yml"))
    opt["logger"]["print_freq"] = 1
    log = passed(run(forks, root, opt))
    assert f"Loaded {opt['network_g']['type']} from {opt['path']['pretrain_network_g']}" in log
    assert len(re.findall("l_prior: ", log)) == 3 and "l_g_style_mouth" in log and "nan" not in log
    assert (root / "experiments" / opt["name"] / "models" / "net_g_latest.pth").exists()


def test_the_files_of_table_4_differ_in_their_fusion_alone():
    files = [load(ABLATION / f"{file}.yml") for file in ROWS.values()]
    assert [opt["network_g"]["fusion"] for opt in files] == list(FUSIONS)
    paper = load(ROOT / "options" / "train_restoreformer.yml")
    for opt in files:
        assert opt.pop("name") != paper["name"]
        opt["network_g"]["fusion"] = "mhca-p"
        assert opt == {k: v for k, v in paper.items() if k != "name"}


def test_the_recognition_oriented_files_differ_in_their_encoder_alone():
    for stage, file in (("dictionary", "recognition_dictionary"), ("restoreformer", "recognition_restoreformer")):
        opt, paper = load(ABLATION / f"{file}.yml"), load(ROOT / "options" / f"train_{stage}.yml")
        assert opt["network_g"].pop("encoder") == "vgg19" and opt["network_g"].pop("embed_dim") == 512
        assert paper["network_g"].pop("embed_dim") == 256
        assert opt["path"].pop("pretrain_encoder", None) == ("vgg19-dcbb9e9d.pth" if stage == "dictionary" else None)
        for key in ("pretrain_network_g", "pretrain_network_d"):
            opt["path"].pop(key, None), paper["path"].pop(key, None)
        opt.pop("name"), paper.pop("name")
        assert opt == paper


def test_the_small_files_are_right(small):
    for file in (*STAGE_1.values(), *(f"options/ablation/{file}.yml" for file in FILES)):
        check_options(copy.deepcopy(small(file)))


def test_means_over_seeds(tmp_path):
    """By hand: of 1, 2 and 6 the mean is 3."""
    values = [("Input", 7.0), *((f"exp1, seed {i}", v) for i, v in enumerate((1.0, 2.0, 6.0))), ("GT", "infinity")]
    evaluations = [{"method": method, "figures": {"PSNR": {"value": v}}} for method, v in values]
    (tmp_path / "evaluation.json").write_text(json.dumps({"evaluations": evaluations}))
    expected = "|  | PSNR |\n| --- | --- |\n| Input | 7.00 |\n| exp1 | 3.00 (1.00, 6.00) |\n| GT | ∞ |\n"
    assert means(tmp_path / "evaluation.json") == expected
