"""Monitoring recurrences: samples of how full a queue is and how long its messages take.

"Recurring integrations", section "Create a recurring data job": a monitoring recurrence watches the load and sets no
policy, so nothing here changes a message.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.agenda import Agenda
from popreceipt.emulator.instants import instant_in, written
from popreceipt.emulator.message import Message
from popreceipt.emulator.store import Sample, Store

SAMPLE: Final = "monitoring-recurrence"
"""The moment of a sample. The subject is an activity."""


class Monitoring:
    """The monitoring recurrences of all activities."""

    def __init__(self, store: Store, agenda: Agenda) -> None:
        self._store = store
        self._agenda = agenda
        agenda.on(SAMPLE, self._due)

    def plan(self, activity: Activity, now: datetime) -> None:
        """Plan the activity's next sample, or none where it is not monitored any more."""
        recurrence = activity.monitoring_recurrence
        following = None if recurrence is None else recurrence.next_after(now, activity.monitoring_anchor)
        if following is None:
            self._agenda.cancel(SAMPLE, activity.id)
        elif self._agenda.planned(SAMPLE, activity.id) != following:
            self._agenda.at(following, SAMPLE, activity.id)

    def _due(self, identifier: str, now: datetime) -> None:
        activity = self._store.activity(identifier)
        if activity is None:
            return
        self._store.put_sample(self.sampled(activity, now))
        self._store.put_setting(_sampled(identifier), written(now))
        self.plan(activity, now)

    def sampled(self, activity: Activity, now: datetime) -> Sample:
        """What there is to see now. What was completed is counted since the sample before, or since the anchor."""
        load = self._store.load(activity.id, now)
        before = instant_in(self._store.setting(_sampled(activity.id)) or "")
        ended = self._store.completed_between(activity.id, before or activity.monitoring_anchor, now)
        seconds = [_seconds(message) for message in ended]
        return Sample(
            activity=activity.id,
            at=now,
            waiting=load.waiting,
            in_process=load.in_process,
            oldest=load.oldest,
            processed=len(seconds),
            mean=sum(seconds) / len(seconds) if seconds else None,
            slowest=max(seconds, default=None),
        )


def as_json(sample: Sample) -> dict[str, Any]:
    """A sample as the control plane shows it."""
    waited = None if sample.oldest is None else (sample.at - sample.oldest) / timedelta(minutes=1)
    return {
        "at": written(sample.at),
        "waiting": sample.waiting,
        "oldest_minutes": waited,
        "in_process": sample.in_process,
        "processed": sample.processed,
        "mean_seconds": sample.mean,
        "slowest_seconds": sample.slowest,
    }


def _seconds(message: Message) -> float:
    """How long a message took from its enqueue to its end: for an export, to its acknowledgment."""
    end = message.completed if message.visible_from is None else message.acknowledged
    return 0.0 if end is None else (end - message.enqueued).total_seconds()


def _sampled(activity_id: str) -> str:
    """The setting that says when an activity was sampled last."""
    return f"sampled/{activity_id}"
