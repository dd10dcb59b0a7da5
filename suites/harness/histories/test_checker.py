"""The checker, on histories written by hand: what it convicts, with which witness, and what it leaves alone."""

import pytest

from popreceipt.histories import brute
from popreceipt.histories.checker import Judgement, judge
from popreceipt.histories.history import (
    Acknowledged,
    Anomaly,
    Answer,
    Fetched,
    File,
    History,
    Intake,
    Operation,
    Produced,
    Queue,
    Seen,
    State,
    Taken,
)

LEASE = 30


def queue(*operations: Operation, lost: tuple[Operation, ...] = (), slack: int = 0) -> Queue:
    """A queue in which these things happened; plain operations are empty answers."""
    made = Queue("q", LEASE, slack, lost=list(lost))
    places: dict[type[Operation], list[Operation]] = {
        Produced: made.produced,
        Taken: made.taken,
        Acknowledged: made.acknowledged,
        Fetched: made.fetched,
        Operation: made.empty,
    }
    for each in operations:
        places[type(each)].append(each)
    return made


def judged(made: Queue) -> Judgement:
    """What the checker says; the one that tries everything must say the same."""
    judgement = judge(History([made]))
    assert bool(judgement.found) is not brute.explainable(made)
    return judgement


def produced(number: int, since: int, by: int | None = None, message: str = "a") -> Produced:
    return Produced(-number, "control", since, since if by is None else by, message=message)


def taken(
    number: int, since: int, by: int | None = None, message: str | None = "a", altered: int | None = None
) -> Taken:
    return Taken(number, f"c{number}", since, since if by is None else by, message=message, altered=altered)


def acked(number: int, at: int, of: int, answer: Answer = Answer.ACCEPTED) -> Acknowledged:
    return Acknowledged(number, "c", at, at, of=of, answer=answer)


def empty(number: int, since: int, by: int | None = None) -> Operation:
    return Operation(number, "c", since, since if by is None else by)


P = produced(1, 0)

WRONG = {
    "never offered": (queue(P, empty(2, 5)), Anomaly.LOST, (2,)),
    "never came back": (queue(P, taken(1, 5), empty(2, 36)), Anomaly.LOST, (1, 2)),
    "came too late": (queue(P, taken(1, 5), empty(2, 36), taken(3, 40)), Anomaly.LATE, (1, 2)),
    "before it was there": (queue(produced(1, 10, 12), taken(1, 5, 9)), Anomaly.PHANTOM, (1,)),
    "never produced": (queue(P, taken(1, 5, message="b")), Anomaly.PHANTOM, (1,)),
    "another file": (queue(P, taken(1, 5, altered=2)), Anomaly.ALTERED, (1, 2)),
    "to two at once": (queue(P, taken(1, 5, 9), taken(2, 7, 11)), Anomaly.TWICE, (1, 2)),
    "too early": (queue(P, taken(1, 5), taken(2, 34)), Anomaly.EARLY, (1, 2)),
    "too early, in sum": (queue(P, taken(1, 0, 10), taken(2, 20, 45), taken(3, 55, 59)), Anomaly.EARLY, (1, 2, 3)),
    "after its acknowledgment": (queue(P, taken(1, 5), acked(2, 6, 1), taken(3, 50)), Anomaly.BACK, (1, 2, 3)),
    "stale": (queue(P, taken(1, 5), taken(2, 40), acked(3, 41, 1), empty(4, 75)), Anomaly.STALE, (2, 4)),
    "refused and gone": (queue(P, taken(1, 5), acked(2, 6, 1, Answer.REFUSED), empty(3, 50)), Anomaly.LOST, (1, 2, 3)),
    "two gone, one answer lost": (
        queue(P, produced(2, 0, message="b"), empty(2, 9), lost=(empty(1, 5),)),
        Anomaly.LOST,
        (2,),
    ),
    "one instant for both": (
        # Each of two messages was hidden during a part of the call, but never both.
        queue(P, produced(2, 0, message="b"), taken(1, 10), taken(2, 43, message="b"), empty(3, 39, 42)),
        Anomaly.LATE,
        (3,),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_is_convicted(case: str) -> None:
    """One anomaly, of the right kind, with no exchange too many."""
    made, kind, exchanges = WRONG[case]
    found = judged(made).found
    assert [each.kind for each in found] == [kind]
    assert found[0].exchanges == exchanges
    assert found[0].sentence
    assert kind in {Anomaly.ALTERED, Anomaly.LATE} or kind in brute.unavoidable(made) or not brute.unavoidable(made)


RIGHT = {
    "exactly the half hour, back": queue(P, taken(1, 5), taken(2, 35)),
    "exactly the half hour, hidden": queue(P, taken(1, 5), empty(2, 35)),
    "somewhere in the call": queue(P, taken(1, 0, 10), taken(2, 20, 40)),
    "within a second": queue(P, taken(1, 5), taken(2, 34), slack=1),
    "lost on the way": queue(P, empty(2, 5), lost=(empty(1, 1),)),
    "taken by a lost one, then back": queue(P, empty(2, 5), taken(3, 31), lost=(empty(1, 1),)),
    "acknowledged, perhaps": queue(P, taken(1, 5), acked(2, 6, 1, Answer.DOUBT), empty(3, 90)),
    "not acknowledged, perhaps": queue(P, taken(1, 5), acked(2, 6, 1, Answer.DOUBT), taken(3, 40)),
    "late acknowledgment counts": queue(P, taken(1, 5), acked(2, 36, 1), empty(3, 90)),
    "late acknowledgment counts not": queue(P, taken(1, 5), acked(2, 36, 1), taken(3, 90)),
    "stale, and back": queue(P, taken(1, 5), taken(2, 40), acked(3, 41, 1), taken(4, 71)),
    "twice acknowledged": queue(P, taken(1, 5), acked(2, 6, 1), acked(3, 7, 1, Answer.REFUSED), empty(4, 50)),
    "a download renews": queue(P, taken(1, 5), Fetched(2, "c", 20, 20, of=1), empty(3, 49)),
    "a download renews not": queue(P, taken(1, 5), Fetched(2, "c", 20, 20, of=1), taken(3, 36)),
    "produced meanwhile": queue(produced(1, 5, 9), empty(2, 6)),
    "many deliveries": queue(P, *(taken(n, 40 * n) for n in range(1, 6)), empty(9, 400)),
}


@pytest.mark.parametrize("case", RIGHT)
def test_is_explained(case: str) -> None:
    """Some reading keeps every promise."""
    judgement = judged(RIGHT[case])
    assert judgement.found == []
    assert judgement.open == 0


def test_each_anomaly_of_a_message_is_told() -> None:
    """What is wrong twice is told twice."""
    found = judged(queue(P, taken(1, 5), taken(2, 25), taken(3, 90), acked(4, 91, 3), taken(5, 200))).found
    assert [(each.kind, each.exchanges) for each in found] == [(Anomaly.BACK, (3, 4, 5)), (Anomaly.EARLY, (1, 2))]


def test_too_many_readings_stay_open() -> None:
    """With more lost answers than anybody would count nothing is demanded, and the checker says so."""
    lost = tuple(empty(number, 5) for number in range(10, 20))
    messages = [produced(number, 0, message=str(number)) for number in range(1, 9)]
    made = queue(*messages, empty(30, 9), lost=lost)
    assert judge(History([made])).found == []
    early = queue(*messages, taken(1, 20, message="1"), taken(2, 30, message="1"), lost=lost)
    assert [each.kind for each in judge(History([early])).found] == [Anomaly.EARLY]


# Files


def seen(number: int, at: int, state: State, text: str = "", by: int | None = None) -> Seen:
    return Seen(number, "c", at, at if by is None else by, state=state, text=text or str(state))


def file(number: int, at: int, *sightings: Seen, times: tuple[int, int] | None = None, by: int | None = None) -> File:
    handed = Operation(number, "c", at, at if by is None else by)
    began, ended = times or (None, None)
    told_by = empty(-number, 99) if times else None
    return File(str(number), handed, list(sightings), began, ended, told_by)


W, B, E = State.WAITING, State.BEGUN, State.ENDED

IMPORTS = {
    "never back": ([file(1, 0, seen(2, 5, E, "Processed"), seen(3, 9, B))], {Anomaly.BACKWARDS}, (2, 3)),
    "not from process": ([file(1, 0, seen(2, 5, B), seen(3, 9, W))], {Anomaly.BACKWARDS}, (2, 3)),
    "one end only": ([file(1, 0, seen(2, 5, E, "x"), seen(3, 5, E, "y"))], {Anomaly.BACKWARDS}, (2, 3)),
    "calls that overlap": ([file(1, 0, seen(2, 5, E, "x", by=9), seen(3, 7, B))], set(), ()),
    "begun too soon": (
        [file(1, 0, seen(3, 9, B), seen(4, 20, E)), file(2, 3, seen(5, 6, B))],
        {Anomaly.ORDER},
        (1, 2, 3, 5),
    ),
    "one after another": ([file(1, 0, seen(3, 9, B), seen(4, 20, E)), file(2, 3, seen(5, 10, B))], set(), ()),
    "who never ends binds nobody": ([file(1, 0, seen(3, 9, B)), file(2, 3, seen(5, 6, B))], set(), ()),
    "times that overlap": ([file(1, 0, times=(10, 20)), file(2, 0, times=(15, 25))], {Anomaly.ORDER}, (1, 2)),
    "times in turn": ([file(1, 0, times=(10, 20)), file(2, 1, times=(20, 25))], set(), ()),
    "times reversed": ([file(1, 0, times=(20, 25)), file(2, 1, times=(10, 20))], {Anomaly.ORDER}, (1, 2)),
    "enqueued together": ([file(1, 0, times=(20, 25), by=5), file(2, 3, times=(10, 20), by=9)], set(), ()),
}


@pytest.mark.parametrize("case", IMPORTS)
def test_files(case: str) -> None:
    """Statuses go forward, and in-order jobs keep their order."""
    files, kinds, exchanges = IMPORTS[case]
    judgement = judge(History(intakes=[Intake("i", in_order=True, files=files)]))
    assert judgement.kinds == kinds
    assert [each.exchanges for each in judgement.found] == [exchanges] * len(kinds)
    if all(each.told_by is None for each in files):
        assert brute.explainable_files(Intake("i", in_order=True, files=files)) is not bool(kinds)


def test_acknowledged_stays_acknowledged() -> None:
    """An export that was seen to be Acked is never seen otherwise."""
    told = {
        "m": [seen(1, 5, W, "Acked"), seen(2, 9, W, "Dequeued")],
        "n": [seen(3, 5, W, "Dequeued"), seen(4, 9, W, "Acked")],
    }
    found = judge(History(exported=told)).found
    assert [(each.kind, each.message, each.exchanges) for each in found] == [(Anomaly.BACKWARDS, "m", (1, 2))]
