"""What a table [tenant.NAME] says of a real environment: where it is, who calls, what may be touched there.

Pure: a table in, frozen values out, or a sentence that names table and member. No file is opened, no secret looked
up and nothing sent; where a secret is to be found is told, never what it is. A member that nobody knows is refused,
since a misspelt permit or prohibition would otherwise say nothing.
"""

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from popreceipt.client.base_url import split_base
from popreceipt.clock import FASTEST
from popreceipt.exceptions import UsageError
from popreceipt.vocabulary import bare_guid

AUTHORISED: Final = "authorised"
"""The role of the client that may use every activity."""

FURTHER_CLIENTS: Final = ("unlisted", "unmapped")
"""Roles of clients that must be refused: registered but on no policy, and not registered with the application."""

MICROSOFT: Final = "https://login.microsoftonline.com"
"""The authority that issues tokens where a table names a tenant and nothing else."""

BACKLOG: Final = 20
"""How many messages that a run did not cause it may find waiting, unless told."""

ROLES: Mapping[str, Mapping[str, Any]] = {
    "import-file": {"direction": "import", "type": "file"},
    "import-in-order": {"direction": "import", "type": "file", "in_order": True},
    "import-package": {"direction": "import", "type": "package"},
    "export-package": {"direction": "export", "type": "package"},
    "export-file": {"direction": "export", "type": "file"},
    "export-no-zero": {"direction": "export", "type": "package", "prevent_upload_when_zero_records": True},
    "import-disabled": {"direction": "import", "type": "file", "enabled": False},
}
"""What the name of an activity's role says of its settings; a tenant's description may say more, or otherwise."""

USUAL: Final[Mapping[str, Any]] = {
    "entity": "Customer groups",
    "format": "CSV",
    "in_order": False,
    "prevent_upload_when_zero_records": False,
    "use_company_from_message": False,
    "enabled": True,
}
"""Settings of an activity that neither its role nor its table tells."""


@dataclass(frozen=True, slots=True)
class FromEnvironment:
    """A client secret in an environment variable."""

    variable: str


@dataclass(frozen=True, slots=True)
class FromKeyring:
    """A client secret in the system's keyring, under a service and a user's name."""

    service: str
    username: str


@dataclass(frozen=True, slots=True)
class FromCertificate:
    """A file with a private key and its certificate (PEM or PFX), in place of a secret.

    `password_env` is the environment variable with the file's password, None where it has none.
    """

    file: Path
    password_env: str | None = None


Credential = FromEnvironment | FromKeyring | FromCertificate


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application, and where its credential is."""

    role: str
    client_id: str
    credential: Credential


@dataclass(frozen=True, slots=True)
class Activity:
    """A recurring data job, as its role and the table describe it.

    `exclusive`: nobody else uses it, so that what is dequeued there may be acknowledged. `settings` are the members
    that a control plane would tell of it (`id` and `name` among them), and `exclusive`.
    """

    role: str
    id: str
    exclusive: bool
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may ask of the environment at most; None where nothing is said.

    `requests` counts every request that goes out, `megabytes` what they and their answers take (a million bytes each),
    `minutes` the real time during which one was under way: what is waited does not count.
    """

    requests: int | None = None
    megabytes: float | None = None
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """One real environment.

    Args:
        name: as in `tenant:NAME`.
        where: the table and the file that say so, for sentences: `[tenant.qa] in popreceipt.toml`.
        base_url: its root.
        tenant: the Entra tenant that its clients belong to, GUID or domain; None where only endpoints are told.
        authority: who issues tokens, without the tenant; with it they are asked for through MSAL. None where
            `token_url` is told.
        token_url: the v2.0 token endpoint.
        token_url_v1: the first version's.
        resource: for whom tokens are asked for.
        clients: applications by role; `authorised` is always there.
        activities: recurring data jobs by role.
        hosts: further hosts that may be read from (where downloads lie elsewhere), with `*` for any beginning.
        ca: file with the certificate authority of a server of one's own.
        rate: seconds of its clock in a real one; 1 for a real environment.
        production: the host that may be driven although it looks like production.
        read_only: only tokens and questions: nothing is enqueued, dequeued, downloaded or acknowledged.
        fuzz: made-up requests may be sent.
        load: load may be put on it.
        backlog: how many messages that the run did not cause may be found waiting on an activity; more of them are
            somebody's, and nothing further is taken there.
        budget: how much a run may ask at most.
    """

    name: str
    where: str
    base_url: str
    tenant: str | None
    authority: str | None
    token_url: str
    token_url_v1: str | None
    resource: str
    clients: Mapping[str, Client]
    activities: Mapping[str, Activity]
    hosts: tuple[str, ...] = ()
    ca: Path | None = None
    rate: float = 1.0
    production: str | None = None
    read_only: bool = False
    fuzz: bool = False
    load: bool = False
    backlog: int = BACKLOG
    budget: Budget = Budget()

    @property
    def host(self) -> str:
        """The host of the base URL, in lower case."""
        return urlsplit(self.base_url).hostname or ""

    @property
    def through_msal(self) -> bool:
        """Whether tokens are asked for through MSAL."""
        return self.authority is not None

    @property
    def token_endpoints(self) -> tuple[str, ...]:
        """The URLs that credentials may be sent to."""
        return (self.token_url,) if self.token_url_v1 is None else (self.token_url, self.token_url_v1)

    def by_id(self, activity: str) -> Activity | None:
        """The activity of this ID, however it is spelt; None where the table names none."""
        wanted = bare_guid(activity)
        return next((each for each in self.activities.values() if each.id == wanted), None)

    def is_exclusive(self, role: str) -> bool:
        """Whether the activity of this role is marked as used by nobody else."""
        found = self.activities.get(role)
        return found is not None and found.exclusive


def describe(name: str, table: object, file: Path, place: Callable[[str], Path] = Path) -> Tenant:
    """What a table [tenant.NAME] says.

    Args:
        name: the tenant's.
        table: what the file holds under `tenant.NAME`.
        file: where that stands, for sentences.
        place: where a file lies that the table names.

    Raises:
        UsageError: a member is missing, misspelt, or says nothing that could be used.
    """
    where = f"[tenant.{name}] in {file}"
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} is no table.")
    read = _Reading(table, where)
    base_url = read.needed("base_url")
    _address(read, "base_url", base_url)
    tenant, authority, token_url, token_url_v1 = _issuer(read)
    clients = {AUTHORISED: _client(AUTHORISED, read, place)}
    for role, members in read.tables("clients").items():
        if role not in FURTHER_CLIENTS:
            raise UsageError(f"{where}: no client has the role {role!r}. Roles: {', '.join(FURTHER_CLIENTS)}.")
        further = _Reading(members, f"[tenant.{name}.clients.{role}] in {file}")
        clients[role] = _client(role, further, place)
        further.nothing_else()
    by_certificate = [role for role, each in clients.items() if isinstance(each.credential, FromCertificate)]
    if by_certificate and authority is None:
        raise UsageError(
            f"{where}: the certificate of the client {by_certificate[0]} is presented through MSAL. Name the Entra "
            "tenant in tenant (and its authority, unless it is Microsoft's) instead of token_url."
        )
    activities = {role: _activity(role, each, where) for role, each in read.table("activities").items()}
    if not activities:
        raise UsageError(f'{where} names no activities: add a table [tenant.{name}.activities] with ROLE = "GUID".')
    ids = [each.id for each in activities.values()]
    if len(set(ids)) < len(ids):
        raise UsageError(f"{where} gives one activity two roles; each role needs a recurring data job of its own.")
    ca = read.text("ca")
    found = Tenant(
        name=name,
        where=where,
        base_url=base_url,
        tenant=tenant,
        authority=authority,
        token_url=token_url,
        token_url_v1=token_url_v1,
        resource=read.text("resource") or base_url,
        clients=clients,
        activities=activities,
        hosts=_hosts(read),
        ca=None if ca is None else place(ca),
        rate=_rate(read.text("clock") or "system", where),
        production=_host_of(read.text("production")),
        read_only=read.flag("read_only"),
        fuzz=read.flag("fuzz"),
        load=read.flag("load"),
        backlog=int(read.number("backlog", least=0, whole=True) or 0) if "backlog" in table else BACKLOG,
        budget=_budget(read, f"[tenant.{name}.budget] in {file}"),
    )
    read.nothing_else()
    if found.read_only and (found.fuzz or found.load):
        also = "fuzz" if found.fuzz else "load"
        raise UsageError(f"{where} says both read_only = true and {also} = true: leave out one of them.")
    return found


def _issuer(read: "_Reading") -> tuple[str | None, str | None, str, str | None]:
    """Entra tenant, authority, and the two endpoints, told or made up of the first two."""
    tenant, authority = read.text("tenant"), read.text("authority")
    token_url, token_url_v1 = read.text("token_url"), read.text("token_url_v1")
    if authority is not None and token_url is not None:
        raise UsageError(f"{read.where} names both authority and token_url: leave out one of them.")
    if token_url is not None:
        _address(read, "token_url", token_url.partition("?")[0])
        _address(read, "token_url_v1", (token_url_v1 or token_url).partition("?")[0])
        return tenant, None, token_url, token_url_v1
    if tenant is None:
        raise UsageError(
            f"{read.where} lacks token_url; or, for tokens through MSAL, tenant: the Entra tenant's GUID or domain."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]*", tenant):
        raise UsageError(f"{read.where}: tenant is the Entra tenant's GUID or its domain, not {tenant!r}.")
    authority = (authority or MICROSOFT).rstrip("/")
    origin, path = _address(read, "authority", authority)
    if not origin.startswith("https://") or path:
        raise UsageError(
            f"{read.where}: authority is the issuer's https://HOST, the tenant stands in tenant; not {authority!r}."
        )
    if token_url_v1 is not None:
        _address(read, "token_url_v1", token_url_v1.partition("?")[0])
    return tenant, origin, f"{origin}/{tenant}/oauth2/v2.0/token", token_url_v1 or f"{origin}/{tenant}/oauth2/token"


def _address(read: "_Reading", name: str, url: str) -> tuple[str, str]:
    """Scheme with authority, and path, of an address that is meant as it reads.

    What programs read differently has no place in it, nor has what belongs nowhere in this file: a password. Without
    TLS tokens go to this computer alone, or to a name of one part: a container's beside this one.
    """
    if "@" in url:
        # Not quoted: what stands before it may be a password.
        raise UsageError(f"{read.where}: {name} names somebody with an @: leave it at https://HOST.")
    if not _PLAIN.fullmatch(url):
        raise UsageError(f"{read.where}: {name} is an address of plain letters, without blanks; not {url!r}.")
    try:
        origin, path = split_base(url)
    except UsageError as error:
        raise UsageError(f"{read.where}: {name}: {error}") from error
    host = urlsplit(origin).hostname or ""
    if not (_HOST.fullmatch(host.removesuffix(".")) and "*" not in host) and ":" not in host:
        raise UsageError(f"{read.where}: the host in {name} is no name: {host!r}.")
    if origin.startswith("http://") and not _is_near(host):
        raise UsageError(f"{read.where}: {name} is http, where tokens would be read along the way: write https.")
    return origin, path


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return "." not in host


_PLAIN: Final = re.compile(r"[!-\[\]-~]+")
"""What is printed of ASCII, but no blank and no slash the other way."""


def _client(role: str, read: "_Reading", place: Callable[[str], Path]) -> Client:
    client_id = read.needed("client_id")
    variable = read.text("client_secret_env")
    keyring = read.table("client_secret_keyring")
    certificate = read.table("certificate")
    given = [each for each in (variable, keyring, certificate) if each]
    if len(given) > 1:
        raise UsageError(
            f"{read.where} names several credentials: leave one of client_secret_env, client_secret_keyring and "
            "certificate."
        )
    if variable:
        return Client(role, client_id, FromEnvironment(variable))
    if keyring:
        told = _Reading(keyring, f"{read.where}, client_secret_keyring,")
        credential: Credential = FromKeyring(told.needed("service"), told.needed("username"))
        told.nothing_else()
        return Client(role, client_id, credential)
    if certificate:
        told = _Reading(certificate, f"{read.where}, certificate,")
        credential = FromCertificate(place(told.needed("file")), told.text("password_env"))
        told.nothing_else()
        return Client(role, client_id, credential)
    if "client_secret" in read.members:
        raise UsageError(
            f"{read.where} holds a client_secret. Secrets stay out of this file: name the environment variable that "
            "has it (client_secret_env), a keyring's entry (client_secret_keyring), or a certificate; and since it has "
            "stood in a file, make a new one."
        )
    raise UsageError(f"{read.where} lacks client_secret_env; or client_secret_keyring, or certificate.")


_SETTINGS: Final = frozenset(
    {
        "id",
        "exclusive",
        "direction",
        "type",
        "entity",
        "format",
        "in_order",
        "prevent_upload_when_zero_records",
        "use_company_from_message",
        "processing_recurrence_minutes",
        "monitoring_recurrence_minutes",
        "enabled",
    }
)

_MINUTES: Final = ("processing_recurrence_minutes", "monitoring_recurrence_minutes")


def _activity(role: str, described: object, where: str) -> Activity:
    """A recurring data job as the table describes it: its GUID, or a table with `id` and settings."""
    if role not in ROLES:
        raise UsageError(f"{where}: no activity has the role {role!r}. Roles: {', '.join(ROLES)}.")
    read = _Reading(described if isinstance(described, Mapping) else {"id": described}, f"{where}: activity {role}")
    guid = read.members.get("id")
    if not isinstance(guid, str) or not _GUID.fullmatch(bare_guid(guid)):
        raise UsageError(f"{where}: the activity {role} needs its GUID, as text or as the member id of a table.")
    read.only(_SETTINGS)
    for name in ("exclusive", "in_order", "prevent_upload_when_zero_records", "use_company_from_message", "enabled"):
        read.flag(name)
    for name in ("entity", "format"):
        read.text(name)
    for name in _MINUTES:
        read.number(name, least=1, whole=True)
    for name, words in (("direction", ("import", "export")), ("type", ("file", "package"))):
        if (word := read.text(name)) is not None and word not in words:
            raise UsageError(f"{where}: {name} of the activity {role} is {' or '.join(words)}, not {word!r}.")
    told = dict(ROLES[role]) | dict(read.members)
    if told["direction"] != ROLES[role]["direction"]:
        raise UsageError(f"{where}: the activity {role} is an {ROLES[role]['direction']}, and cannot be otherwise.")
    exclusive = read.flag("exclusive")
    settings = {"name": role, **USUAL, **told, "id": bare_guid(guid), "exclusive": exclusive}
    return Activity(role, bare_guid(guid), exclusive, settings)


_GUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _budget(read: "_Reading", where: str) -> Budget:
    told = _Reading(read.table("budget"), where)
    requests = told.number("requests", least=1, whole=True)
    megabytes, minutes = told.number("megabytes", least=0), told.number("minutes", least=0)
    told.nothing_else()
    return Budget(None if requests is None else int(requests), megabytes, minutes)


def _hosts(read: "_Reading") -> tuple[str, ...]:
    told = read.take("hosts")
    if told is None:
        return ()
    if not isinstance(told, list) or not all(isinstance(each, str) and _HOST.fullmatch(each) for each in told):
        raise UsageError(
            f"{read.where}: hosts is a list of host names, perhaps with a first part of * as in "
            '"*.blob.core.windows.net"; neither scheme, port nor path belong there.'
        )
    return tuple(each.lower() for each in told)


_HOST: Final = re.compile(r"(?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")


def _host_of(text: str | None) -> str | None:
    return None if text is None else text.strip().lower()


def _rate(clock: str, where: str) -> float:
    if clock == "system":
        return 1.0
    kind, _, rate = clock.partition(":")
    try:
        if kind == "scaled" and 0 < float(rate) <= FASTEST:
            return float(rate)
    except ValueError:
        pass
    raise UsageError(f'{where}: clock is "system" or "scaled:RATE", not {clock!r}.')


_MOST: Final = 1_000_000_000

_LONGEST_TEXT: Final = 2_000


class _Reading:
    """A table that is read member by member, so that what is left in the end was never meant to be read."""

    def __init__(self, members: Mapping[str, Any], where: str) -> None:
        self.members = members
        self.where = where
        self._known: set[str] = set()

    def take(self, name: str) -> object:
        self._known.add(name)
        return self.members.get(name)

    def text(self, name: str) -> str | None:
        value = self.take(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.where}: {name} is a text that is not empty.")
        return self._printable(name, value)

    def needed(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.where} lacks {name}.")
        return self._printable(name, value)

    def _printable(self, name: str, value: str) -> str:
        """The text, which files, headers and sentences are made of."""
        if not value.isprintable() or len(value) > _LONGEST_TEXT:
            raise UsageError(
                f"{self.where}: {name} is a text in one line, {_LONGEST_TEXT} letters long at most, without letters "
                "that cannot be seen."
            )
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name)
        if value is None:
            return False
        if not isinstance(value, bool):
            raise UsageError(f"{self.where}: {name} is true or false, without quotes.")
        return value

    def number(self, name: str, *, least: float, whole: bool = False) -> float | None:
        value = self.take(name)
        if value is None:
            return None
        fits = isinstance(value, int) if whole else isinstance(value, (int, float))
        if isinstance(value, bool) or not fits or not least <= value <= _MOST:  # type: ignore[operator]  # fits says
            what = "a whole number" if whole else "a number"
            raise UsageError(f"{self.where}: {name} is {what}, {least:g} or more (and {_MOST} at most).")
        return value  # type: ignore[return-value]  # fits says so

    def table(self, name: str) -> Mapping[str, Any]:
        value = self.take(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise UsageError(f"{self.where}: {name} is a table.")
        return value

    def tables(self, name: str) -> Mapping[str, Mapping[str, Any]]:
        found = self.table(name)
        for each, value in found.items():
            if not isinstance(value, Mapping):
                raise UsageError(f"{self.where}: {name}.{each} is a table.")
        return found

    def only(self, known: Iterable[str]) -> None:
        """Refuse members beside these."""
        self._known |= set(known)
        self.nothing_else()

    def nothing_else(self) -> None:
        """Refuse members that nobody has asked for."""
        for name in self.members:
            if name not in self._known:
                raise UsageError(f"{self.where}: nobody knows {name!r}. Known are: {', '.join(sorted(self._known))}.")
