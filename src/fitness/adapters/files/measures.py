"""Measurements as devices give them, without impossible values."""

from collections.abc import Sequence


def heart_rate(bpm: float | None) -> int | None:
    """None where no sensor was worn, which devices write as 0, or where the value is impossible."""
    return round(bpm) if bpm is not None and 20 <= bpm <= 250 else None


def heart_rates(samples_bpm: Sequence[float]) -> tuple[int | None, int | None]:
    """Average and maximum of the samples that a sensor can have sent."""
    real = [bpm for bpm in samples_bpm if heart_rate(bpm) is not None]
    return (round(sum(real) / len(real)), round(max(real))) if real else (None, None)
