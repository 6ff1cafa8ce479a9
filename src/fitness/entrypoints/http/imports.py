"""/activities/import: recorded files become activities."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from msgspec import Meta

from fitness.domain.model.activities import Activity
from fitness.domain.model.api_keys import ApiScope
from fitness.domain.model.file_refusals import RecordingRefused
from fitness.domain.model.originals import UploadedFile
from fitness.domain.model.rate_limits import Action, RateLimited
from fitness.domain.model.refusals import (
    DuplicateActivity,
    FieldProblem,
    IdempotencyKeyReused,
    IdempotentRequestInFlight,
    InvalidFields,
    MatchedOn,
    Refusal,
)
from fitness.domain.model.twins import OnDuplicate
from fitness.domain.model.users import Caller
from fitness.domain.use_cases.importing import ImportedFile, ImportService
from fitness.entrypoints.http.charging import Charging
from fitness.entrypoints.http.gate import requester_of
from fitness.entrypoints.http.idempotency import IDEMPOTENT, idempotency_key
from fitness.entrypoints.http.problems import kind_of
from fitness.entrypoints.http.queries import read_query
from fitness.entrypoints.http.routes import Access, Route
from fitness.entrypoints.http.uploads import MAX_UPLOAD_BYTES, UPLOAD_FIELD, UploadSpace, uploaded_files
from fitness.ports.messages import IdempotencyKey
from fitness.ports.outages import ObjectsUnavailable, Outage, ReaderUnavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportQuery:
    on_duplicate: Annotated[
        OnDuplicate,
        Meta(
            description="What to do with an activity that is there already: `refuse` the file with 409, `skip` the "
            "activity, or `keep` both, which the very same file never is."
        ),
    ] = OnDuplicate.REFUSE


class Outcome(StrEnum):
    """What came of a file: activities, none since all of them were there already, or a problem."""

    IMPORTED = "imported"
    SKIPPED = "skipped"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFile:
    """Why a file made no activity: what its own request would have been answered."""

    status: int
    """The HTTP status."""
    code: str
    """Stable, as in a problem."""
    detail: str
    """A sentence for a person."""
    errors: tuple[FieldProblem, ...] = ()
    """On invalid_fields: each thing wrong, by field."""
    existing_id: int | None = None
    """On duplicate_activity: the activity that is there."""
    matched_on: MatchedOn | None = None
    """On duplicate_activity: what both have in common."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileResult:
    """What came of one file of the form."""

    file_name: str | None
    """As the form calls it."""
    outcome: Outcome
    activity_ids: tuple[int, ...] = ()
    """Those that it made, in its order."""
    existing_ids: tuple[int, ...] = ()
    """The activities that were there already, and in whose favour others were skipped."""
    warnings: tuple[str, ...] = ()
    """What was left out of the file."""
    recovered: bool = False
    """Some of it was made of the points of a file that is damaged or was never finished."""
    problem: RefusedFile | None = None
    """Why it is refused."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of all files, and of each in their order."""

    items: tuple[Activity, ...]
    """The activities that were made."""
    warnings: tuple[str, ...]
    """What was left out of the files, in sentences."""
    results: tuple[FileResult, ...]
    """One for each file of the form."""


@post(
    "/import",
    request_max_body_size=MAX_UPLOAD_BYTES,
    opt=Route(
        access=Access.ACCOUNT,
        scope=ApiScope.ACTIVITIES_WRITE,
        action=Action.IMPORT,
        refuses=(
            DuplicateActivity,
            IdempotencyKeyReused,
            IdempotentRequestInFlight,
            RecordingRefused,
            ReaderUnavailable,
            ObjectsUnavailable,
        ),
        query=ImportQuery,
        headers=IDEMPOTENT,
        upload=UPLOAD_FIELD,
        several=True,
        sends=("Idempotent-Replayed",),
        also={200: Imported},
    ).opt,
)
async def import_file(
    request: Request[Caller, Any, Any],
    imports: NamedDependency[ImportService],
    upload_space: NamedDependency[UploadSpace],
    charging: NamedDependency[Charging],
) -> Response[Imported]:
    """Make activities of FIT, GPX or TCX files, plain or gzipped, 25 MB in all: one for each session in them.

    At most 50 come of a file. The `import` limit counts them; a file of which none comes counts as one. One file that
    is refused is answered as a problem. Of several, each is imported or refused by itself, and the answer says how. 200
    instead of 201 means that no activity was made. With an `Idempotency-Key`, each file of the form makes its
    activities once, however often it is sent.
    """
    query, key = read_query(request, ImportQuery), idempotency_key(request)

    async def charge_rest(cost: int) -> None:
        await charging.charge_rest(Action.IMPORT, requester_of(request), request.scope, cost=cost)

    charges = _Charges(charge_rest)

    async def import_one(file: UploadedFile, named: IdempotencyKey | None) -> ImportedFile:
        return await imports.import_file(
            file, by=request.user, charge=charges.charge, on_duplicate=query.on_duplicate, idempotency=named
        )

    with upload_space.upload(request.user.id) as upload:
        files = await uploaded_files(request, upload)
        names = [_named(key, number, file) for number, file in enumerate(files, 1)]
        if len(files) == 1:
            return _answer(files, [await import_one(files[0], names[0])])
        made: list[ImportedFile | Refusal | Outage] = []
        for file, named in zip(files, names, strict=True):
            try:
                made.append(await import_one(file, named))
            except (Refusal, Outage) as error:
                made.append(error)
            await charges.end_file()
        return _answer(files, made)


class _Charges:
    """Charges each file's activities. The request was charged as 1, which pays for one activity of the first file."""

    def __init__(self, charge_rest: Callable[[int], Awaitable[None]]) -> None:
        """`charge_rest` takes a cost of which 1 was charged before."""
        self._charge_rest = charge_rest
        self._paid = 1
        self._charged = False

    async def charge(self, activities: int) -> None:
        """Raises RateLimited."""
        self._charged = True
        cost, self._paid = activities + 1 - self._paid, 0
        await self._charge_rest(cost)

    async def end_file(self) -> None:
        """A file that was refused before it was charged counts as one."""
        if not self._charged:
            with suppress(RateLimited):
                await self.charge(1)
        self._charged = False


def _named(key: str | None, number: int, file: UploadedFile) -> IdempotencyKey | None:
    """The key of one file of the form. From the second file on it holds a blank, which no key of a client may hold."""
    if key is None:
        return None
    return IdempotencyKey(key if number == 1 else f"{key} {number}", hashlib.sha256(file.content).hexdigest())


def _answer(files: Sequence[UploadedFile], made: Sequence[ImportedFile | Refusal | Outage]) -> Response[Imported]:
    imported = [one for one in made if isinstance(one, ImportedFile)]
    body = Imported(
        tuple(activity for one in imported for activity in one.activities),
        tuple(warning for one in imported for warning in one.warnings),
        tuple(_result(file, one) for file, one in zip(files, made, strict=True)),
    )
    replayed = bool(imported) and all(one.replayed for one in imported)
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return Response(body, status_code=201 if body.items else 200, headers=headers)


def _result(file: UploadedFile, made: ImportedFile | Refusal | Outage) -> FileResult:
    if not isinstance(made, ImportedFile):
        return FileResult(file_name=file.name, outcome=Outcome.REFUSED, problem=_refused(made))
    return FileResult(
        file_name=file.name,
        outcome=Outcome.IMPORTED if made.activities else Outcome.SKIPPED,
        activity_ids=tuple(one.id for one in made.activities),
        existing_ids=made.existing,
        warnings=made.warnings,
        recovered=made.recovered,
    )


def _refused(error: Refusal | Outage) -> RefusedFile:
    kind = kind_of(type(error), "POST")
    duplicate = error if isinstance(error, DuplicateActivity) else None
    return RefusedFile(
        status=kind.status,
        code=kind.code,
        detail=str(error) or kind.title,
        errors=error.problems if isinstance(error, InvalidFields) else (),
        existing_id=duplicate.existing_id if duplicate else None,
        matched_on=duplicate.matched_on if duplicate else None,
    )
