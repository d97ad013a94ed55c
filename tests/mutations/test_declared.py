"""Reading of the `broken_by` markers: what they declare, and what is refused with its file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.declared import Mutation, mutations

MARKER = '@pytest.mark.broken_by("sign", "maths/a.py", "a + b", "a - b")\n'
TEST = "def test_sum():\n    pass\n"


def read(directory: Path, source: str) -> tuple[Mutation, ...]:
    """The mutations of a test file of this text."""
    directory.joinpath("maths").mkdir(exist_ok=True)
    directory.joinpath("maths/test_a.py").write_text(source)
    return mutations(directory)


def test_a_marker_declares_a_mutation(tmp_path: Path) -> None:
    expected = Mutation("sign", "maths/a.py", "a + b", "a - b", "maths/test_a.py::test_sum")
    assert read(tmp_path, MARKER + TEST) == (expected,)
    by_name = MARKER.replace('"a + b", "a - b"', 'replacement="a " "- b", text="a + b"')
    assert read(tmp_path, by_name + TEST) == (expected,)


def test_a_case_of_a_parametrised_test(tmp_path: Path) -> None:
    marker = MARKER.replace('b")\n', 'b", case="two-3")\n')
    (found,) = read(tmp_path, f'{marker}@pytest.mark.parametrize("x", ["two-3"])\n{TEST}')
    assert found.test == "maths/test_a.py::test_sum[two-3]"


def test_a_test_in_a_class(tmp_path: Path) -> None:
    (found,) = read(tmp_path, f"class TestA:\n    {MARKER}    def test_sum(self):\n        pass\n")
    assert found.test == "maths/test_a.py::TestA::test_sum"


def test_several_of_one_test_in_their_order_and_files_in_theirs(tmp_path: Path) -> None:
    (tmp_path / "test_b.py").write_text(MARKER.replace("sign", "third") + TEST)
    found = read(tmp_path, MARKER + MARKER.replace("sign", "second") + TEST)
    assert [mutation.name for mutation in found] == ["sign", "second", "third"]


def test_nothing_is_imported(tmp_path: Path) -> None:
    assert len(read(tmp_path, f"import no_such_module\nraise SystemExit\n{MARKER}{TEST}")) == 1


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (MARKER.replace('"a + b"', "TEXT") + TEST, "1: text is not a literal string: TEXT"),
        (MARKER.replace('"a + b"', '"a" + "b"') + TEST, "1: text is not a literal string"),
        (MARKER.replace('"a + b"', 'f"a"') + TEST, "1: text is not a literal string"),
        (MARKER.replace('"a + b"', "1") + TEST, "1: text is not a literal string: 1"),
        (MARKER.replace('"a + b", "a - b"', "*BOTH") + TEST, "1: text is not a literal string"),
        (MARKER.replace('"a - b"', "**REST") + TEST, r"1: .* not \*\*"),
        (MARKER.replace('"a - b"', 'instead="a - b"') + TEST, "1: .* not instead"),
        (MARKER.replace('"a - b"', 'name="a - b"') + TEST, "1: .* not name"),
        (MARKER.replace(', "a - b"', "") + TEST, "1: .* without replacement"),
        (MARKER.replace('"a - b"', '"a - b", "", ""') + TEST, "1: .* takes name, file"),
        (MARKER + MARKER + TEST, r"2: another mutation is named 'sign', at .*test_a\.py:1"),
        (MARKER + TEST.replace("test", "helper"), "1: .* may only decorate a test"),
        (MARKER + "class TestA:\n    pass\n", "1: .* may only decorate a test"),
        (f"def outer():\n    {MARKER}    def test_sum():\n        pass\n", "2: .* may only decorate a test"),
        (f"\npytestmark = {MARKER[1:]}{TEST}", "2: .* may only decorate a test"),
        ("@pytest.mark.broken_by\n" + TEST, "1: .* may only decorate a test"),
    ],
)  # fmt: skip
def test_what_is_refused(source: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"test_a\.py:{message}"):
        read(tmp_path, source)
