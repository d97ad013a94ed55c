"""Tables in markdown, LaTeX and CSV, with text that would be markup in each."""

from __future__ import annotations

import csv

import pytest

from rlcli.analysis.compare.markup import Table, csv_text, latex, latex_text, markdown, markdown_text

TABLE = Table("a_title", ("name", "value"), [("x|y", "1.5"), ("<b>", "-2")], ("value",))


def test_a_markdown_table() -> None:
    assert markdown(TABLE) == (
        "a\\_title\n\n| name | value |\n| --- | ---: |\n| x\\|y | 1.5 |\n| &lt;b&gt; | -2 |"
    )


def test_a_latex_table() -> None:
    assert latex(TABLE).splitlines() == [
        r"% a\_title", r"\begin{tabular}{lr}", r"\hline", r"name & value \\", r"\hline",
        r"x\textbar{}y & 1.5 \\", r"\textless{}b\textgreater{} & $-$2 \\", r"\hline", r"\end{tabular}",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("[a](javascript:x) ![b](c)", r"\[a\](javascript:x) !\[b\](c)"),
        ("https://a.b www.c.d", "https&#58;//a.b www&#46;c.d"),
        ("`a` $b$ *c* _d_ ~e~ #1 \\", r"\`a\` \$b\$ \*c\* \_d\_ \~e\~ \#1 \\"),
        ("@someone", "&#64;someone"),
        ("a\nb\r\x1b[2J", r"a b\r\x1b\[2J".replace("\\r\\x1b", "\\\\r\\\\x1b")),
    ],
)
def test_markdown_of_others_is_text(text: str, expected: str) -> None:
    assert markdown_text(text) == expected


def test_negative_numbers_have_a_minus_sign_in_latex_and_names_a_hyphen() -> None:
    table = Table("", ("pair", "mean"), [("ppo - clip=-1", "-1.5 [-2e-09, 0.1]")], ("mean",))
    assert latex(table).splitlines()[5] == r"ppo - clip=-1 & $-$1.5 [$-$2e-09, 0.1] \\"


def test_commands_of_latex_are_text() -> None:
    found = latex_text(r"\input{x} $y$ 5% a&b c_d e^f ~ # {")
    assert found == (
        r"\textbackslash{}input\{x\} \$y\$ 5\% a\&b c\_d e\textasciicircum{}f \textasciitilde{} \# \{"
    )


def test_formulas_of_spreadsheets_are_text_and_numbers_stay_numbers() -> None:
    rows = [("=1+1", -1.5, None), ('@x"\n,', 2, "-3")]
    text = csv_text(("a", "b", "c"), rows)
    assert list(csv.reader(text.splitlines())) == [
        ["a", "b", "c"],
        ["'=1+1", "-1.5", ""],
        ["'@x\" ,", "2", "'-3"],
    ]
