"""Names as text in Markdown and LaTeX: one line, and nothing in them that either would read as its own."""

import re
from typing import Final

LATEX_ESCAPES: Final = {
    "\\": r"\textbackslash{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "[": "{[}",  # after a line break a bracket would be read as its argument
    **{character: f"${character}$" for character in "<>"},
    "|": r"\textbar{}",
}
# An underscore within a word is none of Markdown's signs, nor is an ampersand that begins no entity.
MARKDOWN: Final = re.compile(r"[\\|*`<>\[\]~$]|&(?=#?[A-Za-z0-9])|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def flat(text: str) -> str:
    r"""Return a text as one line, without control characters.

    Example:
        >>> flat("a\n\\input{x}\x00")
        'a \\input{x}'
    """
    return "".join(character for character in " ".join(text.split()) if character >= " " and character != "\x7f")


def encodable(text: str) -> str:
    r"""Return a text that every file can hold: a byte of a folder's name that is no UTF-8 is shown by its number.

    Example:
        >>> encodable("runs/\udcff")
        'runs/\\udcff'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def markdown(text: str) -> str:
    r"""Return a text that may stand in a cell or a heading of Markdown, HTML within it included.

    Example:
        >>> markdown("dynamic_uncertainty [k=1]|<b>")
        'dynamic_uncertainty \\[k=1\\]\\|\\<b\\>'
    """
    return MARKDOWN.sub(lambda match: f"\\{match[0]}", flat(text))


def latex(text: str) -> str:
    """Return a text with what LaTeX reads otherwise escaped, and a leading sign as a minus, not a hyphen."""
    escaped = "".join(LATEX_ESCAPES.get(character, character) for character in flat(text))
    return f"${escaped[0]}${escaped[1:]}" if escaped[:1] in ("+", "-") and len(escaped) > 1 else escaped
