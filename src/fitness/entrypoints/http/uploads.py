"""Files that are uploaded as a field of a multipart form."""

from typing import Any

from litestar import Request
from litestar.datastructures import UploadFile
from litestar.enums import RequestEncodingType

from fitness.domain.model.refusals import FieldProblem, InvalidFields
from fitness.entrypoints.http.problems import MalformedRequest, UnsupportedMediaType

UPLOAD_FIELD = "file"
MULTIPART_OVERHEAD_BYTES = 100_000
"""What a form may hold beside the file."""


async def uploaded_file(request: Request[Any, Any, Any]) -> bytes:
    """Raises UnsupportedMediaType, MalformedRequest, InvalidFields."""
    media_type, _ = request.content_type
    if media_type != RequestEncodingType.MULTI_PART:
        raise UnsupportedMediaType(
            f"this route reads {RequestEncodingType.MULTI_PART.value} with a field `{UPLOAD_FIELD}`"
        )
    try:
        file = (await request.form()).get(UPLOAD_FIELD)
    except (LookupError, UnicodeError) as error:  # a part names an encoding that does not exist
        raise MalformedRequest("the form's parts cannot be decoded") from error
    if not isinstance(file, UploadFile):
        raise InvalidFields(FieldProblem(UPLOAD_FIELD, "is required, as an uploaded file"))
    return await file.read()
