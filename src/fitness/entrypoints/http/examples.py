"""Examples that the reference offers to execute: each is accepted as it is, or refused as its operation documents."""

from collections.abc import Mapping
from typing import Any

from fitness.domain.model.users import EXAMPLE_PASSWORD

_ANN = {"email": "ann@example.org", "password": EXAMPLE_PASSWORD}

BODIES: Mapping[str, Any] = {
    "Registration": _ANN | {"name": "Ann", "timezone": "Europe/Paris"},
    "Login": _ANN,
    "Refresh": {"refresh_token": "the last one that you were given"},
    "PasswordChange": {"current": EXAMPLE_PASSWORD, "new": "a longer correct horse"},
    "Reset": {"reset_token": "given to you by an admin", "password": "a longer correct horse"},
    "Deletion": {"password": EXAMPLE_PASSWORD},
    "NewKey": {"name": "backup", "scopes": ["activities:read"]},
    "ProfileChanges": {"name": "Ann", "week_start": "monday"},
    "NewActivity": {
        "activity_type": "run",
        "activity_date": "2026-05-01T08:00:00+02:00",
        "duration_minutes": 42.5,
        "distance_km": 9.1,
        "title": "Around the lake",
        "tags": ["lake"],
    },
    "DetailsChanges": {"title": "Twice around the lake", "distance_km": 18.2},
    "PhotoChanges": {"caption": "The view from the top.", "position": 1},
    "TagName": {"name": "lakeside"},
    "Purge": {"reason": "Asked for by its owner."},
    "StandingChanges": {"tier": "premium"},
}
"""Example bodies, by the name of the body's class."""

PATH_EXAMPLES: Mapping[str, Any] = {
    "activity_id": 1,
    "user_id": 1,
    "photo_id": 1,
    "key_id": 1,
    "session_id": "5f0c3a9e7b1d4826a0e4c9d2f7b8163a",
    "name": "lake",
    "token": "given to you as url",
}
"""Example values of path parameters, by the parameter's name."""
