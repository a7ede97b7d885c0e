"""What notebooks promise beyond running (which `pytest --nbmake notebooks` checks): clean files, true solutions."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def notebook(request):
    return json.loads(request.param.read_text(encoding="utf-8"))


def source(cell):
    return "".join(cell["source"])


def code_cells(notebook):
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_no_output_is_stored(notebook):
    for cell in code_cells(notebook):
        assert cell["outputs"] == [], f"cell {cell['id']}: run nbstripout --keep-id on the notebook"
        assert cell["execution_count"] is None


def test_every_cell_has_a_name_of_its_own(notebook):
    """Names that a person gave stay the same from one version to the next: small diffs, and links that hold."""
    names = [cell["id"] for cell in notebook["cells"]]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", name) and not re.fullmatch(r"[0-9a-f]{8}", name) for name in names)


def test_nothing_of_the_authors_machine_is_stored(notebook):
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert set(notebook["metadata"]) <= {"kernelspec", "language_info"}
    assert set(notebook["metadata"]["language_info"]) <= {"name"}
    assert all(cell["metadata"] == {} for cell in notebook["cells"])


def test_the_last_code_cell_asserts(notebook):
    assert "\nassert " in "\n" + source(code_cells(notebook)[-1])


def test_the_hidden_solutions_hold(notebook, tmp_path):
    """The notebook as a script, and after it every solution: no error, no warning."""
    details = re.findall(
        r"<details>.*?</details>",
        "\n".join(source(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown"),
        re.DOTALL,
    )
    solutions = [code for text in details for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
    assert len(solutions) >= 3
    script = tmp_path / "notebook.py"
    script.write_text("\n\n".join([*map(source, code_cells(notebook)), *solutions]), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        env={**os.environ, "MINIPAR_FAST": "1", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
