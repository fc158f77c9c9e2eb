"""One request to Vault, over HTTP, within one deadline.

TLS is verified, always. Redirects are not followed, and proxies of the environment are not used:
either would carry the token to somebody else.

Nothing that the HTTP client raises is kept as a cause: its exceptions hold the request, and with it
the token.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2

from sage_native.config.secrets.errors import SecretUnavailableError

if TYPE_CHECKING:
    from sage_native.config.secrets.vault_token import VaultToken

__all__ = ["Answer", "VaultClient"]

_PAUSES_S = (0.05, 0.25)
"""Between tries; so there are three."""
_MAX_ANSWER_LEN = 1 << 20
# These were not carried out, so that a write may be tried again too.
_NOT_DONE = {412, 429}
_MAY_PASS = _NOT_DONE | {500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Answer:
    """What Vault said.

    Attributes:
        status: The HTTP status.
        body: JSON, if it is Vault that answered.
    """

    status: int
    body: bytes = field(repr=False)

    @property
    def is_sealed(self) -> bool:
        """Whether Vault waits for somebody to unseal it."""
        return self.status == 503 and b"sealed" in self.body


class VaultClient:
    """A pool of connections to one Vault.

    Args:
        url: Without a slash at its end.
        token: Where the token is.
        namespace: Of Vault Enterprise or OpenBao.
        timeout_s: For one request with all its tries, in seconds.
        ca_file: Certificates of authorities to trust in place of the system's.
    """

    def __init__(
        self,
        url: str,
        *,
        token: VaultToken,
        namespace: str | None,
        timeout_s: float,
        ca_file: str | None,
    ) -> None:
        self._token = token
        self._timeout_s = timeout_s
        headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
        if namespace:
            headers["X-Vault-Namespace"] = namespace
        context = ssl.create_default_context(cafile=ca_file) if ca_file else None
        self._client = httpx2.AsyncClient(
            base_url=url,
            headers=headers,
            verify=context or httpx2.create_ssl_context(),
            timeout=timeout_s,
            limits=httpx2.Limits(max_connections=8, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
        )

    async def ask(self, method: str, path: str, *, content: bytes | None = None) -> Answer:
        """Send one request, and again if it certainly was not carried out or only reads.

        Args:
            method: ``GET`` is safe to repeat, all others are not.
            path: Below the URL.
            content: JSON.

        Raises:
            SecretRefusedError: There is no token.
            SecretUnavailableError: No answer within the deadline.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                for pause_s in _PAUSES_S:
                    outcome = await self._once(method, path, content)
                    if not _is_worth_another(outcome, is_read=method == "GET"):
                        break
                    await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))  # noqa: S311 - no key
                else:
                    outcome = await self._once(method, path, content)
        except TimeoutError:
            outcome = "timeout"
        if isinstance(outcome, Answer):
            return outcome
        if outcome == "timeout":
            raise SecretUnavailableError(
                f"Vault did not answer within {self._timeout_s:g} s (secrets.timeout)",
                reason="timeout",
            )
        raise SecretUnavailableError(
            f"Vault cannot be reached (secrets.vault_url): {outcome}", reason="unreachable"
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _once(self, method: str, path: str, content: bytes | None) -> Answer | str:
        """Return the answer, or in words why there is none."""
        token = await asyncio.to_thread(self._token.read)
        answer = await self._try(method, path, content, token)
        if isinstance(answer, Answer) and answer.status == 403:
            newest = await asyncio.to_thread(self._token.read)
            if newest != token:  # renewed while the request was under way
                return await self._try(method, path, content, newest)
        return answer

    async def _try(self, method: str, path: str, content: bytes | None, token: str) -> Answer | str:
        headers = {"X-Vault-Token": token}
        if content is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._client.stream(
                method, path, content=content, headers=headers
            ) as response:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > _MAX_ANSWER_LEN:
                        break
                return Answer(response.status_code, bytes(body))
        except (httpx2.ConnectTimeout, httpx2.ConnectError, httpx2.PoolTimeout) as error:
            # The system's words, or OpenSSL's: nothing was sent yet.
            return f"not connected: {error}"
        except httpx2.TimeoutException:
            return "timeout"
        except httpx2.HTTPError as error:
            return f"connection lost: {type(error).__name__}"


def _is_worth_another(outcome: Answer | str, *, is_read: bool) -> bool:
    if isinstance(outcome, str):
        return outcome.startswith("not connected") or (is_read and outcome != "timeout")
    return outcome.status in (_MAY_PASS if is_read else _NOT_DONE) and not outcome.is_sealed
