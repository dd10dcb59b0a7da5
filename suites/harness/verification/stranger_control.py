"""The control plane of a stranger: what it tells of itself, and what a test may tell it."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from urllib.parse import parse_qs, unquote

import stranger_files as files
import stranger_projects as projects
import stranger_shapes as shapes
from stranger_jobs import Job, Refusal, control_time, manage_row
from stranger_shapes import GUID
from stranger_world import CHANGEABLE, World

ABILITIES = [
    "reset",
    "advance-time",
    "create-activity",
    "produce",
    "process",
    "messages",
    "records",
    "cleanup",
    "change-activity",
    "projects",
    "batch",
    "monitoring",
    "parameters",
    "faults",
]
STATUS_FETCH = timedelta(seconds=40)


class Control:
    """The calls below /_control/v1."""

    world: World
    base: str

    def control(self, path: str, query: str, body: bytes) -> tuple[int, object]:
        """Answer the calls that concern no activity."""
        try:
            given = json.loads(body) if body else {}
        except ValueError as fault:
            raise Refusal(400, {"error": "not JSON"}) from fault
        if not isinstance(given, dict):
            raise Refusal(400, {"error": "an object is wanted"})
        world, call = self.world, (self.command, path)
        if call == ("GET", "world"):
            return 200, self.described()
        if call == ("POST", "reset"):
            world.reset()
            return 204, None
        if call == ("GET", "clock"):
            return 200, {"now": control_time(world.now), "kind": "manual", "rate": 1.0}
        if call == ("POST", "clock"):
            seconds = given.get("advance_seconds")
            if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds < 0:
                raise Refusal(400, {"error": "advance_seconds is a number and not negative"})
            world.advance(seconds)
            return 200, {"now": control_time(world.now)}
        if call == ("POST", "activities"):
            return 201, world.add(given).described()
        if path == "parameters" and self.command in {"GET", "PATCH"}:
            if self.command == "PATCH":
                world.parameters |= shapes.check(given, {"skip_reprocessing": shapes.truth})
            return 200, world.parameters
        if path == "faults" and self.command in {"GET", "POST", "DELETE"}:
            return self.control_faults(given)
        if path == "projects" or path.startswith("projects/"):
            return self.control_projects(path, given)
        return self.control_activity(path, query, given)

    def control_faults(self, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls about the fault plan."""
        plan = self.world.faults
        if self.command == "POST":
            return 201, plan.add(given)
        if self.command == "DELETE":
            plan.clear()
            return 204, None
        return 200, plan.faults

    def control_projects(self, path: str, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls about data projects."""
        if path == "projects" and self.command == "GET":
            return 200, [one.described() for one in self.world.projects.values()]
        if path == "projects" and self.command == "POST":
            return 201, self.world.add_project(given).described()
        identity = GUID.fullmatch(unquote(path.removeprefix("projects/")))
        project = self.world.projects.get(identity[1].lower()) if identity else None
        if project is None or self.command not in {"GET", "PATCH"}:
            raise Refusal(404, {"error": "no such project or call"})
        if self.command == "PATCH":
            project.change(shapes.check(given, projects.PROJECT))
        return 200, project.described()

    def control_activity(self, path: str, query: str, given: dict[str, object]) -> tuple[int, object]:
        """Answer the calls that concern one activity."""
        found = re.fullmatch(r"activities/([^/]+)(?:/(\w+))?", path)
        activity = GUID.fullmatch(unquote(found[1])) if found else None
        job = self.world.jobs.get(activity[1].lower()) if activity else None
        if job is None:
            raise Refusal(404, {"error": "no such activity or call"})
        call = (self.command, found[2])
        if call == ("PATCH", None):
            self.world.change(job, shapes.check(given, CHANGEABLE))
            return 200, job.described()
        if call in {("POST", "produce"), ("POST", "process")} and job.exports != (found[2] == "produce"):
            raise Refusal(400, {"error": "wrong direction"})
        if call == ("POST", "produce"):
            count = given.get("records")
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise Refusal(400, {"error": "records is a number and not negative"})
            message = self.world.produce(job, count)
            digest = None if message.payload is None else hashlib.sha256(message.payload).hexdigest()
            uploaded = message.payload is not None
            return 200, {"messageId": message.id, "uploaded": uploaded, "records": message.exported, "sha256": digest}
        if call == ("POST", "process"):
            return 200, {"processed": self.world.run_import(job)}
        if call == ("GET", "messages"):
            return 200, [manage_row(one) for one in job.messages]
        if call == ("GET", "load"):
            return 200, job.samples
        if call == ("POST", "batch"):
            self.control_batch(job, given)
            return 204, None
        if call == ("GET", "records"):
            asked = parse_qs(query).get("entity", [job.project.entities[0]["entity"]])[-1]
            part = job.project.part(asked)
            if part is None:
                raise Refusal(400, {"error": "the project has no such entity"})
            return 200, {"entity": part["entity"], "records": list(job.table(part["entity"]).values())}
        if call == ("POST", "cleanup"):
            deleted = self.world.clean(job, given.get("olderThanDays", 0), given.get("statuses") or None)
            return 200, {"deleted": deleted}
        raise Refusal(404, {"error": "no such call"})

    def control_batch(self, job: Job, given: dict[str, object]) -> None:
        """Ask for the newest status, or forget what the batch history knows."""
        shapes.check(given, {"action": shapes.one_of("get-status", "delete-history")}, ["action"])
        if given["action"] == "get-status":
            job.fetches.append(self.world.now + STATUS_FETCH)
            return
        for message in job.messages:
            message.history = None

    def described(self) -> dict[str, object]:
        """The world, as the control plane shows it."""
        world = self.world
        members = ("name", "type", "length", "key", "mandatory")
        entities = [
            {"name": each.name, "fields": [{member: getattr(one, member) for member in members} for one in each.fields]}
            for each in files.ENTITIES
        ]
        return {
            "name": "stranger",
            "build": "7",
            "abilities": ABILITIES,
            "base_url": self.base,
            "identity": {
                "token_url": f"{self.base}/sign-in/{world.tenant}/v2",
                "token_url_v1": f"{self.base}/sign-in/{world.tenant}/v1",
                "resource": self.base,
                "tenant": world.tenant,
                "clients": world.clients,
            },
            "activities": [job.described() for job in world.jobs.values()],
            "entities": entities,
            "formats": files.FORMATS,
        }
