"""What a text has to be before it is kept, and the form in which its words are compared."""

import re
import unicodedata

_SURROGATE = re.compile("[\ud800-\udfff]")
# The combining diacritical marks of Unicode's five blocks of that name: the accents of Latin, Greek and Cyrillic. The
# marks of other scripts, such as the vowels of Devanagari, make other words, and stay.
_MARKS = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]")

# Letters that Unicode does not take apart though people type them without their stroke, and signs that phones replace.
_TYPED_AS = str.maketrans(
    {
        **dict(zip("đðħıłŋøŧ", "ddhilnot", strict=True)),
        "æ": "ae",
        "œ": "oe",
        "þ": "th",
        **dict.fromkeys("\u2018\u2019\u02bc", "'"),
        **dict.fromkeys("\u201c\u201d\u201e", '"'),
        **dict.fromkeys("\u2010\u2013\u2014\u2212", "-"),
    }
)


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


def folded(text: str) -> str:
    """`text` without letter case and accents, so that `Straße` and `STRASSE`, `Łódź` and `lodz` are the same.

    Its twin is the SQL function of the same name, in PostgreSQL's migration 012.
    """
    if text.isascii():
        return text.lower()
    return _MARKS.sub("", unicodedata.normalize("NFKD", text)).casefold().translate(_TYPED_AS)
