"""What a text has to be before it is kept, and the form in which its words are compared."""

import re
import unicodedata
from dataclasses import dataclass

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

_LINE_BREAKS_AND_TABS = "\t\n\r"
_CONTROLS = {"Cc", "Zl", "Zp", "Cs"}
_FORMATS = "Cf"
# Also Cf, but visible: the signs before numbers in Arabic, Syriac and Kaithi.
_SEEN_FORMATS = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
# Not Cf, but invisible: fillers that make a name look empty, the grapheme joiner, and characters reserved for such use.
_UNSEEN = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u2065\u3164\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]")
_VARIATIONS = re.compile("[\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
# The flags of England, Scotland and Wales are a black flag, its region in invisible letters, and an end.
_FLAG = re.compile("\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{1,6}\U000e007f")
_JOINERS = "\u200c\u200d"
# Scripts in which a joiner changes how letters look: from Arabic to Myanmar, Khmer and Mongolian, and those of their
# kind among the later blocks. Between Latin letters it would only make one word look like another.
_JOINING = re.compile(
    "[\u0600-\u109f\u1780-\u18af\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc\U00010a00-\U00010fff\U00011000-\U00011fff]"
)
# Newer pictographs are unassigned in Python's tables.
_PICTOGRAPH = re.compile("[\u00a9\u00ae\u2190-\u2bff\U0001f000-\U0001faff]")
_VIRAMA = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRule:
    """What one field may hold. Lengths are in characters, both inclusive.

    Characters that are invisible or that change how others are shown (control, bidi, zero-width) are refused.
    """

    max_length: int
    min_length: int = 0
    joiners: bool = True
    """Whether U+200C and U+200D may join letters of scripts that need them, and pictographs."""
    lines: bool = False
    """Whether the text may have several lines: then line breaks, tabs and invisible marks of direction stay."""

    def tidied(self, text: str) -> str:
        """`text` trimmed, and composed unless it is too long anyway."""
        return composed(text.strip(), max_length=self.max_length)

    def problem(self, text: str) -> str | None:
        """Why `text` cannot be kept, or None."""
        if message := text_problem(text, max_length=self.max_length, min_length=self.min_length):
            return message
        refused = self._first_refused(text)
        return None if refused is None else f"must not hold {_named(refused)}"

    def cleaned(self, text: str) -> str:
        """The part of `text` that can be kept, maybe nothing; for texts that nobody can be asked to correct."""
        shortened = text[: 4 * self.max_length]  # composing may shorten it, but not by more than that
        spaced = "".join(
            " " if one in _LINE_BREAKS_AND_TABS or unicodedata.category(one)[0] == "Z" else one for one in shortened
        )
        cut = unicodedata.normalize("NFC", self._without_refused(spaced)).strip()[: self.max_length]
        return self._without_refused(cut).strip()  # the cut may have left a joiner with nothing to join

    def _without_refused(self, text: str) -> str:
        return "".join(one for at, one in enumerate(text) if not self._refuses(text, at))

    def _first_refused(self, text: str) -> str | None:
        if text.isascii() and text.isprintable():
            return None
        return next((one for at, one in enumerate(text) if self._refuses(text, at)), None)

    def _refuses(self, text: str, at: int) -> bool:
        one = text[at]
        category = unicodedata.category(one)
        if self.lines:
            return category == "Cs" or (category == "Cc" and one not in _LINE_BREAKS_AND_TABS)
        if category in _CONTROLS:
            return True
        if one in _JOINERS:
            return not (self.joiners and _joins(text, at))
        if _UNSEEN.match(one):
            return not (self.joiners and _in_flag(text, at))
        if _VARIATIONS.match(one):
            return not self.joiners
        return category == _FORMATS and not _SEEN_FORMATS.match(one)


def text_problem(text: str, *, max_length: int, min_length: int = 0) -> str | None:
    """Why no store could keep `text`, or why it is too long or too short; None if there is no problem.

    Lengths are in characters, both inclusive.
    """
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
    """`text` in Unicode's NFC, so that one spelling has one form; unchanged if it is too long to be kept anyway.

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


def escaped(text: str) -> str:
    """`text` for a terminal: characters that are not printable are escaped as Python does it, such as `\\x1b`."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def _named(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if character in "\n\r\u2028\u2029":
        return f"a line break ({code})"
    if character == "\t":
        return f"a tab ({code})"
    name = unicodedata.name(character, "a control character").lower()
    return f"{code} ({name})"


def _joins(text: str, at: int) -> bool:
    """Whether the joiner there stands between two letters of a script with joiners, or between two pictographs."""
    before = at - 1
    while before >= 0 and (_VARIATIONS.match(text[before]) or _in_flag(text, before)):
        before -= 1
    if before < 0:
        return False
    left, right = text[before], text[at + 1 : at + 2]
    if _PICTOGRAPH.match(left):
        return bool(_PICTOGRAPH.match(right))
    return (
        before == at - 1
        and bool(_JOINING.match(left))
        and (unicodedata.combining(left) == _VIRAMA or bool(_JOINING.match(right)))
    )


def _in_flag(text: str, at: int) -> bool:
    if not "\U000e0030" <= text[at] <= "\U000e007f":
        return False
    start = text.rfind("\U0001f3f4", max(0, at - 7), at)
    match = _FLAG.match(text, start) if start >= 0 else None
    return match is not None and at < match.end()
