"""What a text has to be before it is kept."""

import re
import unicodedata

_SURROGATE = re.compile("[\ud800-\udfff]")


def text_problem(text: str, *, max_length: int, min_length: int = 0) -> str | None:
    """Why `text` cannot be kept, or None. Lengths are in characters, both inclusive."""
    if "\0" in text:
        return "must not hold a NUL character"
    if not text.isascii() and _SURROGATE.search(text):
        return "must not hold half a surrogate pair"
    if len(text) < min_length:
        return f"must be at least {min_length} characters long" if text else "must not be empty"
    if len(text) > max_length:
        return f"must be at most {max_length} characters long"
    return None


def composed(text: str, *, max_length: int) -> str:
    """`text` in Unicode's NFC, so that one spelling has one form; as it is where it is too long to be kept anyway.

    Composing takes time that grows with the square of the accents in a row.
    """
    return unicodedata.normalize("NFC", text) if len(text) <= max_length else text
