"""The Idempotency-Key of a request, which makes it harmless to send the request again."""

import re
from typing import Any

from litestar import Request

from fitness.domain.model.fields import Says
from fitness.domain.model.refusals import FieldProblem, InvalidFields

_IDEMPOTENCY_KEY = re.compile(r"^[!-~]{1,255}$")

IDEMPOTENT = {
    "Idempotency-Key": Says(
        "A name for this request; sent again within 24 hours, it gets the first answer again.",
        pattern=_IDEMPOTENCY_KEY.pattern,
    )
}


def idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    """None if none is sent. Raises InvalidFields."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidFields(FieldProblem("Idempotency-Key", "must be 1 to 255 visible ASCII characters"))
    return key
