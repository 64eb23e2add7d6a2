"""A model hub on this machine: as much of the Hugging Face hub's interface as uploading and downloading use.

Repositories are dictionaries from path to bytes. Large files go through git LFS, in one piece, and are checked by digest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "1" * 40
LARGE = (".safetensors", ".gguf")


class Hub:
    """What the server holds, and every request it had. `broken` names a step that fails: create, upload or commit."""

    def __init__(self, token: str = "") -> None:
        self.token, self.broken = token, ""
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.address = ""


@contextmanager
def hub(token: str = "") -> Iterator[Hub]:
    """A hub on a free loopback port. With a `token`, nothing is answered without it."""
    state = Hub(token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": state}))
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        self._dispatch()

    def do_PUT(self) -> None:
        self._dispatch()

    def do_GET(self) -> None:
        self._dispatch()

    def do_HEAD(self) -> None:
        self._dispatch()

    def _dispatch(self) -> None:
        path = unquote(urlparse(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {path}")
        allowed = not self.hub.token or self.headers.get("Authorization") == f"Bearer {self.hub.token}"
        if path.startswith("/lfs/"):  # signed addresses carry no token
            self._object(path)
        elif not allowed:
            self._json({"error": "Invalid credentials"}, 401)
        elif path == "/api/validate-yaml":
            self._json(
                {"errors": [] if "license:" in json.loads(self.body)["content"] else [{"message": "no license"}]}
            )
        elif path == "/api/repos/create":
            self._create(json.loads(self.body))
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch(json.loads(self.body))
        elif path.startswith("/api/"):
            self._api(*path.removeprefix("/api/").split("/"))
        elif "/resolve/" in path:
            self._resolve(path)
        else:
            self._missing()

    def _create(self, asked: Any) -> None:
        name = "/".join(part for part in (asked.get("organization"), asked["name"]) if part)
        if self.hub.broken == "create":
            self._json({"error": "You don't have the rights to create a model there"}, 403)
        elif name in self.hub.repos:
            self._json({"error": "You already created this model repo", "url": f"{self.hub.address}/{name}"}, 409)
        else:
            self.hub.repos[name] = {}
            self.hub.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
            self._json({"url": f"{self.hub.address}/{name}"})

    def _api(self, kind: str, *rest: str) -> None:
        """`/api/{models,datasets}/owner/name/…`"""
        name, verb, more = "/".join(rest[:2]), rest[2] if len(rest) > 2 else "", rest[3:]
        files = self.hub.repos.get(name)
        if files is None:
            self._missing()
        elif verb == "preupload":
            self._json({"files": [self._mode(each) for each in json.loads(self.body)["files"]]})
        elif verb == "commit":
            self._commit(name)
        elif verb in ("", "revision"):
            self._json(self._info(name, files))
        elif verb == "tree":
            self._json(_listed(files, "/".join(more[1:]), "recursive=true" in self.path.lower()))
        elif verb == "paths-info":
            wanted = json.loads(self.body)["paths"] if self.body.startswith(b"{") else _form(self.body)
            self._json([_entry(path, files[path]) for path in wanted if path in files])
        else:
            self._missing()

    def _info(self, name: str, files: dict[str, bytes]) -> dict[str, Any]:
        return {
            "id": name, "modelId": name, "_id": "0" * 24, "sha": COMMIT, "private": self.hub.private.get(name, False), "tags": [],
            "downloads": 0, "likes": 0, "gated": False, "disabled": False, "siblings": [{"rfilename": path} for path in files],
        }  # fmt: skip

    def _mode(self, file: Any) -> dict[str, Any]:
        mode = "lfs" if file["path"].endswith(LARGE) else "regular"
        return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False}

    def _batch(self, asked: Any) -> None:
        actions = [
            {
                "oid": each["oid"],
                "size": each["size"],
                "actions": {"upload": {"href": f"{self.hub.address}/lfs/{each['oid']}"}},
            }
            for each in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": actions}, kind="application/vnd.git-lfs+json")

    def _object(self, path: str) -> None:
        oid = path.rpartition("/")[2]
        good = hashlib.sha256(self.body).hexdigest() == oid and self.hub.broken != "upload"
        if good:
            self.hub.objects[oid] = self.body
        self._json({} if good else {"error": "not what was announced"}, 200 if good else 400)

    def _commit(self, name: str) -> None:
        if self.hub.broken == "commit":
            self._json({"error": "the commit was refused"}, 403)
            return
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                self.hub.repos[name][value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                self.hub.repos[name][value["path"]] = self.hub.objects[value["oid"]]
        self._json({"commitUrl": f"{self.hub.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT, "success": True})

    def _resolve(self, path: str) -> None:
        """`/datasets/owner/name/resolve/revision/file`"""
        where, _, rest = path.partition("/resolve/")
        name, file = "/".join(where.strip("/").split("/")[-2:]), rest.partition("/")[2]
        data = self.hub.repos.get(name, {}).get(file)
        if data is None:
            self._missing("EntryNotFound")
            return
        headers = {"ETag": f'"{_sha(data)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        begin, end = _range(self.headers.get("Range"), len(data))
        if (begin, end) != (0, len(data)):
            headers["Content-Range"] = f"bytes {begin}-{end - 1}/{len(data)}"
        self._send(data[begin:end], 206 if "Content-Range" in headers else 200, "application/octet-stream", headers)

    def _missing(self, code: str = "RepoNotFound") -> None:
        self._json({"error": "not found"}, 404, headers={"X-Error-Code": code, "X-Error-Message": "not found"})

    def _json(
        self, value: Any, status: int = 200, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        self._send(json.dumps(value).encode(), status, kind, headers or {})

    def _send(self, data: bytes, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": kind, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _listed(files: dict[str, bytes], under: str, deep: bool) -> list[dict[str, Any]]:
    """A folder's files, and its folders where what is in those is not asked for."""
    start = f"{under}/" if under else ""
    inside = {path: data for path, data in files.items() if path.startswith(start)}
    flat = [_entry(path, data) for path, data in inside.items() if deep or "/" not in path[len(start) :]]
    folders = {start + path[len(start) :].partition("/")[0] for path in inside if "/" in path[len(start) :]}
    return [*flat, *({"type": "directory", "path": path, "oid": _sha(b""), "size": 0} for path in sorted(folders))]


def _entry(path: str, data: bytes) -> dict[str, Any]:
    return {"type": "file", "path": path, "oid": _sha(data), "size": len(data)}


def _sha(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _form(body: bytes) -> list[str]:
    pairs = [part.partition("=") for part in unquote(body.decode().replace("+", " ")).split("&")]
    return [value for key, _, value in pairs if key == "paths"]


def _range(header: str | None, size: int) -> tuple[int, int]:
    if not header:
        return 0, size
    begin, _, end = header.removeprefix("bytes=").partition("-")
    return int(begin or 0), min(int(end) + 1 if end else size, size)
