"""Checks whether a Redis is set up for its purpose: cached copies that may be lost, or state that must be kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from fitness.adapters.redis.client import AnyRedis
from fitness.ports.health import Finding, Verdict

Settings = Mapping[str, str]

GOOD, DOUBTFUL, WRONG = Verdict


class RedisDiagnosis:
    """Checks the settings of every server behind `redis` by `rules`."""

    def __init__(self, redis: AnyRedis, rules: Callable[[Settings], Sequence[Finding]]) -> None:
        self._redis = redis
        self._rules = rules

    async def diagnose(self) -> Sequence[Finding]:
        try:
            servers = await self._asked(self._redis.info, "server")
            found = [Finding(GOOD, f"{name} answers, {_version(server)}") for name, server in servers.items()]
            settings = await self._asked(self._redis.config_get, "*")
        except ResponseError as error:
            return [Finding(DOUBTFUL, f"does not show its settings, so they go unchecked: {error}")]
        except (RedisError, RedisClusterException, OSError) as error:
            return [Finding(WRONG, f"does not answer: {error}")]
        return found + [finding for one in settings.values() for finding in self._rules(one)]

    async def _asked(self, command: Callable[..., Any], what: str) -> dict[str, Any]:
        """Each server's answer by the server's name."""
        if isinstance(self._redis, RedisCluster):
            answers: dict[str, Any] = await command(what, target_nodes=RedisCluster.PRIMARIES)
            return answers
        return {"it": await command(what)}


def cache_rules(settings: Settings) -> list[Finding]:
    limit = int(settings["maxmemory"])
    policy = settings["maxmemory-policy"]
    findings = []
    if limit:
        findings.append(Finding(GOOD, f"maxmemory is {limit // 1024**2} MB"))
    else:
        findings.append(Finding(WRONG, "maxmemory is not set: it grows until the machine has no memory left"))
    if policy == "noeviction":
        findings.append(Finding(WRONG, "maxmemory-policy is noeviction: once full it takes no copies; set allkeys-lru"))
    else:
        findings.append(Finding(GOOD, f"maxmemory-policy is {policy}"))
    if kept := _persistence(settings):
        findings.append(
            Finding(
                DOUBTFUL,
                f"{kept}: writing to disk delays answers, and what a restart loads is never read; set save '' and "
                "appendonly no",
            )
        )
    else:
        findings.append(Finding(GOOD, "nothing is kept on disk"))
    return findings


def state_rules(settings: Settings) -> list[Finding]:
    policy = settings["maxmemory-policy"]
    findings = []
    if policy == "noeviction":
        findings.append(Finding(GOOD, "maxmemory-policy is noeviction"))
    else:
        findings.append(
            Finding(WRONG, f"maxmemory-policy is {policy}: once full it forgets limits and sessions; set noeviction")
        )
    if settings["appendonly"] != "yes":
        findings.append(Finding(WRONG, "appendonly is off: a restart logs everybody out; set appendonly yes"))
    elif settings["appendfsync"] == "no":
        findings.append(Finding(DOUBTFUL, "appendfsync is no: a crash may lose half a minute; set everysec"))
    else:
        findings.append(Finding(GOOD, f"appendonly is on, appendfsync is {settings['appendfsync']}"))
    return findings


def _persistence(settings: Settings) -> str:
    kept = [f"save is {settings['save']!r}"] if settings["save"] else []
    kept += ["appendonly is on"] if settings["appendonly"] == "yes" else []
    return " and ".join(kept)


def _version(server: Mapping[str, Any]) -> str:
    name = "Valkey" if "valkey_version" in server else "Redis"
    return f"{name} {server.get('valkey_version', server['redis_version'])}"
