"""Do imports point one way? Runs import-linter (contracts in pyproject.toml) on an installed copy of minipar.

In a checkout kernels/ lies beside minipar/, where import-linter does not look; so a wheel's layout is made in a
temporary folder, and the check is run there: on what users get.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "minipar"
        ignored = shutil.ignore_patterns("__pycache__", "files")
        shutil.copytree(ROOT / "minipar", installed, ignore=ignored)
        shutil.copytree(ROOT / "kernels", installed / "kernels", ignore=ignored)
        command = [shutil.which("lint-imports", path=str(Path(sys.executable).parent)) or "lint-imports"]
        command += ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
        return subprocess.run(command, cwd=folder, env={**os.environ, "PYTHONPATH": folder}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
