"""What a gate decided, as Markdown for a pull request or a pipeline's summary.

Words of servers and subjects stand in it as plain text: nothing of theirs becomes markup, a link or a mention.
"""

import re
from collections.abc import Sequence
from typing import Final

from popreceipt.gates.deciding import Decision, Remark
from popreceipt.gates.paired import Outcome, Standing
from popreceipt.gates.terminal import STYLES, counts, interval, reasons, where
from popreceipt.reports.plain import one_line

LONGEST: Final = 300
"""Characters of a remark that are shown."""

MOST: Final = 60
"""Rows of a table: a comment on a pull request takes 65,536 characters in all."""

_MARKS: Final = re.compile(r"([\\`*_{}\[\]()#+\-.!|~>$])")

_STANDINGS: Final = {Standing.SLOWER: "✘ slower", Standing.KEPT: "✔ not slower", Standing.OPEN: "? open"}


def of(decision: Decision) -> str:
    """A heading, a table of what fails, and folded what is only told."""
    symbol, words, _ = STYLES[decision.exit_status]
    told = f"{counts(decision)}, on {decision.today} (UTC); baseline"
    lines = [
        f"### {symbol} Gate {words}: {plain(decision.evidence.target)}",
        "",
        f"{told} {plain(decision.baseline.path.name)}.",
    ]
    lines += _table(decision.failing)
    if decision.told:
        many = "1 remark that fails" if len(decision.told) == 1 else f"{len(decision.told)} remarks that fail"
        lines += ["", f"<details><summary>{many} nothing</summary>"]
        lines += [*_table(decision.told), "", "</details>"]
    return "\n".join(lines) + "\n"


def of_paired(outcome: Outcome) -> str:
    """A heading, what may not pass, and a table of all figures."""
    symbol, words, _ = STYLES[outcome.exit_status]
    taken = len(outcome.paired.rounds)
    how = f"{taken} rounds in turns, tolerance {outcome.tolerance:.0%}, confidence {outcome.confidence:.0%}"
    lines = [
        f"### {symbol} Gate {words}: {plain(outcome.paired.after)} beside {plain(outcome.paired.before)}",
        "",
        f"{plain(outcome.paired.what)}: {how}.",
        "",
        *(f"- {plain(each)}" for each in reasons(outcome)[:MOST]),
        "",
        "| | figure | ratio | surely between | noise a round |",
        "|---|---|--:|--:|--:|",
    ]
    lines += [
        f"| {_STANDINGS[each.standing]} | {plain(each.name)} | {each.ratio:.3f} | {interval(each)} | {each.noise:.1%} |"
        for each in outcome.compared[:MOST]
    ]
    return "\n".join(lines) + "\n"


def plain(text: str) -> str:
    """Words that mean nothing in Markdown or HTML, on one line."""
    words = one_line(text, LONGEST).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A mention would tell somebody, and a bare address would become a link.
    words = words.replace("@", "@\u2060").replace("://", ":\u2060//")
    return _MARKS.sub(r"\\\1", words)


def _table(remarks: Sequence[Remark]) -> list[str]:
    if not remarks:
        return []
    rows = [
        f"| {each.kind.value} | {plain(each.subject + where(each))} | {plain(each.words)} |" for each in remarks[:MOST]
    ]
    more = [f"| | | and {len(remarks) - MOST} more |"] if len(remarks) > MOST else []
    return ["", "| | | |", "|---|---|---|", *rows, *more]
