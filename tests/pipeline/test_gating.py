"""The gate in front of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.train import gating


def test_labels_that_nobody_judged_want_a_reason(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"NOT SHOWN YET.*--override-gate"):
        gating.require([tmp_path], None, " ")
    assert gating.require([tmp_path], None, "a first try") == "not shown yet"


def test_the_worst_labels_decide_and_the_studio_may_tell(tmp_path: Path) -> None:
    assert gating.require([tmp_path], "agrees", "") == "agrees"
    with pytest.raises(UserError, match="OPPOSED"):
        gating.require([tmp_path], "opposed", "")


def test_human_labels_alone_need_no_gate() -> None:
    assert gating.require([], None, "") is None
