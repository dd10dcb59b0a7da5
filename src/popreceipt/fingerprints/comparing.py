"""Where a server and the emulator part that is to behave like it: the same run on both, held side by side.

It compares what rules made of both journals, and the shapes of answers, operation by operation. It sends nothing and
says nothing of who is right: rules do that. What only one of the two was able to show is listed, and is no difference.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from popreceipt.fingerprints.shapes import Shapes
from popreceipt.fingerprints.taking import Told
from popreceipt.verdict import Outcome

FORMAT: Final = "popreceipt/differences@1"

Kind = Literal["outcome", "answer", "shape"]

DECIDED = frozenset({Outcome.HELD, Outcome.VIOLATED, Outcome.ANSWERED})


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two: what rules made of its journal, and the shapes of its answers by operation.

    `seldom` has those of the shapes, by operation, that come up only as things happen to go: that the other side lacks
    them tells nothing.
    """

    rules: Mapping[str, Told]
    shapes: Shapes
    seldom: Mapping[str, Collection[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, rules: Iterable[Told], shapes: Shapes) -> "Side":
        """The side of these verdicts."""
        return cls({each.id: each for each in rules}, shapes)


@dataclass(frozen=True, slots=True)
class Parting:
    """One difference.

    Args:
        kind: whether a rule ended otherwise, a question was answered otherwise, or answers are built otherwise.
        place: the rule's id, or the operation.
        target: what the target did; nothing where only the emulator answers in this shape.
        emulator: what the emulator did; nothing where only the target answers in this shape.
    """

    kind: Kind
    place: str
    target: str | None
    emulator: str | None

    @property
    def words(self) -> str:
        """The difference as a sentence."""
        if self.kind == "outcome":
            return f"{self.place} is {self.target} on the target and {self.emulator} on the emulator."
        if self.kind == "answer":
            return f"{self.place} is answered {self.target} by the target and {self.emulator} by the emulator."
        who, shape = ("target", self.target) if self.target is not None else ("emulator", self.emulator)
        return f"{self.place}: only the {who} answers {shape}"

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"kind": self.kind, "place": self.place, "target": self.target, "emulator": self.emulator}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What became of holding both side by side.

    Args:
        partings: where they part.
        rules: how many rules were decided on both.
        operations: how many operations were answered by both.
        only_target: rules that only the target decided, or operations that only the target was asked for.
        only_emulator: the same of the emulator; where there are such rules, shapes of answers as well.
    """

    partings: tuple[Parting, ...]
    rules: int
    operations: int
    only_target: tuple[str, ...]
    only_emulator: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "format": FORMAT,
            "rules": self.rules,
            "operations": self.operations,
            "partings": [each.as_json() | {"words": each.words} for each in self.partings],
            "only_target": list(self.only_target),
            "only_emulator": list(self.only_emulator),
        }


def compare(target: Side, emulator: Side) -> Comparison:
    """Hold a target beside the emulator that is to behave like it."""
    partings: list[Parting] = []
    both, only_target, only_emulator = 0, [], []
    for name in dict.fromkeys((*target.rules, *emulator.rules)):
        one, other = target.rules.get(name), emulator.rules.get(name)
        decided = _is_decided(one), _is_decided(other)
        if one is None or other is None or not all(decided):
            only_target += [name] if decided[0] else []
            only_emulator += [name] if decided[1] else []
            continue
        both += 1
        if one.answer != other.answer and (one.answer or other.answer):
            partings.append(Parting("answer", name, one.answer or str(one.outcome), other.answer or str(other.outcome)))
        elif one.outcome is not other.outcome:
            partings.append(Parting("outcome", name, one.outcome.value, other.outcome.value))
    operations = 0
    cut_short = bool(only_emulator)
    for operation in sorted({*target.shapes, *emulator.shapes}):
        ours, theirs = target.shapes.get(operation), emulator.shapes.get(operation)
        if ours is None or theirs is None:
            (only_emulator if ours is None else only_target).append(operation)
            continue
        operations += 1
        partings += [Parting("shape", operation, each, None) for each in sorted(set(ours) - set(theirs))]
        missing = sorted(set(theirs) - set(ours) - set(emulator.seldom.get(operation, ())))
        if cut_short:
            # Whoever was asked less has answered less.
            only_emulator += [f"{operation}: {each}" for each in missing]
        else:
            partings += [Parting("shape", operation, None, each) for each in missing]
    return Comparison(tuple(partings), both, operations, tuple(only_target), tuple(only_emulator))


def _is_decided(verdict: Told | None) -> bool:
    """Whether there is something to compare: an undecided question may have answers all the same."""
    return verdict is not None and (verdict.outcome in DECIDED or verdict.answer is not None)
