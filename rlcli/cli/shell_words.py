"""Words of a command line as shells pass them to completion, and candidates as they want them back."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

BREAKS = "=:"
"""Characters at which bash splits words."""

Candidate = tuple[str, str]
"""A completed word and what it means."""


def bash_words(variables: Mapping[str, str]) -> tuple[list[str], str, int]:
    """The words before the current one, the current one, and how many of its characters bash keeps itself."""
    line = variables.get("COMP_WORDS", "")
    pieces = line.split("\n") if "\n" in line else _split(line)
    position = int(variables.get("COMP_CWORD", "0"))
    pieces = [*pieces, ""] if position >= len(pieces) else pieces[: position + 1]
    words: list[str] = []
    joined = False
    for piece in pieces:
        is_break = piece != "" and all(mark in BREAKS for mark in piece)
        if words and (joined or is_break):
            words[-1] += piece
        else:
            words.append(piece)
        joined = is_break
    last = "" if joined else pieces[-1]
    return words[1:-1], words[-1], len(words[-1]) - len(last)


def line_words(line: str) -> tuple[list[str], str]:
    """The words before the current one, and the current one, of a line that ends where the cursor is."""
    words = _split(line)[1:]
    if not words or line.endswith(" "):
        return words, ""
    return words[:-1], words[-1]


def _split(line: str) -> list[str]:
    """Words of a command line that may end inside quotes."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    words: list[str] = []
    try:
        words.extend(lexer)
    except ValueError:
        words.append(lexer.token)
    return words


def zsh(found: Sequence[Candidate]) -> list[str]:
    """Candidates as a call of zsh's `_arguments`; files where there are none."""
    if not found:
        return ["_files"]
    items = "\n".join(f'"{_escaped(word)}"' + (f':"{_plain(text)}"' if text else "") for word, text in found)
    return [f"_arguments '*: :(({items}))'"]


def _escaped(text: str) -> str:
    for mark, safe in (('"', '""'), ("'", "''"), ("$", "\\$"), ("`", "\\`"), (":", "\\\\:")):
        text = text.replace(mark, safe)
    return text


def _plain(text: str) -> str:
    """A short help text without characters that zsh takes for syntax."""
    plain = re.sub(r"[^\w .,+=%<>/-]", "", text)
    return plain if len(plain) <= 60 else plain[:57] + "..."
