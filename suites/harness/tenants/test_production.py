"""Which hosts are taken for production, and the word that lets a run go there."""

from collections.abc import Callable

import pytest

from popreceipt.exceptions import UsageError
from popreceipt.targets import open_target
from popreceipt.tenants.description import Tenant
from popreceipt.tenants.production import check, looks_like_production


@pytest.mark.parametrize(
    "host",
    [
        "contoso.operations.dynamics.com",
        "contoso.operations.eu.dynamics.com",
        "contoso-uat.operations.dynamics.com",  # a name of one's own, in the platform's place for production
        "CONTOSO.OPERATIONS.DYNAMICS.COM.",
        "contoso.operations.dynamics.cn",
        "erp.contoso.com",
        "ax.contoso.local",
        "10.0.0.5",
        "prod-sandbox.contoso.com",
        "axlive.example.org.contoso.com",
        "production.example",
        "contest.contoso.com",
        "latest",
        "erp.contoso.qa",  # Qatar's
        "erp.contoso.com.qa",
        "erp.contoso.ci",
        "erp.contoso.dev",
        "erp.test-rite.com",  # a company's name
        "erp.acc.co.uk",
        "pre-sales.contoso.com",
        "erp.non-profit.org",
        "nonprod.prod.contoso.com",
    ],
)
def test_looks_like_production(host: str) -> None:
    """Whatever does not say that it is something else."""
    assert looks_like_production(host)


@pytest.mark.parametrize(
    "host",
    [
        "contoso-uat.sandbox.operations.dynamics.com",
        "contoso.sandbox.operations.eu.dynamics.com",
        "contoso-devaos.axcloud.dynamics.com",
        "contosoaos.cloudax.dynamics.com",
        "usnconeboxax1aos.cloud.onebox.dynamics.com",
        "localhost",
        "127.0.0.1",
        "127.0.0.2",
        "::1",
        "qa.example",
        "emulator.test",
        "erp-uat.contoso.com",
        "test2.contoso.com",
        "nonprod.contoso.com",
        "erp-pre-prod.contoso.com",
        "erp.non-production.contoso.co.uk",
        "qa.contoso.qa",
        "test.local",
        "erp.test.contoso.com",
        "emulator",
    ],
)
def test_says_that_it_is_something_else(host: str) -> None:
    assert looks_like_production(host) is None


LIVE = 'base_url = "https://erp.contoso.com"'


def test_a_host_that_looks_so_is_refused_without_the_word(describe: Callable[..., Tenant]) -> None:
    """The sentence says what to write, and where."""
    tenant = describe(base_url=LIVE)
    with pytest.raises(UsageError, match=r'production = "erp\.contoso\.com"') as caught:
        check(tenant)
    assert caught.value.exit_status == 2
    assert "Nothing was sent" in str(caught.value)


def test_the_word_repeats_the_host(describe: Callable[..., Tenant]) -> None:
    """Another host's name, left over from another table, is no word; true is none either."""
    check(describe('production = "ERP.contoso.com"', base_url=LIVE))
    with pytest.raises(UsageError, match="has to repeat the host"):
        check(describe('production = "erp.fabrikam.com"', base_url=LIVE))
    with pytest.raises(UsageError, match="has to repeat the host"):
        check(describe('production = "erp.contoso.com"'))
    with pytest.raises(UsageError, match="production is a text"):
        describe("production = true", base_url=LIVE)


def test_what_needs_no_word(describe: Callable[..., Tenant]) -> None:
    check(describe())


def test_opening_it_sends_nothing_and_needs_no_secret(
    describe: Callable[..., Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal comes before anything else."""
    monkeypatch.delenv("QA_SECRET", raising=False)
    describe(base_url=LIVE)

    def reached(*_: object, **__: object) -> None:
        raise AssertionError("something was sent")

    monkeypatch.setattr("popreceipt.client.transport.Transport.exchange", reached)
    with pytest.raises(UsageError, match="looks like production"), open_target("tenant:qa"):
        pass
