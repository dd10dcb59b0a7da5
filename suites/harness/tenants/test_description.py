"""What a table says of a tenant, and the sentences for tables that will not do."""

from collections.abc import Callable
from pathlib import Path

import pytest

from popreceipt import resources
from popreceipt.exceptions import UsageError
from popreceipt.tenants import reading
from popreceipt.tenants.description import (
    Budget,
    FromCertificate,
    FromEnvironment,
    FromKeyring,
    Tenant,
    describe,
)

Describe = Callable[..., Tenant]


def test_what_nothing_is_said_of_is_harmless(describe: Describe) -> None:
    """No activity is exclusive unless it is marked, nothing made-up may be sent, and no load."""
    tenant = describe()
    assert {role: each.exclusive for role, each in tenant.activities.items()} == {
        "export-package": True,
        "export-file": False,
        "import-file": False,
    }
    assert (tenant.fuzz, tenant.load, tenant.read_only, tenant.through_msal) == (False, False, False, False)
    assert (tenant.backlog, tenant.budget, tenant.production, tenant.hosts, tenant.rate) == (20, Budget(), None, (), 1)
    assert tenant.resource == tenant.base_url


def test_the_example_says_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that comes along describes one tenant whose endpoints are told, and one that MSAL looks up."""
    monkeypatch.setenv("POPRECEIPT_CONFIG", str(resources.fixtures() / "popreceipt.toml"))
    assert reading.names() == ("qa", "sandbox")
    told, looked_up = reading.read("qa"), reading.read("sandbox")
    assert told.budget == Budget(2000, 50, 30)
    assert told.is_exclusive("export-package")
    assert not told.is_exclusive("import-file")
    assert told.activities["import-package"].settings["processing_recurrence_minutes"] == 5
    assert looked_up.authority == "https://login.microsoftonline.com"
    assert looked_up.token_url == "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token"
    assert looked_up.clients["authorised"].credential == FromKeyring("popreceipt", "contoso-uat")
    assert looked_up.clients["unlisted"].credential == FromCertificate(
        Path("unlisted.pfx"), "CONTOSO_UNLISTED_PASSWORD"
    )
    assert not any(each.exclusive for each in looked_up.activities.values())


def test_reading_needs_no_secret(describe: Describe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever only plans has none: the description tells where it would be."""
    monkeypatch.delenv("QA_SECRET", raising=False)
    assert describe().clients["authorised"].credential == FromEnvironment("QA_SECRET")


def test_an_activity_is_found_however_its_id_is_spelt(describe: Describe) -> None:
    tenant = describe()
    found = tenant.by_id("{11111111-0000-4000-8000-000000000001}".upper())
    assert found is not None
    assert found.role == "export-package"
    assert tenant.by_id("not-a-guid") is None


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("exclusiv = true", "nobody knows 'exclusiv'"),
        ("read_onyl = true", "nobody knows 'read_onyl'"),
        ('read_only = "yes"', "read_only is true or false"),
        ("fuzz = 1", "fuzz is true or false"),
        ("backlog = -1", "backlog is a whole number, 0 or more"),
        ("backlog = 2.5", "backlog is a whole number"),
        ("backlog = true", "backlog is a whole number"),
        ("budget = { requests = 0 }", "requests is a whole number, 1 or more"),
        ("budget = { megabytes = nan }", "megabytes is a number"),
        ("budget = { minutes = inf }", "minutes is a number"),
        ("budget = { seconds = 3 }", "nobody knows 'seconds'"),
        ("budget = 3", "budget is a table"),
        ('hosts = ["https://blob.example"]', "hosts is a list of host names"),
        ('hosts = ["*"]', "hosts is a list of host names"),
        ('hosts = "blob.example"', "hosts is a list of host names"),
        ('client_secret = "hush"', "nobody knows 'client_secret'"),
        ("read_only = true\nload = true", "both read_only = true and load = true"),
        ('clock = "scaled:0"', "clock is"),
        ('clock = "scaled:inf"', "clock is"),
        ("ca = 3", "ca is a text"),
        ('ca = "a\\u0000b"', "ca is a text in one line"),
        ('production = "qa\\nexample"', "production is a text in one line"),
        (f'resource = "{"x" * 3_000}"', "resource is a text in one line"),
        (f"backlog = 1{'0' * 400}", "1000000000 at most"),
        (f"budget = {{ megabytes = 1{'0' * 400} }}", "1000000000 at most"),
        ('authority = "https://login.example"', "both authority and token_url"),
        ('client_secret_keyring = { service = "s", username = "u" }', "several credentials"),
        ("clients = { unlisted = 3 }", "clients.unlisted is a table"),
        ('clients = { stranger = { client_id = "x" } }', "no client has the role 'stranger'"),
        ('clients = { unlisted = { client_id = "x" } }', r"clients.unlisted\] in .* lacks client_secret_env"),
    ],
)
def test_a_member_that_will_not_do(describe: Describe, line: str, words: str) -> None:
    """A misspelt permit or prohibition is an error: it would say nothing."""
    with pytest.raises(UsageError, match=words):
        describe(line)


@pytest.mark.parametrize(
    ("member", "instead", "words"),
    [
        ("base_url", "", "lacks base_url"),
        ("base_url", 'base_url = "qa.example"', "base_url: .* is no base URL"),
        ("base_url", 'base_url = "https://qa.example:99999"', "base_url: .* is no base URL"),
        ("base_url", 'base_url = "https://somebody:hush@qa.example"', "base_url names somebody with an @"),
        ("base_url", 'base_url = "https://erp.operations.dynamics\u3002com"', "plain letters"),
        ("base_url", 'base_url = " https://qa.example"', "plain letters"),
        ("base_url", 'base_url = "https://erp.contoso.com\\\\.qa.example"', "plain letters"),
        ("base_url", 'base_url = "https://qa%2eexample"', "is no name"),
        ("base_url", 'base_url = "https://*.example"', "is no name"),
        ("base_url", 'base_url = "http://qa.example"', "base_url is http"),
        ("base_url", 'base_url = "http://10.0.0.5"', "base_url is http"),
        ("base_url", 'base_url = "http://[fe80::1]"', "base_url is http"),
        ("token_url", 'token_url = "http://login.example/token"', "token_url is http"),
        ("token_url", 'token_url = "https://c:hush@login.example/token"', "token_url names somebody"),
        ("token_url", 'tenant = "t"\ntoken_url_v1 = "http://login.example"', "token_url_v1 is http"),
        ("token_url", 'tenant = "t"\nauthority = "https://login.example@evil.example"', "authority names somebody"),
        ("token_url", "", "lacks token_url"),
        ("token_url", 'tenant = "a/b"', "GUID or its domain"),
        ("token_url", 'tenant = "t"\nauthority = "http://login.example"', "authority is http"),
        ("token_url", 'tenant = "t"\nauthority = "https://login.example/t"', "authority is the issuer's https://HOST"),
        ("client_id", "client_id = 3", "lacks client_id"),
        ("client_secret_env", 'client_secret = "hush"', "Secrets stay out of this file"),
        ("client_secret_env", "", "lacks client_secret_env"),
        ("client_secret_env", 'client_secret_keyring = { service = "s" }', "lacks username"),
        ("client_secret_env", 'certificate = { file = "c.pem", pasword_env = "P" }', "nobody knows 'pasword_env'"),
        ("client_secret_env", 'certificate = { file = "c.pem" }', "presented through MSAL"),
        ("export-file", 'export-file = "not-a-guid"', "needs its GUID"),
        ("export-file", "export-file = 3", "needs its GUID"),
        ("export-file", f'export-file = "11111111-0000-4000-8000-{1:012}"', "one activity two roles"),
        ("export-file", f'export-file = {{ id = "{"0" * 8}-0000-4000-8000-{1:012}", exclusive = "yes" }}', "exclusive"),
        ("export-file", f'export-file = {{ id = "{"0" * 8}-0000-4000-8000-{1:012}", exclusiv = true }}', "'exclusiv'"),
        (
            "export-file",
            f'export-file = {{ id = "{"0" * 8}-0000-4000-8000-{1:012}", direction = "import" }}',
            "is an export",
        ),
        (
            "export-file",
            f'export-file = {{ id = "{"0" * 8}-0000-4000-8000-{1:012}", processing_recurrence_minutes = 0.5 }}',
            "whole number",
        ),
    ],
)
def test_what_is_needed(describe: Describe, member: str, instead: str, words: str) -> None:
    """The sentence names table and member."""
    with pytest.raises(UsageError, match=words) as caught:
        describe(**{member: instead})
    assert "[tenant.qa" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "emulator:8080"])
def test_without_tls_only_where_nobody_reads_along(describe: Describe, host: str) -> None:
    """This computer, or a container beside it."""
    assert describe(base_url=f'base_url = "http://{host}"').base_url == f"http://{host}"


@pytest.mark.parametrize("table", [3, [], "x", {}])
def test_no_table_at_all(table: object) -> None:
    with pytest.raises(UsageError, match=r"\[tenant.qa\] in f"):
        describe("qa", table, Path("f"))


def test_a_file_is_looked_for_beside_the_description_first(describe: Describe, tmp_path: Path) -> None:
    """From the working folder otherwise."""
    assert describe('ca = "authority.pem"').ca == Path("authority.pem")
    assert describe(f'ca = "{"x" * 1_000}"').ca == Path("x" * 1_000)
    (tmp_path / "authority.pem").write_text("")
    assert describe('ca = "authority.pem"').ca == tmp_path / "authority.pem"
