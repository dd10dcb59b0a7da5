"""How the issuer says no: the error object of Microsoft Entra's token endpoint.

It knows the shape and the numbers (Microsoft's article "Microsoft Entra authentication and authorization error
codes"), not when to say which. The sentences are our own.
"""

from popreceipt.clock import Clock
from popreceipt.emulator.http import Response
from popreceipt.emulator.identity.directory import guid

MISSING_PARAMETER = 900144
UNKNOWN_TENANT = 90002
SHARED_AUTHORITY = 50194
UNKNOWN_APPLICATION = 700016
WRONG_SECRET = 7000215
SECRET_NEEDED = 7000216
UNKNOWN_GRANT = 70003
UNKNOWN_RESOURCE = 500011
MALFORMED_SCOPE = 70011
SCOPE_NOT_DEFAULT = 1002012
SEVERAL_RESOURCES = 28000
UNKNOWN_USER = 50034
WRONG_PASSWORD = 50126
NOT_A_POST = 900561
MALFORMED_ASSERTION = 50027
OTHER_CLIENTS_ASSERTION = 700021
ASSERTION_FOR_OTHERS = 700023
ASSERTION_OUT_OF_TIME = 700024
WRONG_ASSERTION = 700027

_SHARED_AUTHORITIES = frozenset({"common", "organizations", "consumers"})


class Refusals:
    """Error answers of one issuer. Trace ids follow from the seed; the time is the emulator's."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._seed = seed
        self._count = 0

    def answer(
        self,
        status: int,
        error: str,
        code: int,
        sentence: str,
        correlation: str | None = None,
        *headers: tuple[str, str],
    ) -> Response:
        """An error as the token endpoint answers it.

        Args:
            status: of the HTTP answer.
            error: the OAuth error name (RFC 6749, section 5.2, and Entra's additions).
            code: the number behind AADSTS.
            sentence: what went wrong, for a person.
            correlation: the caller's own id for the request (`client-request-id`), given back where it is there.
            headers: further headers.
        """
        self._count += 1
        trace = guid(self._seed, f"trace/{self._count}")
        correlation = correlation or guid(self._seed, f"correlation/{self._count}")
        timestamp = self._clock.now().strftime("%Y-%m-%d %H:%M:%SZ")
        return Response.of_json(
            status,
            {
                "error": error,
                "error_description": (
                    f"AADSTS{code}: {sentence} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {timestamp}"
                ),
                "error_codes": [code],
                "timestamp": timestamp,
                "trace_id": trace,
                "correlation_id": correlation,
            },
            ("cache-control", "no-store, no-cache"),
            ("pragma", "no-cache"),
            *headers,
        )

    def unknown_tenant(self, tenant: str, correlation: str | None, error: str) -> Response:
        """A tenant that is not this one; the names that stand for any tenant are refused with a code of their own."""
        if tenant.lower() in _SHARED_AUTHORITIES:
            return self.answer(
                400,
                "invalid_request",
                SHARED_AUTHORITY,
                f"The application belongs to one tenant: use that tenant's endpoint instead of /{tenant}.",
                correlation,
            )
        return self.answer(
            400, error, UNKNOWN_TENANT, f"There is no tenant '{tenant}'. Check the tenant id.", correlation
        )
