"""Inserting an activity once for each Idempotency-Key."""

import msgspec

from fitness.adapters.postgres.activity_inserts import ActivityInserts
from fitness.adapters.postgres.database import Connection, fetch_one
from fitness.domain.model.activities import Activity
from fitness.domain.model.refusals import IdempotencyKeyReused, IdempotentRequestInFlight
from fitness.ports.activities import KEPT_FOR, Created
from fitness.ports.messages import IdempotencyKey, Messages

# A lock on the key alone: a request that does not get it knows that the first one is still running.
LOCK_KEY = """
    SELECT pg_try_advisory_xact_lock(hashtextextended(%(key)s, %(user_id)s))
"""

FORGET_KEYS = """
    DELETE FROM idempotency_keys
    WHERE user_id = %(user_id)s AND created_at <= %(expired)s
"""

GET_ANSWER = """
    SELECT fingerprint, answer::text
    FROM idempotency_keys
    WHERE user_id = %(user_id)s AND key = %(key)s AND created_at > %(expired)s
"""

KEEP_ANSWER = """
    INSERT INTO idempotency_keys (user_id, key, fingerprint, activity_id, answer, created_at)
    VALUES (%(user_id)s, %(key)s, %(fingerprint)s, %(activity_id)s, %(answer)s, %(created_at)s)
"""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Activity).decode


async def insert_once(
    inserts: ActivityInserts,
    connection: Connection,
    activity: Activity,
    messages: Messages,
    idempotency: IdempotencyKey,
) -> Created:
    """Insert it in the transaction of `connection`, unless a request with its key has done so before.

    Raises IdempotencyKeyReused, IdempotentRequestInFlight, and psycopg's Error.

    The lock is held until the transaction ends, so that of many requests with one key exactly one inserts, and
    the others are refused while it runs and read its answer afterwards.
    """
    named = {"user_id": activity.user_id, "key": idempotency.value}
    if await fetch_one(connection, LOCK_KEY, named) != (True,):
        raise IdempotentRequestInFlight
    expired = named | {"expired": activity.created_at - KEPT_FOR}
    answer = await fetch_one(connection, GET_ANSWER, expired)
    if answer is not None:
        fingerprint, text = answer
        if fingerprint != idempotency.fingerprint:
            raise IdempotencyKeyReused
        return Created(_decode(text), replayed=True)
    kept = await inserts.on(connection, activity, messages)
    # After the insert, which locks the user's counter: a purge also locks the counter before the keys that it deletes.
    await connection.execute(FORGET_KEYS, expired)
    answer_kept = {
        "fingerprint": idempotency.fingerprint,
        "activity_id": kept.id,
        "answer": _encode(kept).decode(),
        "created_at": activity.created_at,
    }
    await connection.execute(KEEP_ANSWER, named | answer_kept)
    return Created(kept)
