"""Passwords: the one form that is hashed, and which of them are refused."""

import unicodedata
from functools import cache
from importlib.resources import files

from fitness.domain.model.text import text_problem

MIN_PASSWORD_LENGTH = 8
MAX_PASSWORD_LENGTH = 256

# A letter that Unicode composes is written in at most four characters.
_LONGEST_DECOMPOSED = 4 * MAX_PASSWORD_LENGTH


def normalized_password(password: str) -> str:
    """`password` in NFC, so that an accent is the same from every keyboard; unchanged if it is too long anyway."""
    return unicodedata.normalize("NFC", password) if len(password) <= _LONGEST_DECOMPOSED else password


def password_problem(password: str) -> str | None:
    """Why a normalized `password` is refused, or None. No kinds of characters are asked for: length is what counts."""
    if problem := text_problem(password, min_length=MIN_PASSWORD_LENGTH, max_length=MAX_PASSWORD_LENGTH):
        return problem
    if len(set(password)) == 1 or password.casefold() in _common():
        return "is one of the commonest passwords, which are tried first; choose another"
    return None


@cache
def _common() -> frozenset[str]:
    """Ten thousand common passwords of 8 characters or more, in lower case."""
    return frozenset(files("fitness.domain.model").joinpath("common_passwords.txt").read_text("utf-8").split())
