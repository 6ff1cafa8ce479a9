"""The Idempotency-Key of a request: what makes sending it again harmless."""

import re
from typing import Any

from litestar import Request

from fitness.domain.model.refusals import FieldProblem, InvalidFields

IDEMPOTENT = {"Idempotency-Key": "A name for this request; sent again within 24 hours, it gets the first answer again."}

_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    """Raises InvalidFields."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidFields(FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))
    return key
