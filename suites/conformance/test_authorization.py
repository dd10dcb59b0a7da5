"""Who may call: tokens, the application's registration, and the policy of the job."""

import pytest

from popreceipt.client import wire
from popreceipt.exceptions import NotAbleTo
from popreceipt.scenario import shows
from popreceipt.stage import Export, Import, Stage


def everything(stage: Stage, actor: str, token: str | None = None, *, by_job: bool = True) -> None:
    """Every documented call as somebody who must be refused; the real state is looked at before and after."""
    queue, intake = stage.export(), stage.imports()
    call_exports(stage, queue, actor, token)
    call_imports(stage, intake, actor, token, by_job=by_job)


def call_exports(stage: Stage, queue: Export, actor: str, token: str | None) -> None:
    """Dequeue, download and acknowledge as a stranger; the message must still be there for its owner."""
    queue.holds()
    queue.dequeue(actor, token=token)
    if stage.target.can("messages"):
        queue.observe_messages()
    delivery = queue.obtain()
    stage.send(wire.download(str(delivery.location)), actor, token=token)
    queue.ack(delivery, actor, token=token)
    queue.download(delivery)
    stage.advance(minutes=31)
    list(queue.drain())


def call_imports(stage: Stage, intake: Import, actor: str, token: str | None, *, by_job: bool) -> None:
    """Enqueue and ask for statuses as a stranger; only the owner's message may exist."""
    message = intake.enqueue(stage.file())
    intake.offer(stage.file(), actor, token=token)
    asks = [wire.jobstatus(intake.id, message)]
    if not by_job:
        asks += [
            wire.message_status(message),
            wire.execution_id(message),
            wire.execution_errors(stage.unknown_guid()),
            wire.execution_summary(stage.unknown_guid()),
        ]
    for ask in asks:
        stage.send(ask, actor, token=token)
    if stage.target.can("messages"):
        intake.observe_messages()


@shows("authorization.token-required", "authorization.refusal-changes-nothing", needs=("produce", "messages"))
def test_without_a_token_nothing_is_answered(stage: Stage) -> None:
    """A caller without a token is refused everywhere, and nothing changes."""
    everything(stage, "anonymous", by_job=False)


@shows("authorization.token-required", needs=("create-activity",))
def test_a_header_without_a_bearer_token_is_no_token(stage: Stage) -> None:
    """Another scheme, or a scheme without a token, does not open the door."""
    queue = stage.export()
    for value in ("Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Negotiate"):
        stage.send(wire.dequeue(queue.id), "anonymous", headers=(("authorization", value),))


@shows("authorization.forged-token-refused")
def test_a_forged_token_is_refused(stage: Stage) -> None:
    """A token that somebody changed, or made up, is refused."""
    queue = stage.export()
    for part in ("signature", "payload"):
        token = stage.target.tokens.forged("authorised", part)
        stage.send(wire.dequeue(queue.id), "forged", token=token)
        stage.send(wire.message_status(stage.unknown_guid()), "forged", token=token)
    for token in ("x", "a.b.c", "eyJhbGciOiJub25lIn0.e30."):
        stage.send(wire.dequeue(queue.id), "forged", token=token)


@shows("authorization.refusal-changes-nothing", "authorization.forged-token-refused", needs=("produce", "messages"))
def test_a_forged_token_changes_nothing(stage: Stage) -> None:
    """What was refused for a forged token had no effect."""
    everything(stage, "forged", stage.target.tokens.forged(), by_job=False)


@shows("authorization.expired-token-refused")
def test_an_expired_token_is_refused(stage: Stage) -> None:
    """A token is refused once its lifetime is over."""
    queue, intake = stage.export(), stage.imports()
    message = intake.enqueue(stage.file())
    issued = stage.target.tokens.obtain()
    if issued.token is None or issued.expires_in is None:
        pytest.fail("the token endpoint gave no token with a lifetime")
    queue.dequeue(token=issued.token)
    # Services allow for clocks that go wrong by some minutes.
    stage.advance(seconds=issued.expires_in + 600)
    queue.dequeue(token=issued.token)
    intake.offer(stage.file(), token=issued.token)
    stage.send(wire.message_status(message), token=issued.token)


@shows("authorization.foreign-audience-refused")
def test_a_token_for_another_resource_is_refused(stage: Stage) -> None:
    """A token that was issued for somebody else does not open this door."""
    queue, intake = stage.export(), stage.imports()
    message = intake.enqueue(stage.file())
    # A resource that every directory knows; an issuer that knows only one may hand out tokens for any.
    for resource in ("https://graph.microsoft.com", "https://elsewhere.example"):
        issued = stage.target.tokens.obtain(resource=resource, actor="foreign-audience")
        if issued.token is not None:
            break
    else:
        raise NotAbleTo(stage.target.name, "foreign-audience tokens: its identity issues none", "")
    stage.send(wire.dequeue(queue.id), "foreign-audience", token=issued.token)
    stage.send(wire.message_status(message), "foreign-audience", token=issued.token)


@shows("authorization.application-must-be-mapped", "authorization.service-gate")
def test_an_application_must_be_registered(stage: Stage) -> None:
    """A valid token of an application that is not registered with the service is refused."""
    queue = stage.export()
    stage.send(wire.dequeue(queue.id), "unmapped")
    stage.send(wire.message_status(stage.unknown_guid()), "unmapped")


@shows(
    "authorization.application-must-be-mapped",
    "authorization.refusal-changes-nothing",
    needs=("produce", "messages"),
)
def test_an_unregistered_application_changes_nothing(stage: Stage) -> None:
    """What was refused for want of a registration had no effect."""
    everything(stage, "unmapped", by_job=False)


@shows("authorization.application-must-be-on-the-job", "authorization.job-gate")
def test_an_application_must_stand_on_the_policy(stage: Stage) -> None:
    """A registered application that the job does not list is refused there."""
    queue, intake = stage.export(), stage.imports()
    queue.dequeue("unlisted")
    intake.offer(stage.file(), "unlisted")
    stage.send(wire.jobstatus(intake.id, stage.unknown_guid()), "unlisted")


@shows(
    "authorization.application-must-be-on-the-job",
    "authorization.refusal-changes-nothing",
    needs=("produce", "messages"),
)
def test_an_application_that_is_not_listed_changes_nothing(stage: Stage) -> None:
    """What was refused for want of a place on the policy had no effect."""
    everything(stage, "unlisted")


@shows("authorization.disabled-entry-refused")
def test_a_disabled_entry_is_refused(stage: Stage) -> None:
    """Where its entry was never enabled, the application is refused."""
    job = Import(stage, stage.target.activity("import-disabled"))
    job.offer(stage.file())
    job.jobstatus(stage.unknown_guid())


@shows("authorization.disabled-entry-refused", needs=("change-activity",))
def test_an_entry_must_be_enabled(stage: Stage) -> None:
    """While its entry is not enabled, the application is refused; enabled again, it is let in."""
    queue = stage.export()
    queue.holds()
    queue.change(enabled=False)
    queue.dequeue()
    queue.change(enabled=True)
    list(queue.drain())


@shows("authorization.issued-token-accepted", "authorization.token-answer")
def test_an_issued_token_is_accepted(stage: Stage) -> None:
    """A token of either endpoint opens the door for an application that is registered and listed."""
    queue, intake = stage.export(), stage.imports()
    for version in (1, 2):
        issued = stage.target.tokens.obtain(version=version)  # type: ignore[arg-type]
        if issued.token is not None:
            queue.dequeue(token=issued.token)
            intake.offer(stage.file(), token=issued.token)
            stage.send(wire.message_status(stage.unknown_guid()), token=issued.token)


@shows("authorization.issued-token-accepted", needs=("user",))
def test_a_users_token_is_accepted(stage: Stage) -> None:
    """The password grant gives a token that works as well."""
    queue = stage.export()
    for version in (1, 2):
        issued = stage.target.tokens.obtain(version=version, grant="password")  # type: ignore[arg-type]
        if issued.token is not None:
            queue.dequeue(token=issued.token)


@shows("authorization.wrong-secret-refused")
def test_a_wrong_secret_gets_no_token(stage: Stage) -> None:
    """The token endpoint gives nothing for a wrong secret."""
    for version in (1, 2):
        stage.target.tokens.obtain(version=version, secret="not-the-secret")  # type: ignore[arg-type]
