"""The minimiser on predicates whose smallest story is known."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popreceipt.client.packages import data_package, delimited
from popreceipt.reproduction import names
from popreceipt.reproduction.minimise import ROUND, minimise
from popreceipt.reproduction.steps import Advance, Call, Obtain, Step, Steps, Tell, Token, counted, needed

PLAIN = Token("current", "authorised")


def job(number: int, **settings: object) -> Tell:
    return Tell("POST", "/activities", {"direction": "export", **settings}, f"export-{number}")


def produce(number: int, records: int = 1, name: str | None = None) -> Tell:
    return Tell("POST", f"/activities/{{export-{number}}}/produce", {"records": records}, name)


def dequeue(number: int, name: str | None = None, **more: object) -> Call:
    path = f"/api/connector/dequeue/{{export-{number}}}"
    return Call("GET", path, actor="authorised", token=PLAIN, name=name, **more)  # type: ignore[arg-type]


def ack(number: int, delivery: int) -> Call:
    body = f"{{delivery-{delivery}}}"
    return Call("POST", f"/api/connector/ack/{{export-{number}}}", body=body, actor="authorised", token=PLAIN)


def passed(steps: Steps) -> float:
    return sum(each.seconds for each in steps if isinstance(each, Advance))


def is_whole(steps: Steps) -> bool:
    """Each step has what it needs: no other story may be tried."""
    given_names: set[str] = set()
    for step in steps:
        assert needed(step) <= given_names
        if not isinstance(step, Advance) and step.name is not None:
            given_names.add(step.name)
    return True


LONG: Steps = (
    job(1, type="package", prevent_upload_when_zero_records=True),
    job(2, type="file"),
    produce(1, 8, "message-1"),
    Advance(59.0),
    dequeue(2, "delivery-1"),
    Advance(241.0),
    dequeue(1, "delivery-2"),
    Advance(1799.0),
    Call("GET", "{delivery-2.DownloadLocation}", actor="authorised/two", token=Token("current", "authorised/two")),
    Advance(12.5),
    ack(1, 2),
    Tell("POST", "/faults", {"operation": "ack", "kind": "reset", "position": 2, "times": 3}),
    Advance(86_400.0),
    dequeue(1, "delivery-3"),
)


def test_a_story_that_does_not_fail_stays_as_it_is() -> None:
    """One replay tells."""
    made = minimise(LONG, lambda _: False)
    assert (made.steps, made.replays, made.exhausted) == (LONG, 1, False)


def test_one_step_and_what_it_needs_remain() -> None:
    """Of a story about two jobs, the acknowledgment with its delivery and its job."""

    def fails(steps: Steps) -> bool:
        return is_whole(steps) and any(isinstance(each, Call) and "/ack/" in each.path for each in steps)

    made = minimise(LONG, fails)
    assert made.steps == (job(1), dequeue(1, "delivery-1"), ack(1, 1))
    assert counted(made.steps) == 2


@pytest.mark.parametrize(
    ("least", "most", "round_one"),
    [
        (1, 10**9, 1),
        (2, 10**9, 60),
        (1700, 1800, 1799),
        (1800, 10**9, 1860),
        (1800.5, 1859, 1801),
        (1800, 1800.5, 1800),
        (5000, 10**9, 7200),
        (604_799.5, 10**9, 691_200),
        (45 * 60 - 30, 59 * 60, 45 * 60),
        (12_345, 12_370, 12_360),
        (12_345, 12_350, 12_345),
        (700_000, 1_000_000, 700_020),
    ],
)
def test_a_jump_becomes_the_roundest_that_will_do(least: float, most: float, round_one: float) -> None:
    """Of a round length by nature, else of the least whole minutes, else seconds."""
    long = (least + min(most, least + 200_000)) / 2 + 0.25
    story = (dequeue_alone(), *(Advance(long / 8) for _ in range(8)), dequeue_alone())

    def fails(steps: Steps) -> bool:
        return least <= passed(steps) <= most

    made = minimise(story, fails)
    assert made.steps == (Advance(round_one),)
    assert not made.exhausted


def dequeue_alone() -> Call:
    return Call("GET", "/", actor="authorised", token=PLAIN)


def test_jumps_that_stand_apart_are_each_made_round() -> None:
    """A visit has to stand between them, so they cannot be joined."""

    def fails(steps: Steps) -> bool:
        places = [place for place, each in enumerate(steps) if isinstance(each, Call)]
        if not places:
            return False
        before, after = steps[: places[0]], steps[places[0] :]
        return passed(before) >= 1801 and passed(after) >= 300

    story = (Advance(1700.25), Advance(301.0), dequeue_alone(), Advance(200.0), Advance(250.5), Tell("GET", "/x"))
    assert minimise(story, fails).steps == (Advance(1860), dequeue_alone(), Advance(300))


def test_two_steps_that_only_go_together_are_left_out_together() -> None:
    """A switch put off and on again: neither alone may be missing."""
    off, on = Tell("PATCH", "/x", {"enabled": False}), Tell("PATCH", "/x", {"enabled": True})

    def fails(steps: Steps) -> bool:
        state = True
        for each in steps:
            if isinstance(each, Tell) and each.path == "/x":
                if each.body == {"enabled": state}:
                    return False
                state = not state
        return state and any(isinstance(each, Call) for each in steps)

    assert minimise((off, dequeue_alone(), on), fails).steps == (dequeue_alone(),)


def test_one_job_will_do_where_the_story_has_two() -> None:
    """Names are joined, and the needless job goes."""

    def fails(steps: Steps) -> bool:
        produced = any(isinstance(each, Tell) and each.path.endswith("/produce") for each in steps)
        return is_whole(steps) and produced and any(isinstance(each, Call) for each in steps)

    made = minimise((job(1), job(2, type="file"), produce(2), dequeue(1)), fails)
    assert made.steps == (job(1), produce(1), dequeue(1))


def test_tokens_are_not_joined_and_stay_for_whom_they_are() -> None:
    """Callers are called by what their token is, so it must not become another."""
    foreign = Obtain(version=1, resource="https://elsewhere.example", actor="foreign-audience", name="token-2")
    user = Call("GET", "/", actor="foreign-audience", token=Token("named", "token-2"))
    story = (Obtain(name="token-1"), foreign, user, Call("GET", "/", token=Token("named", "token-1")))

    def fails(steps: Steps) -> bool:
        return any(isinstance(each, Call) and each.actor == "foreign-audience" for each in steps)

    first, second = minimise(story, fails).steps
    assert first == Obtain(resource="https://elsewhere.example", actor="foreign-audience", name="token-1")
    assert second == Call("GET", "/", actor="foreign-audience", token=Token("named", "token-1"))


def test_steps_become_plain() -> None:
    """The plain actor, no headers, no chunks, the usual path, one record, no settings, a simple fault."""
    story: Steps = (
        Tell("POST", "/activities", {"direction": "import", "type": "file", "in_order": True}, "import-1"),
        Tell("POST", "/faults", {"operation": "enqueue", "kind": "reset", "position": 3, "phase": "after", "times": 2}),
        Call(
            "POST",
            "/en/API/connector/enqueue/%7B{import-1|upper}%7D",
            "entity=Customer%20groups",
            (("content-type", "text/csv"), ("x-ms-dyn-externalidentifier", "x")),
            names.escaped(
                delimited([{"CUSTOMERGROUPID": f"K{each}", "DESCRIPTION": "long"} for each in range(9)]).decode()
            ),
            "unlisted",
            Token("current", "unlisted"),
            chunked=True,
        ),
    )

    def fails(steps: Steps) -> bool:
        return len(steps) == 3

    job_made, fault, call = minimise(story, fails).steps
    assert job_made == Tell("POST", "/activities", {"direction": "import"}, "import-1")
    assert isinstance(fault, Tell)
    assert fault.body == {"operation": "enqueue", "kind": "reset"}
    assert call == Call(
        "POST",
        "/api/connector/enqueue/{import-1}",
        "entity=Customer%20groups",
        body="CUSTOMERGROUPID,DESCRIPTION,PAYMENTTERMID\r\n2,A,\r\n",
        actor="authorised",
        token=PLAIN,
    )


def test_a_package_becomes_the_smallest_package() -> None:
    """One that still is one."""
    large = data_package(delimited([{"CUSTOMERGROUPID": f"K{each}"} for each in range(200)]))
    story = (Call("POST", "/api/connector/enqueue/x", body=large),)
    (call,) = minimise(story, bool).steps
    assert isinstance(call, Call)
    assert isinstance(call.body, bytes)
    assert 0 < len(call.body) < len(large)


def test_the_bound_is_kept_and_told() -> None:
    """No more replays than were allowed, and the best story so far comes back."""
    asked: list[Steps] = []

    def fails(steps: Steps) -> bool:
        asked.append(steps)
        return any(isinstance(each, Call) and "/ack/" in each.path for each in steps)

    made = minimise(LONG, fails, budget=9)
    assert made.exhausted
    assert len(asked) == made.replays == 9
    assert fails(made.steps)
    assert len(made.steps) < len(LONG)


def test_of_long_stories_fewer_are_played() -> None:
    """The bound is on steps too: a story of hundreds is not played hundreds of times."""
    story = tuple(Tell("GET", f"/x/{number}") for number in range(400))
    made = minimise(story, lambda steps: len(steps) == len(story), budget=30)
    assert made.exhausted
    assert made.steps == story
    assert 2 <= made.replays <= 10


KINDS: list[Callable[[int], Step]] = [
    lambda number: Tell("GET", f"/x/{number}"),
    lambda number: Call("GET", f"/{number}"),
    lambda number: Advance(number + 0.5),
]


@settings(deadline=None)
@given(st.lists(st.sampled_from(KINDS), min_size=1, max_size=40), st.data())
def test_exactly_the_steps_that_matter_remain(kinds: list[Callable[[int], Step]], data: st.DataObject) -> None:
    """Whichever they are, as long as each alone is needed; no story is asked for twice."""
    story = tuple(make(place) for place, make in enumerate(kinds))
    fixed = [each for each in story if not isinstance(each, Advance)]
    wanted = data.draw(st.sets(st.sampled_from(fixed), min_size=1, max_size=5)) if fixed else set()
    asked: list[Steps] = []

    def fails(steps: Steps) -> bool:
        asked.append(steps)
        return bool(wanted) and wanted <= set(steps)

    made = minimise(story, fails)
    if wanted:
        assert set(made.steps) == wanted
        assert list(made.steps) == [each for each in story if each in wanted]
    else:
        assert made.steps == story
    assert len(asked) == len({repr(each) for each in asked})


def test_round_lengths_are_round() -> None:
    """At exactly the half hour and seven days either answer is right, so these come after their neighbours."""
    assert ROUND.index(1800) > max(ROUND.index(1799), ROUND.index(1801), ROUND.index(1860))
    assert ROUND.index(604_800) > max(ROUND.index(604_799), ROUND.index(604_801))
