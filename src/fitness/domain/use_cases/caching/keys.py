"""What is cached: scopes, key names and times to live. The README's table lists the same."""

import hashlib
from datetime import date
from functools import lru_cache

from fitness.domain.model.activities import Activity
from fitness.domain.model.listings import ActivityFilter, Listing, Page
from fitness.domain.model.photos import Photos
from fitness.domain.model.statistics import Statistics, StatisticsFilter
from fitness.domain.model.tags import Tags
from fitness.domain.model.users import Calendar, Standing
from fitness.ports.cache import CacheKey, Scope

ACTIVITY_TTL_S = 5 * 60
LISTING_TTL_S = 2 * 60
STATISTICS_TTL_S = 5 * 60
ACCOUNT_TTL_S = 60 * 60

USER = "user"

KEYS_REMEMBERED = 10_000
"""Keys of activities that are kept in memory, for activities that are read again and again."""

KINDS = ("activity", "listing", "stats", "tags", "photos")
"""The names under which the reads of users are counted."""


def activity_scope(activity_id: int) -> Scope:
    return Scope("activity", activity_id)


def user_scope(user_id: int) -> Scope:
    """The scope of everything made from all of a user's activities: pages, filters, statistics."""
    return Scope(USER, user_id)


def account_scope(user_id: int) -> Scope:
    """The scope of everything made from a user's account: standing, time zone and calendar."""
    return Scope("account", user_id)


# Braces are literal: the cluster hash tag, which puts a value and its generation into the same slot.


@lru_cache(maxsize=KEYS_REMEMBERED)
def activity_key(activity_id: int) -> CacheKey[Activity]:
    return CacheKey(f"activity:{{{activity_id}}}", activity_scope(activity_id), ACTIVITY_TTL_S, Activity, "activity")


def listing_key(user_id: int, which: ActivityFilter, page: Page) -> CacheKey[Listing[Activity]]:
    name = f"activities:user:{{{user_id}}}:page:{page.number}:limit:{page.limit}"
    if which != ActivityFilter() or page.after or not page.counted:
        name += ":" + hashlib.sha256(repr((which, page.after, page.counted)).encode()).hexdigest()[:32]
    return CacheKey(name, user_scope(user_id), LISTING_TTL_S, Listing[Activity], "listing")


def statistics_key(user_id: int, which: StatisticsFilter, today: date) -> CacheKey[Statistics]:
    digest = hashlib.sha256(repr((which, today)).encode()).hexdigest()[:32]
    return CacheKey(f"stats:user:{{{user_id}}}:{digest}", user_scope(user_id), STATISTICS_TTL_S, Statistics, "stats")


def tags_key(user_id: int) -> CacheKey[Tags]:
    return CacheKey(f"tags:user:{{{user_id}}}", user_scope(user_id), STATISTICS_TTL_S, Tags, "tags")


def photos_key(activity_id: int) -> CacheKey[Photos]:
    """The key is in the activity's scope, so that photos are hidden, shown and deleted together with the activity."""
    return CacheKey(f"photos:activity:{{{activity_id}}}", activity_scope(activity_id), ACTIVITY_TTL_S, Photos, "photos")


def standing_key(user_id: int) -> CacheKey[Standing]:
    """The absence of an account is cached, too: its tokens are then refused without asking the database."""
    return CacheKey(f"user:{{{user_id}}}:standing", account_scope(user_id), ACCOUNT_TTL_S, Standing, "tier")


def timezone_key(user_id: int) -> CacheKey[str]:
    """The profile's time zone, which is the zone of activities that state none."""
    return CacheKey(f"user:{{{user_id}}}:timezone", account_scope(user_id), ACCOUNT_TTL_S, str, "timezone")


def calendar_key(user_id: int) -> CacheKey[Calendar]:
    """The calendar by which a person's statistics count days."""
    return CacheKey(f"user:{{{user_id}}}:calendar", account_scope(user_id), ACCOUNT_TTL_S, Calendar, "calendar")
