"""docs/model_zoo.md tells of each file what the table of pretrained files has."""

import re
from pathlib import Path

import pytest

from restoreformer.pretrained import FILES

PAGE = (Path(__file__).parents[1] / "docs" / "model_zoo.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_table_is_on_the_page(name):
    row = FILES[name]
    (line,) = (line for line in PAGE.splitlines() if line.startswith(f"| [{name}]("))
    link, size, digest, licence = (cell.strip() for cell in line.split("|")[1:5])
    assert link == f"[{name}]({row.url})" and digest == f"`{row.sha256}`" and licence == row.licence
    number = int(re.sub(r"\D", "", size))
    assert row.megabytes == (number if "MB" in size else round(number / 1e6))
