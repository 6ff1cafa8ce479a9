"""A round of an account with the generated Python client: python round.py http://127.0.0.1:8000"""

import datetime as dt
import sys
from http import HTTPStatus
from io import BytesIO

from fitness_client import AuthenticatedClient, Client
from fitness_client.api.accounts import get_me, login, register, update_me
from fitness_client.api.activities import (
    create_activity,
    delete_activity,
    get_activity,
    import_file,
    list_activities,
    list_trash,
    restore_activity,
    update_activity,
)
from fitness_client.models import (
    Activity,
    ActivityList,
    ActivityType,
    DetailsChanges,
    Imported,
    ImportFileBody,
    Login,
    LoginTokens,
    NewActivity,
    Problem,
    ProfileChanges,
    Registration,
    TrashedActivityList,
    User,
)
from fitness_client.types import File

START = dt.datetime(2026, 5, 1, 8, tzinfo=dt.timezone(dt.timedelta(hours=2)))
TRACK = """<gpx xmlns="http://www.topografix.com/GPX/1/1" version="1.1" creator="round"><trk><trkseg>
<trkpt lat="48.85" lon="2.35"><time>2026-05-02T08:00:00Z</time></trkpt>
<trkpt lat="48.86" lon="2.35"><time>2026-05-02T08:10:00Z</time></trkpt>
</trkseg></trk></gpx>"""


def logged_in(url: str) -> AuthenticatedClient:
    anonymous = Client(base_url=url)
    person = Registration(email="python@example.org", password="twice round the lake", timezone="Europe/Paris")
    opened = register.sync(client=anonymous, body=person)
    assert isinstance(opened, User)
    tokens = login.sync(client=anonymous, body=Login(email=person.email, password=person.password))
    assert isinstance(tokens, LoginTokens)
    return AuthenticatedClient(base_url=url, token=tokens.access_token)


def round_of(client: AuthenticatedClient) -> None:
    renamed = update_me.sync(client=client, body=ProfileChanges(name="Ann"))
    me = get_me.sync(client=client)
    assert isinstance(renamed, User)
    assert isinstance(me, User)
    assert me.name == renamed.name == "Ann"
    unmet = update_me.sync(client=client, body=ProfileChanges(name="Eve"), if_match='"another"')
    assert isinstance(unmet, Problem)
    assert unmet.code == "version_mismatch"

    run = NewActivity(activity_type=ActivityType.RUN, activity_date=START, duration_minutes=42.5, distance_km=9.1)
    answer = create_activity.sync_detailed(client=client, body=run, idempotency_key="round-1")
    made = answer.parsed
    assert answer.status_code == HTTPStatus.CREATED
    assert isinstance(made, Activity)
    assert answer.headers["Location"] == f"/api/v1/activities/{made.id}"

    track = ImportFileBody(file=[File(payload=BytesIO(TRACK.encode()), file_name="morning.gpx")])
    imported = import_file.sync(client=client, body=track)
    assert isinstance(imported, Imported)
    assert imported.items[0].distance_km is not None

    listed = list_activities.sync(client=client, type_=[ActivityType.RUN], limit=1)
    assert isinstance(listed, ActivityList)
    assert [one.id for one in listed.items] == [made.id]

    changed = update_activity.sync(
        made.id, client=client, body=DetailsChanges(title="Twice", distance_km=None), if_match='"1"'
    )
    assert isinstance(changed, Activity)
    assert (changed.title, changed.distance_km, changed.version) == ("Twice", None, 2)
    stale = update_activity.sync(made.id, client=client, body=DetailsChanges(title="x"), if_match='"1"')
    assert isinstance(stale, Problem)
    assert (stale.status, stale.code) == (412, "version_mismatch")
    wrong = update_activity.sync(made.id, client=client, body=DetailsChanges(duration_minutes=0))
    assert isinstance(wrong, Problem)
    assert wrong.errors
    assert wrong.errors[0].field == "duration_minutes"

    assert delete_activity.sync_detailed(made.id, client=client).status_code == HTTPStatus.NO_CONTENT
    gone = get_activity.sync(made.id, client=client)
    assert isinstance(gone, Problem)
    assert gone.restore == f"/api/v1/activities/{made.id}/restore"
    trash = list_trash.sync(client=client)
    assert isinstance(trash, TrashedActivityList)
    assert trash.items[0].purge_at > trash.items[0].updated_at
    back = restore_activity.sync(made.id, client=client)
    assert isinstance(back, Activity)
    assert back.deleted_at is None
    assert back.activity_date == START


if __name__ == "__main__":
    round_of(logged_in(sys.argv[1]))
