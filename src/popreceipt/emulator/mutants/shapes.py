"""Wrong shapes: answers with a member of another type, without a member, with another status or content type.

Rules read meaning and let many a shape pass; what is only a shape, a specification alone can tell. Those that no rule
convicts stand apart: `FOR_SPECIFICATIONS`.
"""

import json
from collections.abc import Callable
from typing import Any, Final

from msgspec import structs

from popreceipt.emulator.http import Request, Response
from popreceipt.emulator.identity import Identity
from popreceipt.emulator.mutants.mutant import mutant
from popreceipt.emulator.mutants.parts import Around, answers
from popreceipt.emulator.routes.call import Call
from popreceipt.vocabulary import (
    ACK,
    DEQUEUE,
    ENQUEUE,
    EXECUTION_ERRORS,
    EXECUTION_ID,
    EXECUTION_SUMMARY,
    FILE_EXISTS,
    JOBSTATUS,
    MESSAGE_STATUS,
    POP_RECEIPT,
)

Change = Callable[[Any], Any]
"""From the value of an answer's JSON body to the one that is answered instead."""

HTML: Final = "text/html; charset=utf-8"


def _full(response: Response) -> bool:
    return response.status == 200 and bool(response.body)


def _changed(response: Response, change: Change) -> Response:
    """A successful answer with a changed value."""
    if not _full(response):
        return response
    return structs.replace(response, body=json.dumps(change(json.loads(response.body))).encode("utf-8"))


def _under(response: Response, content_type: str) -> Response:
    """A successful answer under another content type."""
    if not _full(response):
        return response
    kept = tuple(each for each in response.headers if each[0].lower() != "content-type")
    return structs.replace(response, headers=(*kept, ("content-type", content_type)))


def reshaped(change: Change, *operations: str) -> Around:
    """Successful answers whose value is changed."""
    return answers(lambda _, response: _changed(response, change), *operations)


def typed(content_type: str, *operations: str) -> Around:
    """Successful answers under another content type."""
    return answers(lambda _, response: _under(response, content_type), *operations)


def answered(status: int, *operations: str) -> Around:
    """Successful answers under another status."""

    def tamper(_: Call, response: Response) -> Response:
        return structs.replace(response, status=status) if response.status == 200 else response

    return answers(tamper, *operations)


def without(*names: str) -> Change:
    """An object without these members."""
    return lambda told: {name: value for name, value in told.items() if name not in names}


def with_member(name: str, value: Change) -> Change:
    """An object in which one member is another."""
    return lambda told: {**told, name: value(told.get(name))}


def in_job_status(change: Change) -> Change:
    """The answer of jobstatus, in which the status itself is changed where there is one."""
    return with_member("DataJobStatus", lambda told: told and change(told))


class _Issuer(Identity):
    """An issuer whose answers with a token are tampered with."""

    def handle(self, request: Request) -> Response | None:
        """The answer, another one where it issues a token."""
        response = super().handle(request)
        if response is None or "/oauth2/" not in request.path.lower() or not _full(response):
            return response
        return self.tampered(response)

    def tampered(self, response: Response) -> Response:
        """What is answered instead."""
        return response


class _Typeless(_Issuer):
    def tampered(self, response: Response) -> Response:
        """Without the token's type."""
        return _changed(response, without("token_type"))


class _LivesTruly(_Issuer):
    def tampered(self, response: Response) -> Response:
        """With a lifetime that is no number."""
        return _changed(response, with_member("expires_in", lambda _: True))


class _AsAPage(_Issuer):
    def tampered(self, response: Response) -> Response:
        """As a page."""
        return _under(response, HTML)


class _Created(_Issuer):
    def tampered(self, response: Response) -> Response:
        """As something that was created."""
        return structs.replace(response, status=201)


MUTANTS = (
    mutant(
        "receipt-is-a-number",
        "Writes PopReceipt as a number.",
        "dequeue.answer-members",
        "acknowledgment.echo-accepted",
        "acknowledgment.three-members-suffice",
        routes=reshaped(with_member(POP_RECEIPT, len), DEQUEUE),
    ),
    mutant(
        "receipt-left-out",
        "Leaves PopReceipt out of the answer to a dequeue.",
        "dequeue.answer-members",
        "acknowledgment.echo-accepted",
        "acknowledgment.three-members-suffice",
        routes=reshaped(without(POP_RECEIPT), DEQUEUE),
    ),
    mutant(
        "file-exists-as-text",
        "Writes IsDownLoadFileExist as a text.",
        "dequeue.answer-members",
        routes=reshaped(with_member(FILE_EXISTS, str), DEQUEUE),
    ),
    mutant(
        "acknowledgment-sends-elsewhere",
        "Answers an acknowledgment that counts by sending the caller to another page.",
        "acknowledgment.echo-accepted",
        "acknowledgment.refused-changes-nothing",
        "acknowledgment.three-members-suffice",
        routes=answered(303, ACK),
    ),
    mutant(
        "jobstatus-state-is-a-truth-value",
        "Tells by jobstatus that a state is true.",
        "status.jobstatus-members",
        routes=reshaped(in_job_status(with_member("DataJobState", bool)), JOBSTATUS),
    ),
    mutant(
        "jobstatus-without-state",
        "Leaves the state out of the answer to jobstatus.",
        "status.jobstatus-members",
        routes=reshaped(in_job_status(without("DataJobState")), JOBSTATUS),
    ),
    mutant(
        "status-is-a-number",
        "Answers GetMessageStatus with a number.",
        "status.vocabulary",
        "status.odata-answer",
        routes=reshaped(with_member("value", len), MESSAGE_STATUS),
    ),
    mutant(
        "status-left-out",
        "Answers GetMessageStatus without a value.",
        "status.vocabulary",
        "status.odata-answer",
        routes=reshaped(without("value"), MESSAGE_STATUS),
    ),
    mutant(
        "execution-is-a-number",
        "Answers GetExecutionIdByMessageId with a number.",
        "execution-errors.execution-found-by-message",
        "status.odata-answer",
        routes=reshaped(with_member("value", len), EXECUTION_ID),
    ),
    mutant(
        "execution-left-out",
        "Answers GetExecutionIdByMessageId without a value.",
        "execution-errors.execution-found-by-message",
        "status.odata-answer",
        routes=reshaped(without("value"), EXECUTION_ID),
    ),
    mutant(
        "execution-elsewhere",
        "Answers GetExecutionIdByMessageId by sending the caller to another page.",
        "execution-errors.execution-found-by-message",
        routes=answered(303, EXECUTION_ID),
    ),
    mutant(
        "errors-are-a-number",
        "Answers GetExecutionErrors with a number.",
        "execution-errors.lists-every-bad-record",
        "execution-errors.lists-bad-records-of-every-entity",
        "status.odata-answer",
        routes=reshaped(with_member("value", len), EXECUTION_ERRORS),
    ),
    mutant(
        "errors-left-out",
        "Answers GetExecutionErrors without a value.",
        "execution-errors.lists-every-bad-record",
        "execution-errors.lists-bad-records-of-every-entity",
        "status.odata-answer",
        routes=reshaped(without("value"), EXECUTION_ERRORS),
    ),
    mutant(
        "errors-elsewhere",
        "Answers GetExecutionErrors by sending the caller to another page.",
        "execution-errors.lists-every-bad-record",
        routes=answered(303, EXECUTION_ERRORS),
    ),
    mutant(
        "summary-is-a-number",
        "Answers GetExecutionSummaryStatus with a number.",
        "status.odata-answer",
        routes=reshaped(with_member("value", len), EXECUTION_SUMMARY),
    ),
    mutant(
        "summary-left-out",
        "Answers GetExecutionSummaryStatus without a value.",
        "status.odata-answer",
        routes=reshaped(without("value"), EXECUTION_SUMMARY),
    ),
    mutant(
        "token-without-type",
        "Issues tokens without saying of which type they are.",
        "authorization.token-answer",
        identity=_Typeless,
    ),
)

FOR_SPECIFICATIONS = (
    mutant(
        "message-id-is-a-number",
        "Answers an enqueue with an object whose value is a number.",
        routes=reshaped(lambda told: {"value": len(told)}, ENQUEUE),
    ),
    mutant(
        "message-id-left-out",
        "Answers an enqueue with an object that names no message.",
        routes=reshaped(lambda _: {}, ENQUEUE),
    ),
    mutant("enqueue-as-a-page", "Answers an enqueue as a page.", routes=typed(HTML, ENQUEUE)),
    mutant("enqueue-created", "Answers an enqueue with 201.", routes=answered(201, ENQUEUE)),
    mutant("dequeue-as-a-page", "Answers a dequeue as a page.", routes=typed(HTML, DEQUEUE)),
    mutant("dequeue-secondhand", "Answers a dequeue with 203.", routes=answered(203, DEQUEUE)),
    mutant("acknowledgment-created", "Answers an acknowledgment with 201.", routes=answered(201, ACK)),
    mutant(
        "acknowledgment-not-implemented",
        "Answers an acknowledgment that counts with 501.",
        routes=answered(501, ACK),
    ),
    mutant(
        "jobstatus-project-is-a-number",
        "Tells by jobstatus the number of a data project instead of its name.",
        routes=reshaped(in_job_status(with_member("DataProject", len)), JOBSTATUS),
    ),
    mutant(
        "jobstatus-left-out",
        "Answers jobstatus without DataJobStatus.",
        routes=reshaped(without("DataJobStatus"), JOBSTATUS),
    ),
    mutant("jobstatus-as-a-page", "Answers jobstatus as a page.", routes=typed(HTML, JOBSTATUS)),
    mutant("jobstatus-secondhand", "Answers jobstatus with 203.", routes=answered(203, JOBSTATUS)),
    mutant("status-as-a-page", "Answers GetMessageStatus as a page.", routes=typed(HTML, MESSAGE_STATUS)),
    mutant("status-secondhand", "Answers GetMessageStatus with 203.", routes=answered(203, MESSAGE_STATUS)),
    mutant("execution-as-a-page", "Answers GetExecutionIdByMessageId as a page.", routes=typed(HTML, EXECUTION_ID)),
    mutant("errors-as-a-page", "Answers GetExecutionErrors as a page.", routes=typed(HTML, EXECUTION_ERRORS)),
    mutant("summary-as-a-page", "Answers GetExecutionSummaryStatus as a page.", routes=typed(HTML, EXECUTION_SUMMARY)),
    mutant(
        "summary-secondhand", "Answers GetExecutionSummaryStatus with 203.", routes=answered(203, EXECUTION_SUMMARY)
    ),
    mutant("token-lifetime-is-a-truth-value", "Says of a token's lifetime that it is true.", identity=_LivesTruly),
    mutant("token-as-a-page", "Issues tokens on a page.", identity=_AsAPage),
    mutant("token-created", "Issues tokens with 201.", identity=_Created),
)
"""What no rule convicts: the fuzz suite does, by the specifications."""
