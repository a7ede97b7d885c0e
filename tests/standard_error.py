"""What programs that tests start say on standard error."""

from __future__ import annotations

import re

COMPILING = re.compile(r"^(\[rank \d+\] )?minipar: compiling .*\n", re.MULTILINE)


def without_compiling(errors: str) -> str:
    """Without what a new machine says besides: the kernels that it compiles."""
    return COMPILING.sub("", errors)
