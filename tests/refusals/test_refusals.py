"""Bad input gets an error that names the argument, what was given and what would be right."""

from __future__ import annotations

import re

import pytest

import minipar
from tests.refusals.refusal import Refusal
from tests.refusals.table import TABLE


@pytest.mark.parametrize("refusal", TABLE, ids=str)
def test_is_refused_by_name(refusal: Refusal) -> None:
    with pytest.raises(refusal.error) as caught:
        refusal.call(minipar)
    assert caught.type is refusal.error, "a subclass may be an accident"
    for pattern in refusal.says:
        assert re.search(pattern, str(caught.value)), f"{pattern!r} is not said by: {caught.value}"
