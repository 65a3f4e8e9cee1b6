"""A Hub on loopback: what the real `huggingface_hub` and `datasets` clients speak, kept on disk like a git host.

Commits are files that name a parent and a tree (path -> blob); blobs are named by their sha256; branches and tags are
names for commits. Files above `REGULAR` bytes go through LFS as on the real Hub. Xet is not spoken: clients run with
`HF_HUB_DISABLE_XET=1`. Faults are injected per request: a status, a dropped connection, a delay.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

REGULAR = 100_000
"""Bytes up to which a file is part of the commit; larger ones go through LFS, Parquet always."""
TOKEN, READER = "hf_" + "w" * 34, "hf_" + "r" * 34
"""A token that may write to `user/*`, and one that may only read."""


@dataclass
class Fault:
    """What happens to the next `times` requests whose `METHOD path` matches."""

    pattern: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    drop_after: int | None = None
    """Close the connection after so many bytes of the request's (PUT) or the response's body."""
    delay: float = 0.0
    late: bool = False
    """The request is carried out, and then answered with `status`: the answer was lost."""


class Hub:
    """The server; `with Hub(folder) as hub` runs it in a thread, `hub.url` is its endpoint."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, threading.RLock()
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        self.bytes_in = 0
        """Of LFS uploads and regular files that arrived."""
        self.bytes_out = 0
        """Of files that were asked for."""
        self.tokens = {TOKEN: "user", READER: "reader"}
        (folder / "blobs").mkdir(parents=True, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Hub:
        app: ASGIApp = Starlette(routes=self._routes())
        config = uvicorn.Config(_Faulty(app, self), host="127.0.0.1", port=self.port, log_level="error", lifespan="off")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.server.force_exit = True
        self.thread.join(timeout=5)

    def fail(self, pattern: str, **how: Any) -> None:
        """Inject a fault; see `Fault`."""
        self.faults.append(Fault(pattern, **how))

    # What tests look at.

    def repo(self, name: str) -> dict[str, Any] | None:
        """The state of a repository: private, refs, tags; None: there is none."""
        file = self.folder / "repos" / name / "state.json"
        return json.loads(file.read_text()) if file.is_file() else None

    def log(self, name: str, revision: str = "main") -> list[dict[str, Any]]:
        """Commits of a branch, newest first."""
        found, oid = [], self.resolve(name, revision)
        while oid:
            commit = self.commit(name, oid)
            found.append(commit)
            oid = commit["parent"]
        return found

    def files(self, name: str, revision: str = "main") -> dict[str, str]:
        """Path -> sha256 at a revision."""
        oid = self.resolve(name, revision)
        return dict(self.commit(name, oid)["tree"]) if oid else {}

    def content(self, name: str, path: str, revision: str = "main") -> bytes:
        """The bytes of a file."""
        return self.blob(self.files(name, revision)[path]).read_bytes()

    # The store.

    def blob(self, oid: str) -> Path:
        return self.folder / "blobs" / oid

    def commit(self, name: str, oid: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "repos" / name / "commits" / f"{oid}.json").read_text())
        return found

    def resolve(self, name: str, revision: str) -> str | None:
        state = self.repo(name) or {"refs": {}, "tags": {}}
        for refs in (state["refs"], state["tags"]):
            if revision in refs:
                return str(refs[revision])
        exists = (
            re.fullmatch("[0-9a-f]{40}", revision)
            and (self.folder / "repos" / name / "commits" / f"{revision}.json").is_file()
        )
        return revision if exists else None

    def save(self, name: str, state: dict[str, Any]) -> None:
        file = self.folder / "repos" / name / "state.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".new").write_text(json.dumps(state))
        file.with_suffix(".new").replace(file)

    def add_commit(self, name: str, branch: str, title: str, tree: dict[str, str], message: str = "") -> str:
        state = self.repo(name)
        assert state is not None
        parent = state["refs"].get(branch)
        date = time.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        body = {"parent": parent, "title": title, "message": message, "tree": tree, "date": date}
        oid = hashlib.sha1(json.dumps([body, time.time_ns()]).encode()).hexdigest()
        file = self.folder / "repos" / name / "commits" / f"{oid}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**body, "oid": oid}))
        state["refs"][branch] = oid
        self.save(name, state)
        return oid

    # Who asks.

    def _user(self, request: Request) -> str | None:
        return self.tokens.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    def _seen(self, request: Request, *, write: bool = False) -> tuple[str, dict[str, Any]]:
        name = f"{request.path_params['namespace']}/{request.path_params['name']}"
        state, user = self.repo(name), self._user(request)
        if state is None or (state["private"] and user != request.path_params["namespace"]):
            raise _Refusal(404 if user else 401, "Repository not found", "RepoNotFound")
        if write and user != request.path_params["namespace"]:
            raise _Refusal(403 if user else 401, "Forbidden: pass a token with write access")
        return name, state

    def _at(self, name: str, request: Request) -> str:
        oid = self.resolve(name, request.path_params["revision"])
        if oid is None:
            raise _Refusal(404, "Invalid rev id", "RevisionNotFound")
        return oid

    # The endpoints.

    def _routes(self) -> list[Route]:
        api, repo = "/api/datasets/{namespace}/{name}", "/datasets/{namespace}/{name}"
        table = [
            ("GET", "/api/whoami-v2", self.whoami),
            ("POST", "/api/validate-yaml", self.validate_yaml),
            ("POST", "/api/repos/create", self.create),
            ("DELETE", "/api/repos/delete", self.delete),
            ("GET", api, self.info),
            ("GET", api + "/revision/{revision:path}", self.info),
            ("GET", api + "/refs", self.refs),
            ("GET", api + "/commits/{revision}", self.commits),
            ("POST", api + "/preupload/{revision}", self.preupload),
            ("POST", api + "/commit/{revision}", self.make_commit),
            ("POST", api + "/paths-info/{revision}", self.paths_info),
            ("GET", api + "/tree/{revision}", self.tree),
            ("GET", api + "/tree/{revision}/{path:path}", self.tree),
            ("POST", api + "/branch/{branch}", self.make_branch),
            ("DELETE", api + "/branch/{branch}", self.delete_branch),
            ("POST", api + "/tag/{revision}", self.make_tag),
            ("DELETE", api + "/tag/{tag}", self.delete_tag),
            ("PUT", api + "/settings", self.settings),
            ("POST", repo + ".git/info/lfs/objects/batch", self.lfs_batch),
            ("PUT", "/lfs/{oid}", self.lfs_upload),
            ("GET", repo + "/resolve/{revision}/{path:path}", self.download),
        ]
        return [Route(path, _guarded(handler), methods=[method]) for method, path, handler in table]

    async def whoami(self, request: Request) -> Response:
        user = self._user(request)
        if user is None:
            raise _Refusal(401, "Invalid user token.")
        return JSONResponse({"type": "user", "name": user, "orgs": [], "auth": {"accessToken": {"role": "write"}}})

    async def validate_yaml(self, request: Request) -> Response:
        del request
        return JSONResponse({"errors": [], "warnings": []})

    async def create(self, request: Request) -> Response:
        said, user = await request.json(), self._user(request)
        name = f"{said.get('organization') or user}/{said['name']}"
        if user is None or not name.startswith(f"{user}/"):
            raise _Refusal(403 if user else 401, "You don't have the rights to create a dataset under this namespace")
        url = f"{self.url}/datasets/{name}"
        if self.repo(name) is not None:
            return JSONResponse({"error": "You already created this dataset repo", "url": url}, 409)
        private = said.get("visibility") == "private" or bool(said.get("private"))
        self.save(name, {"private": private, "refs": {}, "tags": {}})
        self.blob(_sha(b"*.parquet filter=lfs\n")).write_bytes(b"*.parquet filter=lfs\n")
        self.add_commit(name, "main", "initial commit", {".gitattributes": _sha(b"*.parquet filter=lfs\n")})
        return JSONResponse({"url": url, "name": name})

    async def delete(self, request: Request) -> Response:
        said = await request.json()
        (
            self.folder / "repos" / f"{said.get('organization') or self._user(request)}/{said['name']}" / "state.json"
        ).unlink()
        return JSONResponse({})

    async def settings(self, request: Request) -> Response:
        name, state = self._seen(request, write=True)
        self.save(name, {**state, "private": (await request.json()).get("private", state["private"])})
        return JSONResponse({})

    async def info(self, request: Request) -> Response:
        name, state = self._seen(request)
        request.path_params.setdefault("revision", "main")
        oid = self._at(name, request)
        tree = self.commit(name, oid)["tree"]
        siblings = [{"rfilename": path, **self._blob_info(sha)} for path, sha in sorted(tree.items())]
        said = {"_id": "0" * 24, "id": name, "author": name.split("/")[0], "sha": oid, "private": state["private"]}
        stats = {"gated": False, "disabled": False, "tags": [], "downloads": 0, "likes": 0}
        times = {"lastModified": self.commit(name, oid)["date"], "createdAt": "2026-01-01T00:00:00.000Z"}
        return JSONResponse({**said, **stats, **times, "siblings": siblings})

    async def refs(self, request: Request) -> Response:
        _, state = self._seen(request)
        branches = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": o} for n, o in state["refs"].items()]
        tags = [{"name": n, "ref": f"refs/tags/{n}", "targetCommit": o} for n, o in state["tags"].items()]
        return JSONResponse({"branches": branches, "tags": tags, "converts": []})

    async def commits(self, request: Request) -> Response:
        name, _ = self._seen(request)
        found = self.log(name, self._at(name, request))
        shown = ("title", "message", "date")
        rows = [{"id": commit["oid"], **{key: commit[key] for key in shown}, "authors": []} for commit in found]
        return JSONResponse(rows)

    async def preupload(self, request: Request) -> Response:
        name, _ = self._seen(request, write=True)
        held = self.files(name, request.path_params["revision"])
        found = []
        for file in (await request.json())["files"]:
            large = file["size"] > REGULAR or file["path"].endswith(".parquet")
            sha = held.get(file["path"])
            oid = {} if sha is None else {"oid": sha if large else _git_sha(self.blob(sha).read_bytes())}
            mode = "lfs" if large else "regular"
            found.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, **oid})
        return JSONResponse({"files": found})

    async def lfs_batch(self, request: Request) -> Response:
        self._seen(request, write=True)
        objects = []
        for wanted in (await request.json())["objects"]:
            upload = {"href": f"{self.url}/lfs/{wanted['oid']}"}
            known = self.blob(wanted["oid"]).is_file()
            objects.append({**wanted, **({} if known else {"actions": {"upload": upload}})})
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def lfs_upload(self, request: Request) -> Response:
        oid, data = request.path_params["oid"], bytearray()
        async for chunk in request.stream():
            data += chunk
            self.bytes_in += len(chunk)
        if _sha(bytes(data)) != oid:
            raise _Refusal(422, "sha256 does not match")
        self.blob(oid).write_bytes(bytes(data))
        return Response()

    async def make_commit(self, request: Request) -> Response:
        name, _ = self._seen(request, write=True)
        branch = request.path_params["revision"]
        lines = [json.loads(line) for line in (await request.body()).splitlines() if line.strip()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        with self.lock:
            head = self.resolve(name, branch)
            if head is None:
                raise _Refusal(404, "Invalid rev id", "RevisionNotFound")
            if header.get("parentCommit") not in (None, head):
                raise _Refusal(412, "A commit has happened since. Please refresh and try again.")
            tree = self._changed(self.files(name, branch), lines)
            oid = self.add_commit(name, branch, header["summary"], tree, header.get("description", ""))
        return JSONResponse({"commitUrl": f"{self.url}/datasets/{name}/commit/{oid}", "commitOid": oid})

    def _changed(self, tree: dict[str, str], lines: list[dict[str, Any]]) -> dict[str, str]:
        for line in lines:
            said = line["value"]
            match line["key"]:
                case "file":
                    data = base64.b64decode(said["content"])
                    self.bytes_in += len(data)
                    self.blob(_sha(data)).write_bytes(data)
                    tree[said["path"]] = _sha(data)
                case "lfsFile":
                    if not self.blob(said["oid"]).is_file():
                        raise _Refusal(422, f"LFS pointer pointed to a file that does not exist: {said['path']}")
                    tree[said["path"]] = said["oid"]
                case "deletedFile":
                    tree.pop(said["path"])
                case "deletedFolder":
                    folder = said["path"].rstrip("/") + "/"
                    tree = {path: sha for path, sha in tree.items() if not path.startswith(folder)}
        return tree

    async def paths_info(self, request: Request) -> Response:
        name, _ = self._seen(request)
        tree = self.commit(name, self._at(name, request))["tree"]
        if "json" in request.headers.get("content-type", ""):
            paths = (await request.json())["paths"]
        else:
            paths = (await request.form()).getlist("paths")
        return JSONResponse([entry for path in paths for entry in self._entries(tree, path)])

    def _entries(self, tree: dict[str, str], path: str) -> list[dict[str, Any]]:
        if path in tree:
            return [self._file(path, tree[path])]
        return [_folder(path)] if any(held.startswith(f"{path}/") for held in tree) else []

    async def tree(self, request: Request) -> Response:
        name, _ = self._seen(request)
        tree = self.commit(name, self._at(name, request))["tree"]
        under = request.path_params.get("path", "").strip("/")
        inside = {path: sha for path, sha in tree.items() if not under or path.startswith(f"{under}/")}
        if under and not inside:
            raise _Refusal(404, f"{under} does not exist on this revision", "EntryNotFound")
        start = len(under) + 1 if under else 0
        deep = request.query_params.get("recursive", "").lower() in ("1", "true")
        folders = {path[: path.index("/", start)] for path in inside if "/" in path[start:]}
        if deep:
            folders = {path[:i] for path in inside for i, c in enumerate(path) if c == "/" and i >= start}
        files = [self._file(p, sha) for p, sha in sorted(inside.items()) if deep or "/" not in p[start:]]
        return JSONResponse([*map(_folder, sorted(folders)), *files])

    def _blob_info(self, sha: str) -> dict[str, Any]:
        size = self.blob(sha).stat().st_size
        return {"size": size, "blobId": _git_sha(self.blob(sha).read_bytes()) if size <= REGULAR else sha[:40]}

    def _file(self, path: str, sha: str) -> dict[str, Any]:
        size = self.blob(sha).stat().st_size
        large = size > REGULAR or path.endswith(".parquet")
        oid = sha[:40] if large else _git_sha(self.blob(sha).read_bytes())
        lfs = {"lfs": {"oid": sha, "size": size, "pointerSize": 130}} if large else {}
        return {"type": "file", "path": path, "size": size, "oid": oid, **lfs}

    async def make_branch(self, request: Request) -> Response:
        name, state = self._seen(request, write=True)
        branch = request.path_params["branch"]
        start = (await request.json()).get("startingPoint", "main") if await request.body() else "main"
        if branch in state["refs"]:
            raise _Refusal(409, "Reference already exists")
        oid = self.resolve(name, start)
        if oid is None:
            raise _Refusal(404, "Invalid rev id", "RevisionNotFound")
        self.save(name, {**state, "refs": {**state["refs"], branch: oid}})
        return JSONResponse({})

    async def delete_branch(self, request: Request) -> Response:
        name, state = self._seen(request, write=True)
        if request.path_params["branch"] not in state["refs"]:
            raise _Refusal(404, "Reference not found", "RevisionNotFound")
        state["refs"].pop(request.path_params["branch"])
        self.save(name, state)
        return JSONResponse({})

    async def make_tag(self, request: Request) -> Response:
        name, state = self._seen(request, write=True)
        tag = (await request.json())["tag"]
        if tag in state["tags"]:
            raise _Refusal(409, "Tag reference exists already")
        state["tags"][tag] = self._at(name, request)
        self.save(name, state)
        return JSONResponse({})

    async def delete_tag(self, request: Request) -> Response:
        name, state = self._seen(request, write=True)
        state["tags"].pop(request.path_params["tag"], None)
        self.save(name, state)
        return JSONResponse({})

    async def download(self, request: Request) -> Response:
        name, _ = self._seen(request)
        oid, path = self._at(name, request), request.path_params["path"]
        sha = self.commit(name, oid)["tree"].get(path)
        if sha is None:
            raise _Refusal(404, "Entry not found", "EntryNotFound")
        data = self.blob(sha).read_bytes()
        headers = {"etag": f'"{sha}"', "x-repo-commit": oid, "accept-ranges": "bytes", "x-linked-etag": f'"{sha}"'}
        start, end, status = 0, len(data), 200
        if asked := re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", "")):
            first, last = asked.groups()
            start = int(first) if first else max(0, len(data) - int(last))
            end = min(int(last) + 1, len(data)) if first and last else len(data)
            status, headers["content-range"] = 206, f"bytes {start}-{end - 1}/{len(data)}"
        headers |= {"content-length": str(end - start), "x-linked-size": str(len(data))}

        async def body() -> AsyncIterator[bytes]:
            for at in range(start, end, 1 << 16):
                self.bytes_out += min(1 << 16, end - at)
                yield data[at : min(at + (1 << 16), end)]

        content = body() if request.method == "GET" else iter(())
        return StreamingResponse(content, status, headers, "application/octet-stream")


class _Refusal(Exception):
    def __init__(self, status: int, message: str, code: str = "") -> None:
        self.status, self.message, self.code = status, message, code


def _guarded(handler: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        # What is quoted stays apart until here: a branch `a/b` is one part of a path.
        request.path_params.update({key: unquote(value) for key, value in request.path_params.items()})
        try:
            response: Response = await handler(request)
        except _Refusal as no:
            headers = {"x-error-message": no.message, **({"x-error-code": no.code} if no.code else {})}
            return JSONResponse({"error": no.message}, no.status, headers)
        except ClientDisconnect:
            return Response(status_code=499)
        return response

    return endpoint


class _Faulty:
    """Counts requests and injects faults around the application."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self.app, self.hub = app, hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        said, scope = f"{scope['method']} {scope['path']}", {**scope, "path": scope["raw_path"].decode()}
        with self.hub.lock:
            self.hub.requests.append(said)
            fault = next((f for f in self.hub.faults if f.times > 0 and re.search(f.pattern, said)), None)
            if fault:
                fault.times -= 1
        if fault is None:
            await self.app(scope, receive, send)
            return
        await asyncio.sleep(fault.delay)
        if fault.late:
            await self.app(scope, receive, _swallow)
        if fault.drop_after is not None:
            await self.app(scope, _cut_in(receive, fault.drop_after), _cut_out(send, fault.drop_after))
        elif fault.status:
            await Response("injected", fault.status, fault.headers)(scope, receive, send)
        elif not fault.late:
            await self.app(scope, receive, send)


async def _swallow(_: Any) -> None:
    return


def _cut_in(receive: Receive, limit: int) -> Receive:
    held = 0

    async def cut() -> Any:
        nonlocal held
        message = await receive()
        held += len(message.get("body", b""))
        if held > limit:
            raise ConnectionResetError("injected")
        return message

    return cut


def _cut_out(send: Send, limit: int) -> Send:
    sent = 0

    async def cut(message: Any) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))
        if sent > limit:
            raise ConnectionResetError("injected")
        await send(message)

    return cut


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _git_sha(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Hub]:
    """A Hub that is up."""
    with Hub(folder) as hub:
        yield hub
