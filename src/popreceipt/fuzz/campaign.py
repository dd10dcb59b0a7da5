"""One run: all phases that schemathesis has, on the specifications, against an open target.

It puts schemathesis' engine together with the carrier, so that nothing is sent but through the target's session, and
takes over what its checks find. Nothing of it is registered with schemathesis beyond the run.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from schemathesis.config import SchemathesisConfig
from schemathesis.core import failures as general
from schemathesis.core.transport import Response
from schemathesis.engine import events
from schemathesis.engine.core import Engine, ExecutionPlan
from schemathesis.engine.errors import UnhealthyAPIError, UnresponsiveOperationError
from schemathesis.engine.run import TESTING_PHASES, Phase, PhaseName
from schemathesis.generation.stateful import APIStateMachine
from schemathesis.hooks import HookContext
from schemathesis.openapi import checks as particular
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi import stateful
from schemathesis.specs.openapi.schemas import OpenApiSchema
from schemathesis.transport import BaseTransport

from popreceipt import vocabulary
from popreceipt.client import wire
from popreceipt.client.packages import ENTITY
from popreceipt.client.wire import Ask
from popreceipt.fuzz import bodies
from popreceipt.fuzz.carrier import ANY_CASE, PLACEHOLDER, Carrier
from popreceipt.fuzz.equipment import TENANT
from popreceipt.fuzz.ledger import Ledger
from popreceipt.fuzz.strangers import Strangers
from popreceipt.reproduction.oracles import AnswerOracle, ShapeOracle
from popreceipt.shapes import Shapes
from popreceipt.shapes.documents import REFUSED_ACTIVITY, Operation, joined, operations, restrict
from popreceipt.stage import HALF_HOUR, Export, Import
from popreceipt.targets import Target

Progress = Callable[[int, int, str], None]
"""Called with the number of things done, of all, and the name of the one that comes next."""

SHAPES: Final = (
    particular.UndefinedStatusCode,
    particular.MissingHeaders,
    particular.JsonSchemaError,
    particular.MissingContentType,
    particular.MalformedMediaType,
    particular.ContentDeserializationError,
    particular.DiscriminatorMismatch,
    particular.UndefinedContentType,
    general.MalformedJson,
)
"""What schemathesis finds wrong with the shape of an answer: found again, and told, by `popreceipt.shapes`."""

CHECKS: Final[Mapping[type[general.Failure], str]] = {
    general.ServerError: "not_a_server_error",
    general.ContentTypeServerError: "not_a_server_error",
    general.AcceptedNegativeData: "negative_data_rejection",
    particular.RejectedPositiveData: "positive_data_acceptance",
    particular.MissingHeaderNotRejected: "missing_required_header",
    particular.UnsupportedMethodResponse: "unsupported_method",
    particular.AllowHeaderMismatch: "allow_header_conformance",
    particular.UseAfterFree: "use_after_free",
    particular.EnsureResourceAvailability: "ensure_resource_availability",
    particular.IgnoredAuth: "ignored_auth",
    particular.ObjectLevelAuthorizationViolation: "object_level_authorization",
}
"""schemathesis' other failures, by the check that raises them."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How far a run looks.

    Args:
        examples: fuzzed examples of each operation.
        stories: stateful examples.
        steps: calls of a stateful example.
    """

    examples: int
    stories: int
    steps: int


EXTENTS: Final[Mapping[str, Extent]] = {"fast": Extent(30, 50, 8), "thorough": Extent(400, 600, 12)}


STORIES_A_PASS: Final = 12
"""Stateful examples that Hypothesis tells in one go, each pass with a seed of its own.

It ends a pass where a story that begins like an earlier one goes on otherwise, and on a server with a memory some do.
"""


def settings(seed: int, extent: Extent, told: Iterable[Operation]) -> dict[str, Any]:
    """What schemathesis' configuration file would say of a run: nothing is kept, and links are as they are written."""
    return {
        "seed": seed,
        "cache": {"enabled": False},
        "headers": {"Authorization": PLACEHOLDER},
        "continue-on-failure": True,
        "generation": {"database": "none", "no-shrink": True},
        "phases": {
            "examples": {"extra-data-sources": {"responses": False}},
            "coverage": {"extra-data-sources": {"responses": False}},
            "fuzzing": {
                "generation": {"max-examples": extent.examples},
                "extra-data-sources": {"responses": False},
                "error-feedback": {"enabled": False},
            },
            "stateful": {
                "generation": {"max-examples": min(extent.stories, STORIES_A_PASS)},
                "max-steps": extent.steps,
                "inference": {"algorithms": []},
            },
        },
        "operations": [
            {"include-operation-id": each.id, "checks": checks}
            for each in told
            if (checks := {one.check: {"enabled": False} for one in each.exempt if one.only is None})
        ],
    }


class Specification(OpenApiSchema):
    """The specifications, whose calls go through a carrier."""

    carrier: Carrier
    ledger: Ledger

    @property
    def transport(self) -> BaseTransport[Any]:
        """What carries calls."""
        return self.carrier

    def build_state_machine(self, **feedback: Any) -> type[APIStateMachine]:
        """The machine of the specification's links; each of its examples gets jobs of its own."""
        usual = stateful.classify_root_transitions
        stateful.classify_root_transitions = _all_begin
        try:
            machine = super().build_state_machine(**feedback)
        finally:
            stateful.classify_root_transitions = usual
        ledger = self.ledger

        def begin(made: APIStateMachine) -> None:
            ledger.example()
            machine.__init__(made)

        return type("OwnJobs", (machine,), {"__init__": begin})


def _all_begin(
    operations: list[APIOperation[Any, Any, Any, Any]],
    transitions: stateful.ApiTransitions,
    graph: object,  # noqa: ARG001
) -> stateful.RootTransitions:
    """Let a story begin with every operation that leads to another.

    schemathesis thinks that a GET with a made-up path leads nowhere, so no story would ever begin with a dequeue. Here
    the path of an example is no made-up one.
    """
    roots = stateful.RootTransitions()
    roots.reliable = {
        each.label
        for each in operations
        if (known := transitions.operations.get(each.label)) is not None and known.outgoing
    }
    return roots


class Phases(Engine):
    """schemathesis' engine without what it sends beside its examples, and with the stories in several passes."""

    __slots__ = ("passes",)

    def __init__(self, schema: OpenApiSchema, passes: int) -> None:
        super().__init__(schema)
        self.passes = passes

    def _create_execution_plan(self) -> ExecutionPlan:
        plan = super()._create_execution_plan()
        kept = [each for each in plan.phases if each.name in TESTING_PHASES]
        again = [Phase(each.name) for each in kept if each.name is PhaseName.STATEFUL_TESTING and each.is_enabled]
        plan.phases = kept + again * (self.passes - 1)
        return plan


class Campaign:
    """A run over these operations.

    Args:
        target: whom to call.
        seed: makes the same run again.
        extent: how far to look.
        document: the specification; None takes the project's own, of what a client calls.
        operation_ids: only these operations; None takes all that the target can be asked.
    """

    def __init__(
        self,
        target: Target,
        seed: int,
        extent: Extent,
        *,
        document: dict[str, Any] | None = None,
        operation_ids: frozenset[str] | None = None,
    ) -> None:
        self._target = target
        self._extent = extent
        chance = Random(f"fuzz {seed}")  # noqa: S311 - contents of tests, not secrets
        self.ledger = Ledger(target, seed, chance, epilogue=self._end_of_a_stretch)
        self.strangers = Strangers(target, self.ledger, chance)
        document = document if document is not None else joined()
        issuer = self._issuer_elsewhere()
        if not target.can("produce"):
            self.ledger.unable(
                vocabulary.DEQUEUE, f"{target.name} cannot be told to export, so what waits is not known"
            )
        restrict(
            document,
            lambda path, identifier: (
                (issuer is None or not path.startswith(TENANT))
                and (operation_ids is None or identifier in operation_ids)
            ),
        )
        if issuer is not None:
            self.ledger.unable(vocabulary.TOKEN, issuer)
        self._shapes = Shapes(copy.deepcopy(document))
        bodies.as_bytes(document)
        self._operations = {f"{each.method} {each.path}": each for each in operations(document)}
        config = SchemathesisConfig.from_dict(settings(seed, extent, self._operations.values()))
        self._schema = Specification(raw_schema=document, config=config.projects.get(document))
        self._schema.config.update(base_url=target.session.base_url)
        self._schema.ledger = self.ledger
        self._schema.carrier = Carrier(target, self._operations, self.ledger, self.strangers, chance)
        self._schema.hooks.register_hook_with_name(self._takes_over, "filter_failure")

    def _issuer_elsewhere(self) -> str | None:
        """Why the issuer of tokens is not asked; None where it is the target's own."""
        url = self._target.tokens.identity.get("token_url")
        if not isinstance(url, str) or not url:
            return f"{self._target.name} names no token endpoint"
        session = self._target.session
        host = urlsplit(url).netloc
        own = {"", urlsplit(session.origin).netloc, urlsplit(str(self._target.tokens.identity.get("resource"))).netloc}
        return None if host in own else f"tokens come from {host}, which is not {self._target.name}"

    @property
    def operations(self) -> Sequence[Operation]:
        """What is asked."""
        return tuple(self._operations.values())

    def run(self, progress: Progress | None) -> None:
        """Go through all phases.

        Raises:
            KeyboardInterrupt: somebody stopped it, which the engine caught to tidy up.
            Exception: whatever went wrong with the harness itself.
        """
        total = 3 * len(self._operations) + self._extent.stories
        done = 0
        with bodies.known(), warnings.catch_warnings():
            # Hypothesis warns of what is no fault of anybody's (long reprs, strategies that filter much).
            warnings.simplefilter("ignore")
            passes = -(-self._extent.stories // STORIES_A_PASS)
            stream = Phases(self._schema, passes).execute()
            for event in stream:
                if self.ledger.spent is not None:
                    stream.stop()
                if isinstance(event, events.NonFatalError):
                    self._trouble(event)
                elif isinstance(event, events.Interrupted):
                    if self.ledger.spent is None:
                        raise KeyboardInterrupt
                elif isinstance(event, events.ScenarioFinished):
                    done += 1
                    if progress is not None:
                        progress(min(done, total), total, f"{event.phase.value} {event.label or ''}".strip())
            self.ledger.end()

    def _trouble(self, event: events.NonFatalError) -> None:
        """What kept the engine from an example: not to be passed over, unless the ledger knows of it."""
        if not isinstance(event.value, (requests.RequestException, UnhealthyAPIError, UnresponsiveOperationError)):
            raise event.value

    # What is found

    def _takes_over(self, _: HookContext, failure: general.Failure, case: ANY_CASE, response: Response) -> bool:  # noqa: ARG002
        """Note a failure in the ledger: a hook of schemathesis, `filter_failure`.

        schemathesis itself forgets it: the example goes on, and nothing is tried again to make it smaller.
        """
        call = self.ledger.call_of(getattr(failure, "case_id", None) or case.id)
        if call is None:
            return False
        name = call.operation.name
        if isinstance(failure, SHAPES):
            for each in self._shapes.complaints_of(call.operation.id, call.reply.exchange):
                oracle = ShapeOracle(each.check, each.operation)
                self.ledger.fail(name, oracle, each.message, (call.reply.exchange.seq,))
            return False
        check = CHECKS.get(type(failure), type(failure).__name__)
        situation = None if call.known_activity else REFUSED_ACTIVITY
        if call.operation.is_exempt(check, situation):
            return False
        if call.reply.status == NOT_IMPLEMENTED and call.reply.exchange.request.method != call.operation.method:
            return False
        status = str(call.reply.status)
        oracle_of_answer = AnswerOracle(
            call.reply.exchange.operation, (status,), call.actor, check=check, told=failure.title
        )
        message = f"{' '.join(failure.message.split())} It was answered {status}."
        self.ledger.fail(name, oracle_of_answer, message, (call.reply.exchange.seq,))
        return False

    # What is done at the end of a stretch

    def _end_of_a_stretch(self, ledger: Ledger) -> None:
        """Come back to what a stretch left behind, as consumers and administrators do: the rules see what it became."""
        worlds = [*ledger.worlds, ledger.world]
        exports = [each for world in worlds for each in world.exports]
        imports = [each for world in worlds for each in world.imports]
        if ledger.stretches % EXPIRED_EACH == 1:
            self._try_an_expired_token(exports, imports)
        visited = ledger.chance.sample(exports, min(COME_BACK, len(exports)))
        if self._target.times.kind == "manual":
            self._target.advance(HALF_HOUR - A_MOMENT)
            for queue in visited:
                queue.dequeue()
            self._target.advance(2 * A_MOMENT)
        for queue in visited:
            for _ in range(2):
                found = queue.dequeue()
                if found is not None and found.has_file:
                    queue.download(found)
                    queue.ack(found)
            if self._target.can("messages"):
                queue.observe_messages()
        for world in worlds:
            world.leave()
        for intake in imports[:COME_BACK]:
            if self._target.can("process"):
                intake.process()
            if self._target.can("messages"):
                intake.observe_messages()

    def _try_an_expired_token(self, exports: Sequence[Export], imports: Sequence[Import]) -> None:
        if self._target.times.kind != "manual":
            self.ledger.unable("an expired token", f"{self._target.name} has no clock that can be moved")
            return
        asks: dict[str, Ask] = {}
        if exports:
            asks[vocabulary.DEQUEUE] = wire.dequeue(exports[-1].id)
        if imports:
            job = imports[-1]
            asks[vocabulary.ENQUEUE] = wire.enqueue(job.id, job.stage.file(), entity=ENTITY)
            asks[vocabulary.JOBSTATUS] = wire.jobstatus(job.id, job.stage.unknown_guid())
            asks[vocabulary.MESSAGE_STATUS] = wire.message_status(job.stage.unknown_guid())
        if asks:
            self.strangers.with_expired_token(asks)


NOT_IMPLEMENTED: Final = 501
"""What a server may well answer to a verb that it knows for nothing (RFC 9110, 15.6.2)."""

EXPIRED_EACH: Final = 4
"""A token is let run out at the end of every so many stretches."""

A_MOMENT: Final = timedelta(seconds=30)
"""So long before and after the half hour jobs are visited."""

COME_BACK: Final = 3
"""So many jobs of a stretch are visited once more at its end."""
