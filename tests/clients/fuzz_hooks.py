"""Whom schemathesis asks as: an admin, who logs in anew wherever a request has ended the session.

Some requests end every session, change the password, take the role away or delete the account, as they should. Then
it is another admin. The command FUZZED_WITH is run in the environment of the service.
"""

import os
import subprocess
from itertools import count
from typing import Any

import requests
import schemathesis
from schemathesis import AuthContext, Case

API = os.environ["FUZZED_URL"] + "/api/v1"
PASSWORD = os.environ["FUZZED_PASSWORD"]
PATIENCE_S = 60

_numbers = count(1)


@schemathesis.auth(retry_on=[401])
class Admin:
    """The role may be lost without a 401, so a token is not used for long."""

    def __init__(self) -> None:
        self._email = ""

    def get(self, case: Case, context: AuthContext) -> str:
        token = self._login()
        while token is None:
            self._email = f"admin{next(_numbers)}@example.org"
            created = [os.environ["FUZZED_WITH"], "users", "create", self._email, "--admin", "--password", PASSWORD]
            subprocess.run(created, check=True, capture_output=True, timeout=PATIENCE_S)
            token = self._login()
        return token

    def set(self, case: Case, data: str, context: AuthContext) -> None:
        case.headers["Authorization"] = f"Bearer {data}"

    def _login(self) -> str | None:
        """An access token of an account that is still an admin's."""
        login = requests.post(
            f"{API}/auth/login", json={"email": self._email, "password": PASSWORD}, timeout=PATIENCE_S
        )
        if login.status_code != 200:
            return None
        token: str = login.json()["access_token"]
        me: dict[str, Any] = requests.get(
            f"{API}/users/me", headers={"Authorization": f"Bearer {token}"}, timeout=PATIENCE_S
        ).json()
        return token if me["role"] == "admin" else None
