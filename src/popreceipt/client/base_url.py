"""The root that a caller knows an environment by, taken apart. It asks nobody whether it is there."""

from urllib.parse import urlsplit

from popreceipt.exceptions import UsageError


def split_base(url: str) -> tuple[str, str]:
    """Scheme with authority, and the path that stands before every other (empty as a rule).

    Raises:
        UsageError: it is no http or https URL.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no base URL: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is no base URL: it should look like https://host:port.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host if port is None else f"{host}:{port}"
    return f"{parts.scheme}://{authority}", parts.path.rstrip("/")
