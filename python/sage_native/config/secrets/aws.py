"""Secrets in AWS Secrets Manager.

The secret ``signing-key`` is the one called ``sage/signing-key`` there, in its current version
(``AWSCURRENT``). Binary secrets are taken as they are, text as its UTF-8; what is set becomes a
binary one. Credentials are found where AWS's own tools find them: environment, profile, web
identity, the roles of containers and instances. The role needs ``secretsmanager:GetSecretValue``,
and ``PutSecretValue`` and ``CreateSecret`` if secrets are set.

The AWS library writes whole requests and answers to its log at level DEBUG. So its loggers are kept
at INFO or above from the first call on, in the whole process.

Nothing that the library raises is kept as a cause, and of its errors only the code is shown: a text
may quote what was sent.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from sage_native.config.secrets.base import SecretProvider
from sage_native.config.secrets.endpoints import checked_endpoint
from sage_native.config.secrets.errors import (
    SecretNotFoundError,
    SecretRefusedError,
    SecretUnavailableError,
)
from sage_native.exceptions import ConfigurationError, ConflictError

if TYPE_CHECKING:
    from sage_native.exceptions import SageError

__all__ = ["AwsProvider"]

_MAX_TRIES = 2
_NOT_THERE = {"ResourceNotFoundException"}
_DELETED = {"InvalidRequestException"}
_REFUSED = {
    "AccessDenied",
    "AccessDeniedException",
    "DecryptionFailure",
    "EncryptionFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidParameterException",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "NotAuthorized",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "ValidationException",
}
_THROTTLED = {
    "LimitExceededException",
    "RequestLimitExceeded",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
_GARBAGE = "ResponseParserError"
_NO_CREDENTIALS = {"NoCredentialsError", "PartialCredentialsError", "NoAuthTokenError"}


class AwsProvider(SecretProvider):
    """Reads and writes secrets of one region of AWS Secrets Manager.

    Args:
        region: What the environment or the profile says if left out.
        prefix: What stands before the names.
        endpoint_url: Another address than the region's; ``http`` on loopback only.
        timeout_s: For one call with all its tries, in seconds.

    Raises:
        ConfigurationError: One of these is not of its form.
    """

    name = "aws-secrets"

    def __init__(
        self,
        *,
        region: str | None = None,
        prefix: str = "sage/",
        endpoint_url: str | None = None,
        timeout_s: float = 5.0,
    ) -> None:
        self._region = region
        self._prefix = prefix
        self._endpoint_url = endpoint_url and checked_endpoint(
            endpoint_url, setting="secrets.aws_endpoint_url"
        )
        self._timeout_s = timeout_s
        self._opening = asyncio.Lock()
        self._open = AsyncExitStack()
        self._client: Any = None

    def place(self, name: str) -> str:
        """Return how errors call the place of a secret."""
        return f"AWS secret '{self._prefix}{name}'"

    async def aclose(self) -> None:
        """Close connections."""
        self._client = None
        await self._open.aclose()

    async def _read(self, name: str) -> bytes:
        answer = await self._ask("get_secret_value", SecretId=self._prefix + name)
        if isinstance(answer, str):
            raise self._trouble(answer, name, doing="read")
        binary: bytes | None = answer.get("SecretBinary")
        text: str | None = answer.get("SecretString")
        if binary is None and text is None:
            raise self._trouble(_GARBAGE, name, doing="read")
        return binary or str(text).encode()

    async def _write(self, name: str, value: bytes, *, only_new: bool) -> None:
        full_name = self._prefix + name
        answer: dict[str, Any] | str = "ResourceNotFoundException"
        if not only_new:
            answer = await self._ask("put_secret_value", SecretId=full_name, SecretBinary=value)
        if isinstance(answer, str) and answer in _NOT_THERE:
            answer = await self._ask("create_secret", Name=full_name, SecretBinary=value)
        if answer == "ResourceExistsException":
            raise ConflictError(
                f"secret '{name}' was not written: somebody else made {self.place(name)} before"
            )
        if isinstance(answer, str):
            raise self._trouble(answer, name, doing="written")
        if "VersionId" not in answer:
            raise self._trouble(_GARBAGE, name, doing="written")

    async def _ask(self, operation: str, **parameters: object) -> dict[str, Any] | str:
        """Return the answer, or the code of the error."""
        errors = importlib.import_module("botocore.exceptions")
        try:
            async with asyncio.timeout(self._timeout_s):
                client = await self._opened()
                answer: dict[str, Any] = await getattr(client, operation)(**parameters)
                return answer
        except TimeoutError:
            return "timeout"
        except errors.ClientError as error:
            code: str = error.response.get("Error", {}).get("Code", "")
            return code if code.isalnum() else "an error without a code"
        except errors.BotoCoreError as error:
            return type(error).__name__

    async def _opened(self) -> Any:  # noqa: ANN401 - the client is made of a description
        """Return the client; the first call makes it, which takes a tenth of a second."""
        async with self._opening:
            if self._client is None:
                session = importlib.import_module("aiobotocore.session").get_session()
                config = importlib.import_module("aiobotocore.config").AioConfig(
                    connect_timeout=self._timeout_s,
                    read_timeout=self._timeout_s,
                    retries={"mode": "standard", "total_max_attempts": _MAX_TRIES},
                )
                self._client = await self._open.enter_async_context(
                    session.create_client(
                        "secretsmanager",
                        region_name=self._region,
                        endpoint_url=self._endpoint_url,
                        config=config,
                    )
                )
                _hush()
            return self._client

    def _trouble(self, code: str, name: str, *, doing: str) -> SageError:
        what = f"secret '{name}' was not {doing}"
        if code in _NOT_THERE:
            return SecretNotFoundError(
                f"secret '{name}' is not there: {self.place(name)} does not exist in this region"
            )
        if code in _DELETED:
            kind = SecretNotFoundError if doing == "read" else SecretRefusedError
            return kind(
                f"{what}: {self.place(name)} is to be deleted; aws secretsmanager restore-secret "
                f"--secret-id {self._prefix}{name} brings it back"
            )
        if code in _REFUSED:
            return SecretRefusedError(
                f"{what}: AWS refuses it ({code}); check credentials and policy for "
                f"{self.place(name)}, and for its KMS key"
            )
        if code in _NO_CREDENTIALS:
            return SecretRefusedError(f"{what}: no AWS credentials were found ({code})")
        if code == "NoRegionError":
            return ConfigurationError("no AWS region: set secrets.aws_region")
        return self._unavailable(code, what)

    def _unavailable(self, code: str, what: str) -> SecretUnavailableError:
        if code in {"timeout", "ConnectTimeoutError", "ReadTimeoutError"}:
            return SecretUnavailableError(
                f"{what}: AWS did not answer within {self._timeout_s:g} s (secrets.timeout)",
                reason="timeout",
            )
        if code in _THROTTLED:
            return SecretUnavailableError(
                f"{what}: AWS has too many requests ({code})", reason="throttled"
            )
        if code in {"EndpointConnectionError", "SSLError", "ProxyConnectionError"}:
            return SecretUnavailableError(
                f"{what}: AWS cannot be reached ({code})", reason="unreachable"
            )
        if code == _GARBAGE:
            return SecretUnavailableError(
                f"{what}: what answers does not speak Secrets Manager's protocol; check "
                "secrets.aws_endpoint_url",
                reason="garbage",
            )
        return SecretUnavailableError(f"{what}: AWS answers {code}", reason="failed")


def _hush() -> None:
    for name in ("botocore", "aiobotocore", *logging.root.manager.loggerDict):
        if name.partition(".")[0] in {"botocore", "aiobotocore"}:
            logger = logging.getLogger(name)
            if logger.level < logging.INFO:
                logger.setLevel(logging.INFO)
