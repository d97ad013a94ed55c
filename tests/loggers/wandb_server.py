"""Stand-in for W&B's server, on this machine: answers what the SDK asks, and keeps what it sends.

A run's history is a list of lines, and each part of it that arrives has the number of its first line
(`offset`): lines of those numbers are replaced. A run that is begun anew, without resuming, loses its lines.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PUBLIC = ("displayName", "sweepName", "group", "jobType", "commit", "description", "notes",
          )  # fmt: skip


@dataclass
class StoredRun:
    """What the server holds of one run."""

    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    """The variables of the last request that made or changed it."""
    exit_code: int | None = None
    complete: bool = False
    files: dict[str, bytes] = field(default_factory=dict)

    def updates(self) -> list[int]:
        return [row["update"] for row in self.history]


@dataclass
class Server:
    """A running stand-in."""

    url: str = ""
    runs: dict[tuple[str, str, str], StoredRun] = field(default_factory=dict)
    """By entity, project and id."""
    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Requests in order: the name of the operation or `file_stream`, and what it contained."""
    keys: set[str] = field(default_factory=set)
    """API keys that were sent."""
    accepts: str | None = None
    """The only key that is accepted, if one is set."""
    closes_after: int | None = None
    """Number of file_stream requests that are answered; later requests of any kind get no answer."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def names(self) -> list[str]:
        return [name for name, _ in self.log]

    def offsets(self) -> list[tuple[int, list[int]]]:
        """Of each part of a history that arrived: number of its first line, and its updates."""
        found = []
        for name, sent in self.log:
            chunk = (sent.get("files") or {}).get("wandb-history.jsonl") if name == "file_stream" else None
            if chunk:
                found.append((chunk["offset"], [json.loads(line)["update"] for line in chunk["content"]]))
        return found

    def only(self) -> StoredRun:
        (run,) = self.runs.values()
        return run

    def answer(self, path: str, body: dict[str, Any], key: str) -> tuple[int, Any] | None:
        """Status and JSON of the answer; None: the connection is closed without one."""
        with self.lock:
            self.keys.add(key)
            if self.closes_after is not None and self.closes_after <= 0:
                return None
            if self.accepts is not None and key != self.accepts:
                return 401, {"errors": [{"message": "user is not logged in"}]}
            if path == "/graphql":
                return 200, {"data": self._graphql(body)}
            if path.endswith("/file_stream"):
                if self.closes_after is not None:
                    self.closes_after -= 1
                return 200, self._stream(path, body)
            return 404, {}

    def upload(self, path: str, content: bytes) -> None:
        _, _, entity, project, name, file = path.split("/", 5)
        with self.lock:
            self.runs[entity, project, name].files[file] = content

    def _graphql(self, body: dict[str, Any]) -> dict[str, Any]:
        query, variables = body["query"], body.get("variables") or {}
        name = query.split("(")[0].split("{")[0].split()[-1]
        self.log.append((name, variables))
        if name in ("Viewer", "CheckViewer", "DefaultEntity") or "viewer" in query:
            teams: dict[str, Any] = {"edges": []}
            viewer = {"id": "1", "entity": "somebody", "username": "somebody", "email": "", "flags": "{}"}
            return {"viewer": viewer | {"teams": teams}, "serverInfo": {"features": []}}
        if name == "Run":
            return {"project": self._public(variables)}
        if name == "UpsertBucket":
            return {"upsertBucket": self._upsert(variables)}
        if name == "RunResumeStatus":
            return {"model": self._status(variables)}
        if name == "CreateRunFiles":
            place = f"{self.url}/upload/{variables['entity']}/{variables['project']}/{variables['run']}"
            files = [{"name": file, "uploadUrl": f"{place}/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        return {}

    def _place(self, variables: dict[str, Any]) -> tuple[str, str, str]:
        project = variables.get("project") or "uncategorized"
        return variables.get("entity") or "somebody", project, variables["name"]

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        if variables.get("id"):
            place = next(place for place in self.runs if "/".join(place) == variables["id"])
        else:
            place = self._place(variables)
        inserted = place not in self.runs
        run = self.runs.setdefault(place, StoredRun())
        run.about |= {name: value for name, value in variables.items() if value is not None}
        if variables.get("config"):
            run.config = json.loads(variables["config"])
        entity, project, name = place
        found_project = {"id": project, "name": project, "entity": {"id": entity, "name": entity}}
        bucket = {
            "id": "/".join(place), "name": name, "displayName": run.about.get("displayName"),
            "description": "", "config": json.dumps(run.config), "sweepName": None,
            "project": found_project, "historyLineCount": len(run.history),
        }  # fmt: skip
        return {"bucket": bucket, "inserted": inserted}

    def _status(self, variables: dict[str, Any]) -> dict[str, Any]:
        place = self._place(variables)
        entity, project, name = place
        run, bucket = self.runs.get(place), None
        if run is not None:
            bucket = {
                "id": "/".join(place), "name": name, "summaryMetrics": json.dumps(run.summary),
                "displayName": run.about.get("displayName"), "logLineCount": 0,
                "historyLineCount": len(run.history), "eventsLineCount": 0,
                "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
                "eventsTail": "[]", "config": json.dumps(run.config), "tags": run.about.get("tags") or [],
                "notes": run.about.get("notes"), "wandbConfig": '{"t": 1}',
            }  # fmt: skip
        return {"id": project, "name": project, "entity": {"id": entity, "name": entity}, "bucket": bucket}

    def _public(self, variables: dict[str, Any]) -> dict[str, Any]:
        """The run as W&B's public API reads it."""
        run = self.runs.get(self._place(variables))
        if run is None:
            return {"run": None}
        found = dict.fromkeys(PUBLIC) | {
            "id": "/".join(self._place(variables)), "name": variables["name"], "state": "running",
            "tags": [], "config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": len(run.history), "readOnly": False, "createdAt": "2026-01-01T00:00:00",
            "heartbeatAt": "2026-01-01T00:00:00", "historyKeys": {}, "systemMetrics": "{}",
            "user": {"name": "Somebody", "username": "somebody"},
        }  # fmt: skip
        return {"id": "1", "internalId": "1", "run": found | {"projectId": "1"}}

    def _stream(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        _, _, entity, project, name, _ = path.split("/")
        self.log.append(("file_stream", body))
        run = self.runs[entity, project, name]
        for file, chunk in (body.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk["content"]]
            if file == "wandb-history.jsonl":
                assert chunk["offset"] <= len(run.history), "lines are missing before these"
                if chunk["offset"] == 0:
                    run.history.clear()
                run.history[chunk["offset"] : chunk["offset"] + len(lines)] = lines
            elif file == "wandb-summary.json":
                run.summary = lines[-1]
        if "complete" in body:
            run.complete, run.exit_code = body["complete"], body.get("exitcode")
        return {}


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self._content()
            user = self.headers.get("Authorization", "").removeprefix("Basic ")
            key = base64.b64decode(user).decode().partition(":")[2] if user else ""
            found = server.answer(self.path, json.loads(content or b"{}"), key)
            if found is None:
                self.close_connection = True
                return
            status, answer = found
            self._send(status, json.dumps(answer).encode())

        def do_PUT(self) -> None:
            server.upload(self.path, self._content())
            self._send(200, b"{}")

        def _content(self) -> bytes:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            return gzip.decompress(content) if self.headers.get("Content-Encoding") == "gzip" else content

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving() -> Iterator[Server]:
    """A server for the length of a `with`."""
    found = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    http.daemon_threads = True
    found.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)
