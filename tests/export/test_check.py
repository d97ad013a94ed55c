"""The comparison of an export with its run: what is another policy, and what a tie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlcli.export.check import Disagreement, compared, reference
from rlcli.export.observations import drawn
from rlcli.runs.policy import read_policy
from rlcli.standalone.policy import policy_module


@pytest.fixture(scope="module")
def trained(finished: Path) -> Any:
    return read_policy(finished)


@pytest.fixture(scope="module")
def wanted(trained: Any) -> dict[str, np.ndarray]:
    module = policy_module(*trained.policy, trained.spec)
    return reference(trained, drawn(trained.spec.observation, module, 50))


def changed(wanted: dict[str, np.ndarray], name: str, place: int, by: float) -> dict[str, np.ndarray]:
    found = {key: part.copy() for key, part in wanted.items()}
    found[name][place] += np.array(by).astype(found[name].dtype)
    return found


@pytest.mark.broken_by(
    "an output may differ", "export/check.py", "if not differences[name] <= TOLERANCE:", "if False:"
)
def test_an_output_that_differs_is_another_policy(trained: Any, wanted: dict[str, np.ndarray]) -> None:
    assert compared(wanted, wanted, trained).differences == {"logits": 0.0, "value": 0.0}
    size = max(1.0, float(np.abs(wanted["value"]).max()))
    compared(changed(wanted, "value", 3, 5e-5 * size), wanted, trained)
    for name in ("value", "logits"):
        with pytest.raises(Disagreement, match=f"its {name} differs by"):
            compared(changed(wanted, name, 3, 1e-2 * size), wanted, trained)
        with pytest.raises(Disagreement, match=f"its {name} differs by nan"):
            compared(changed(wanted, name, 3, np.nan), wanted, trained)
    with pytest.raises(Disagreement, match=r"its value has shape \(49,\)"):
        compared(wanted | {"value": wanted["value"][1:]}, wanted, trained)


@pytest.mark.broken_by(
    "actions may differ", "export/check.py", "if max(margins) > TOLERANCE *", "if max(margins) > 1e9 *"
)
def test_another_action_is_another_policy_unless_it_is_a_tie(
    trained: Any, wanted: dict[str, np.ndarray]
) -> None:
    other = wanted | {"action": 1 - wanted["action"]}
    with pytest.raises(Disagreement, match="at observation 0 its action is "):
        compared(other, wanted, trained)
    equal = {**wanted, "logits": np.zeros_like(wanted["logits"])}
    agreement = compared(equal | {"action": 1 - wanted["action"]}, equal, trained)
    assert agreement.ties == 50
    assert "50 ties were decided otherwise" in agreement.text
