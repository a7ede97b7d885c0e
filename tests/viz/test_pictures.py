"""The README's pictures are those that the code draws today."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PICTURES = ROOT / "docs" / "pictures"


def test_pictures_are_up_to_date(tmp_path):
    subprocess.run(
        [sys.executable, "-W", "error", "tools/make_pictures.py", "--out", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    drawn = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert drawn
    for name, picture in drawn.items():
        ElementTree.fromstring(picture)
        assert (PICTURES / name).read_text(encoding="utf-8") == picture, f"{name}: run tools/make_pictures.py"
