"""Two judges of histories, written apart, over random short ones: the checker, and one that tries everything.

They agree where one finds an anomaly if and only if the other finds no way to explain the history. Of histories that
they disagree on the smallest is told.

    python -m popreceipt.generate.agreement [--histories N] [--seed N]
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from popreceipt.clock import stopwatch
from popreceipt.histories import brute
from popreceipt.histories.checker import judge
from popreceipt.histories.history import Anomaly, History, Intake, Queue
from popreceipt.histories.invented import Invented, invent


@dataclass(slots=True)
class Agreement:
    """What came of a run: `planted` counts what was done to histories, `shown` those of them that cannot be explained.

    `named` counts anomalies whose kind is one that explains the history by itself, of all `kinds`.
    """

    histories: int = 0
    explained: int = 0
    open: int = 0
    planted: Counter[str] = field(default_factory=Counter)
    shown: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    named: int = 0
    asked: int = 0
    disagreements: int = 0
    smallest: tuple[int, Invented, bool, list[str]] | None = None


def compare(histories: int, seed: int) -> Agreement:
    """Let both judge so many histories."""
    chance = random.Random(f"agreement/{seed}")
    result = Agreement()
    for _ in range(histories):
        invented = invent(chance)
        one = invented.history
        result.histories += 1
        result.planted[invented.planted or "right"] += 1
        if isinstance(one, Queue):
            judgement = judge(History(queues=[one]))
            explained = brute.explainable(one)
        else:
            judgement = judge(History(intakes=[one]))
            explained = brute.explainable_files(one)
        result.open += judgement.open > 0
        result.explained += explained
        if not explained:
            result.shown[invented.planted or "right"] += 1
        result.kinds.update(str(each) for each in judgement.kinds)
        if explained == bool(judgement.found):
            result.disagreements += 1
            size = History([one]).operations if isinstance(one, Queue) else History(intakes=[one]).operations
            if result.smallest is None or size < result.smallest[0]:
                told = [f"{each.kind}: {each.sentence} {each.exchanges}" for each in judgement.found]
                result.smallest = (size, invented, explained, told)
        elif isinstance(one, Queue) and judgement.found and result.asked < histories // 10:
            _names(one, judgement.kinds, result)
    return result


def _names(queue: Queue, kinds: set[Anomaly], result: Agreement) -> None:
    """Whether the checker names a kind that explains all by itself, where there is one."""
    single = brute.unavoidable(queue)
    if single:
        result.asked += 1
        known = {Anomaly.LOST if each is Anomaly.LATE else each for each in kinds}
        result.named += bool(known & single)


def written(history: Queue | Intake) -> list[str]:
    """A history as a few lines of text, in order of time."""
    if isinstance(history, Intake):
        lines = [(each.enqueued.since, f"{each.enqueued} of {each.message}") for each in history.files]
        lines += [(seen.since, f"{each.message}: {seen}") for each in history.files for seen in each.seen]
        return [f"in order: {history.in_order}", *(text for _, text in sorted(lines))]
    calls = [*history.produced, *history.taken, *history.acknowledged, *history.fetched]
    lines = [(each.since, str(each)) for each in calls]
    lines += [(each.since, f"empty {each}") for each in history.empty]
    lines += [(each.since, f"lost {each}") for each in history.lost]
    return [f"lease {history.lease}, slack {history.slack}", *(text for _, text in sorted(lines))]


def main(arguments: Sequence[str]) -> int:
    """1 where they disagree, 3 where nothing was to be found or to be explained."""
    parser = argparse.ArgumentParser(prog="agreement", description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--histories", type=int, default=100_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the histories")
    chosen = parser.parse_args(arguments)
    began = stopwatch()
    result = compare(chosen.histories, chosen.seed)
    print(
        f"{result.histories} histories in {stopwatch() - began:.0f} s: {result.explained} can be explained, "
        f"{result.histories - result.explained} cannot, {result.open} were left open by the checker, "
        f"{result.disagreements} disagreements."
    )
    for planted, count in sorted(result.planted.items()):
        print(f"  {planted}: {count}, shown by {result.shown[planted]}")
    print(f"  anomalies by kind: {', '.join(f'{kind} {count}' for kind, count in sorted(result.kinds.items()))}")
    print(f"  named by a kind that explains all by itself: {result.named} of {result.asked} that were asked")
    if result.smallest is not None:
        _, invented, explained, told = result.smallest
        print(f"The smallest disagreement ({invented.planted or 'right'}): {'' if explained else 'not '}explainable.")
        print("\n".join([*written(invented.history), *told]))
        return 1
    return 0 if 0 < result.explained < result.histories else 3


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
