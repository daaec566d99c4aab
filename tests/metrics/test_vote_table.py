import csv
import json

import pytest

from restoreformer.errors import RestoreFormerError
from restoreformer.metrics import vote_table
from restoreformer.metrics.study import Picture, Question, Study, key_text, read_key
from restoreformer.metrics.user_study import parser, write_counts

KIND = "user study answer sheet"


def a_study(dataset="", token="s1", methods=("Ours", "B|b", "C"), faces=2):
    """Pictures are called by method and face."""
    pictures, questions = {}, []
    for face in map(str, range(faces)):
        pictures |= {f"{m}{face}": Picture(m, face) for m in methods}
        questions += [Question(f"{a}{face}", f"{b}{face}", None) for a in methods for b in methods if a < b]
    return Study(token, dataset, methods, pictures, tuple(questions))


def answers(path, given, participant="p", study="s1", asked=6, **other):
    """``given`` as "better>worse" where the better was on the left, and "worse<better" where it was on the right."""
    found = []
    for text in given.split():
        left, right = text.replace("<", ">").split(">")
        found.append({"left": left, "right": right, "chosen": "left" if ">" in text else "right"})
    content = {"kind": KIND, "study": study, "participant": participant, "asked": asked, "answers": found, **other}
    path.write_text(json.dumps(content))
    return path


def table(tmp_path, studies, files):
    keys = []
    for study in studies:
        keys += ["--key", tmp_path / f"{study.token}.key.json"]
        keys[-1].write_text(key_text(study), encoding="utf-8")
    words = ["table", *keys, "--answers", *files, "--out", tmp_path / "out"]
    return write_counts(parser().parse_args(list(map(str, words))))


@pytest.mark.parametrize(
    # Table I of Newcombe, Two-sided confidence intervals for the single proportion, Statistics in Medicine 1998.
    ("votes", "of", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_intervals_are_the_published_ones(votes, of, low, high):
    found = vote_table.share(votes, of)
    assert found == pytest.approx((100 * votes / of, 100 * low, 100 * high), abs=0.006)


def test_counts_by_hand(tmp_path):
    studies = [a_study("LFW|Test"), a_study("Web", "s2", ("Ours", "C"), 1)]
    files = [
        answers(tmp_path / "1.json", "Ours0>B|b0 Ours1>B|b1 C0<Ours0 C1<Ours1 B|b0>C0 B|b1>C1", "p"),
        answers(tmp_path / "2.json", "B|b0>Ours0 Ours1>B|b1 Ours0>C0", "q"),
        answers(tmp_path / "3.json", "Ours0<C0", "p", "s2", 1),
    ]
    told = table(tmp_path, studies, files)
    rows = told.splitlines()
    # Worked out by hand: 3 of 4 has Wilson's interval 30.06 to 95.44, 3 of 3 43.85 to 100, 0 of 1 0 to 79.35.
    assert rows[:4] == [
        "| Methods | LFW\\|Test | Web |",
        "| --- | --- | --- |",
        "| B\\|b | 25.00%/75.00% [30.06, 95.44] | – |",
        "| C | 0.00%/100.00% [43.85, 100.00] | 100.00%/0.00% [0.00, 79.35] |",
    ]
    assert "LFW|Test: 2 participants, 1 of them in part; Web: 1 participant; 10 votes, of which 70.00% [" in told
    assert rows[-2] == "| LFW\\|Test | B\\|b | C | 2 of 2 | 100.00% [34.24, 100.00] | 1 |"
    content = json.loads((tmp_path / "out" / "user_study.json").read_text())
    assert content["participants"] == {"LFW|Test": {"files": 2, "in_part": 1}, "Web": {"files": 1, "in_part": 0}}
    assert (content["left"], content["votes"], content["methods"]) == (7, 10, ["Ours", "B|b", "C"])
    assert content["comparisons"][0]["percent"] == 75
    with (tmp_path / "out" / "user_study.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(r["method"], r["other"], r["votes"], r["other_votes"], r["participants"]) for r in lines] == [
        ("Ours", "B|b", "3", "1", "2"),
        ("Ours", "C", "3", "0", "2"),
        ("B|b", "C", "2", "0", "1"),
        ("Ours", "C", "0", "1", "1"),
    ]
    assert (tmp_path / "out" / "user_study.md").read_text() == told


def test_answers_that_do_not_count(tmp_path):
    good = answers(tmp_path / "good.json", "Ours0>C0")
    refused = {
        answers(tmp_path / "twice.json", "Ours0>C0"): "got .*good.json and .*twice.json from one: keep the later",
        answers(tmp_path / "other.json", "Ours0>C0", "q", "s9"): "answers to this study in .*other.json, they are to",
        answers(tmp_path / "strange.json", "Ours0>C1", "r"): "whole answers in .*strange.json, it is damaged",
        answers(tmp_path / "again.json", "Ours0>C0 Ours0<C0", "s"): "in .*again.json, it is damaged.*answered before",
        answers(tmp_path / "none.json", "", "t"): "in .*none.json, it is damaged.*0 answers to 6",
        answers(tmp_path / "kind.json", "Ours0>C0", "u", kind="x"): "a user study answer sheet in .*kind.json, got x",
        answers(tmp_path / "odd.json", "", "v", answers=[3]): "in .*odd.json, it is damaged",
        answers(tmp_path / "list.json", "", "v", study=["s1"]): "in .*list.json, they are to another",
        tmp_path / "absent.json": "absent.json, could not read it: No such file",
    }
    cut = tmp_path / "cut.json"
    cut.write_text(good.read_text()[:-20])
    refused[cut] = "in .*cut.json, it is cut off or no JSON"
    assert "1 vote," in table(tmp_path, [a_study()], [good])
    with pytest.raises(RestoreFormerError) as told:
        table(tmp_path, [a_study()], [good, *refused])
    for message in refused.values():
        assert told.match(message)
    assert "good.json, " not in str(told.value)


def test_keys_that_do_not_go_together(tmp_path):
    good = answers(tmp_path / "good.json", "Ours0>C0")
    with pytest.raises(RestoreFormerError, match="a --dataset of its own for each study"):
        table(tmp_path, [a_study(), a_study(token="s2")], [good])
    with pytest.raises(RestoreFormerError, match="Expected Ours first in every study, got C in one"):
        table(tmp_path, [a_study("a"), a_study("b", "s2", ("C", "Ours"))], [good])
    with pytest.raises(RestoreFormerError, match="a user study key in .*good.json, got user study answer sheet"):
        read_key(good)
    damaged = tmp_path / "damaged.key.json"
    damaged.write_text(key_text(a_study()).replace('"pictures"', '"picture"'))
    with pytest.raises(RestoreFormerError, match="a study's key in .*damaged.key.json, it is damaged: KeyError"):
        read_key(damaged)
