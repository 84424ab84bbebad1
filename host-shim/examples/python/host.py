#!/usr/bin/env python3
"""A host of the provider component in Python, with the package `wasmtime`: one turn, blocking.

    python host.py --component provider.wasm --config config.json [--workspace DIR] [--session NAME]
        [--instructions TEXT] [--effort LEVEL] [--output-schema FILE] PROMPT

The other options, standard output and exit codes are those of `plexum-openai-provider say --json`.

Left to you: images in the request, limits on what the component computes and keeps in memory and on how much codex
prints, tools that have left codex's process group, a record of the calls. A turn blocks its thread, so only a signal
cancels it, and `turn.cancel` is not used. The imports are the whole of what the component can do.
"""

import argparse
import errno
import fcntl
import hashlib
import itertools
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wasmtime import Engine, Store
from wasmtime.component import Component, Linker, Record, ResourceAny, ResourceHost, ResourceType, Variant

DRAIN_SECONDS = 0.5  # for output after codex has ended: a tool that it left behind may hold the pipes forever
MAX_BATCH_BYTES = 1024 * 1024
MAX_LINE_BYTES = 8 * 1024 * 1024
STDERR_BYTES = 64 * 1024
MAX_ARGUMENT_BYTES = 131_071  # Linux takes no longer one
MAX_SCHEMA_BYTES = 1024 * 1024
CHILD = 1  # the host's number for the resource type `child`
SERVER_TURN = 2  # that for `turn`, of which there is none

NO_SERVER = (
    "This host keeps no codex between turns, so the turn runs with `codex exec`: set `transport` to \"exec\" in config.json."
)

DEFAULTS = {
    "$schema": None,  # for editors
    "binary": None, "extra_args": [], "supported_models": ["codex"], "model_args": {}, "prompt": "automatic",
    "transport": "exec", "server": {},  # the latter is for `app-server`, which this host does not have
    "sandbox": "danger-full-access", "lost_session": "replay", "instructions": "developer",
    "changed_instructions": "keep", "limits": {},
}
# What may be said of a model in `supported_models`, where it is not only named.
MODEL = {"id": None, "display_name": None, "context_window": None, "images": True, "efforts": []}
LIMITS = {
    "start_seconds": 60, "idle_seconds": 1800, "tool_idle_seconds": 7200, "turn_seconds": 21600, "busy_seconds": 30,
    "end_seconds": 10, "grace_seconds": 3,
}
SANDBOX_FLAGS = {
    "danger-full-access": ["--dangerously-bypass-approvals-and-sandbox"],
    "workspace-write": ["-c", 'sandbox_mode="workspace-write"'],
    "read-only": ["-c", 'sandbox_mode="read-only"'],
}
# The words that stand for a part of the request, each after its flag, in the order in which they stand in a call.
REQUEST_WORDS = {
    "instructions": ["-c", "developer_instructions=request:instructions"],
    "effort": ["-c", "model_reasoning_effort=request:effort"],
    "output_schema": ["--output-schema", "request:output-schema"],
}
# The token counts, and whether codex always gives them.
TOTALS = {
    "input_tokens": True, "cached_input_tokens": False, "cache_write_input_tokens": False, "output_tokens": True,
    "reasoning_output_tokens": False,
}
UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
EFFORT = re.compile(r"[A-Za-z0-9_-]{1,32}")
DIGEST = re.compile(r"[A-Za-z0-9_-]{1,128}")
# The runtime's process may hold other providers' keys, and codex runs what a model says.
ENVIRONMENT = re.compile(
    r"PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_.*|TERM|COLORTERM|TZ|TMPDIR|XDG_.*|CODEX_.*|OPENAI_.*"
    r"|(HTTPS?|ALL|NO)_PROXY|(https?|all|no)_proxy|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|CURL_CA_BUNDLE"
    r"|REQUESTS_CA_BUNDLE|DBUS_SESSION_BUS_ADDRESS"
)


def record(**fields):
    """A record of the contract; Python's names have `_` where the contract's have `-`."""
    made = Record()
    made.__dict__.update((name.replace("_", "-"), value) for name, value in fields.items())
    return made


class Stopped(Exception):
    """This signal stopped the turn."""


class Session:
    """What is kept of a conversation, in the files of the Rust host, under its lock. Left out: whose a thread is. This
    host resumes whatever the session file names."""

    def __init__(self, workspace, name):
        """`name` is the request's `session`. It may be any text, so the files have a digest of it."""
        digest = "" if name is None else "-" + hashlib.sha256(name.encode()).hexdigest()[:32]
        self.id_file = workspace / f".plexum-codex-session{digest}"
        states = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        self.folder = states / "plexum-openai-provider"
        for folder in ["threads", "workspaces", "locks"]:
            (self.folder / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        if name is None:
            # The agent cannot take it away.
            self.lock_path, self.lock_flags = workspace, os.O_DIRECTORY
        else:
            inode = os.stat(workspace).st_ino.to_bytes(8, "little")
            digest = hashlib.sha256(inode + name.encode()).hexdigest()[:32]
            self.lock_path, self.lock_flags = self.folder / "locks" / digest, os.O_CREAT | os.O_NOFOLLOW

    def lock(self, seconds):
        """Keeps other turns out until this process ends; false when one has gone on for longer than that."""
        self.lock_file = os.open(self.lock_path, os.O_RDONLY | self.lock_flags, 0o600)
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(self.lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)

    def load(self):
        """What the conversation goes on with."""
        thread_id, entry = read_small(self.id_file), None
        if thread_id is not None:
            thread_id = thread_id.strip()
            try:
                totals, instructions = self.known(thread_id)
            except (AttributeError, OSError, RecursionError, TypeError, ValueError):
                totals = instructions = None
            entry = record(thread_id=thread_id, totals=totals, instructions=instructions)
        return record(entry=entry, foreign=None, notices=[])

    def known(self, thread_id):
        """What is known besides the id. The totals are not, if codex's own record has grown since."""
        thread = self.thread(thread_id)
        totals, instructions, before = thread.get("totals"), thread.get("instructions"), thread.get("rollout")
        believed = totals is not None and before == rollout(thread_id, before)
        return counts(totals) if believed else None, instructions

    def thread(self, thread_id):
        """The file of the state about this thread. It may be lost."""
        return json.loads(read_small(self.thread_file(thread_id)) or "{}")

    def thread_file(self, thread_id):
        if not UUID.fullmatch(thread_id):
            raise ValueError("not a thread id")
        return self.folder / "threads" / f"{thread_id.lower()}.json"

    def save(self, entry):
        """Returns what a person should know."""
        saved = to_json(entry)
        thread_id = saved.pop("thread_id")
        if read_small(self.id_file) != thread_id:
            self.replace(self.id_file, thread_id)
        try:
            thread = self.thread(thread_id)
        except ValueError:
            thread = {}
        owner, before = thread.get("owner"), thread.get("rollout")
        kept = {"owner": owner, **saved, "rollout": rollout(thread_id, before) if "totals" in saved else None}
        kept = {name: value for name, value in kept.items() if value is not None}
        self.replace(self.thread_file(thread_id), json.dumps(kept))
        return []

    def set_aside(self):
        self.id_file.rename(f"{self.id_file}.bad")

    def replace(self, path, content):
        """A crash leaves the old content or the new one, whole."""
        temporary = Path(f"{path}.tmp")
        temporary.unlink(missing_ok=True)
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(file, "w") as written:
            written.write(content)
            written.flush()
            os.fsync(file)
        temporary.rename(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def rollout(thread_id, known):
    """Codex's own record of the thread: where it is, and how long."""
    home = Path(os.environ.get("CODEX_HOME") or Path.home() / ".codex")
    if known is None:
        found = next(home.glob(f"sessions/*/*/*/rollout-*-{thread_id}.jsonl"), None)
        path = found and str(found.relative_to(home))
    else:
        path = known["path"]
    try:
        return path and {"path": path, "bytes": (home / path).stat().st_size}
    except OSError:
        return None


def counts(totals):
    """The record `totals`, from JSON."""
    for name, always in TOTALS.items():
        value = totals.get(name)
        if (always or value is not None) and (type(value) is not int or not 0 <= value < 2 ** 64):
            raise ValueError(f"{name} is not a number of tokens")
    return record(**{name: totals.get(name) for name in TOTALS})


def read_small(path):
    """The text of a small plain file; no link is followed, because the agent can write to the workspace."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with os.fdopen(file) as opened:
        return opened.read(65536)


class Handover:
    """What a request hands over to codex. The component only writes words that stand for these parts: whatever it makes
    of the request, codex gets what the request holds, or nothing."""

    def __init__(self, request, setting):
        """`setting` is the operator's, for instructions."""
        # What codex could not be given anyway is left out: the component says why.
        self.parts = {}
        self.file = None
        instructions = all_instructions(request)
        if setting == "developer" and instructions:
            self.parts["instructions"] = instructions
        effort, schema = request.options.effort, getattr(request.options, "output-schema")
        if effort is not None and EFFORT.fullmatch(effort):
            self.parts["effort"] = effort
        if schema is not None and len(schema.encode()) <= MAX_SCHEMA_BYTES:
            # Only this user can read it.
            self.file = tempfile.NamedTemporaryFile(prefix="plexum-codex-", suffix=".json")
            self.file.write(schema.encode())
            self.file.flush()
            self.parts["output_schema"] = os.path.abspath(self.file.name)

    def argument(self, part):
        """What codex gets in place of the word for this part."""
        value = self.parts[part]
        if part == "output_schema":
            return value
        key = {"instructions": "developer_instructions", "effort": "model_reasoning_effort"}[part]
        return f"{key}={toml_string(value)}"

    def close(self):
        """Removes the schema's file."""
        if self.file is not None:
            self.file.close()


def all_instructions(request):
    """The instructions and then the messages of role `system`, an empty line between any two."""
    systems = [message for message in request.messages if message.role == "system"]
    # A piece that is no text is the number of an image.
    texts = ["\n\n".join(piece for piece in message.content if isinstance(piece, str)) for message in systems]
    return "\n\n".join(text for text in [request.instructions, *texts] if text)


def toml_string(text):
    """A text as a TOML string on one line: as in JSON, but TOML knows no bare DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class Child:
    """The resource `child`: a running codex."""

    def __init__(self, turn, args, prompt):
        self.turn = turn
        env = {name: value for name, value in os.environ.items() if ENVIRONMENT.fullmatch(name)}
        stdin = subprocess.DEVNULL if prompt is None else subprocess.PIPE
        self.process = subprocess.Popen(
            [turn.config["binary"], *args], cwd=turn.workspace, env=env, start_new_session=True,
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        self.stopped = None
        self.spoke = False
        self.output_cut = False
        self.stderr = b""
        self.buffer = b""
        self.began = time.monotonic()
        self.pipes = selectors.DefaultSelector()
        # The prompt is written while output is read: codex may fill its pipe before it has read everything.
        self.unwritten = (prompt or "").encode()
        for pipe, event in [(self.process.stdout, selectors.EVENT_READ), (self.process.stderr, selectors.EVENT_READ),
                            (self.process.stdin, selectors.EVENT_WRITE)]:
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
                self.pipes.register(pipe, event)

    def lines(self, max_bytes, awaiting):
        """Whole lines, and the lengths of those that were too long."""
        limits = self.turn.limits
        idle, cause = {
            "model": ("idle_seconds", "idle-timeout"), "tool": ("tool_idle_seconds", "idle-timeout"),
            "end": ("end_seconds", "lingering"),
        }[awaiting]
        deadline = time.monotonic() + limits[idle]
        if not self.spoke:
            deadline, cause = self.began + limits["start_seconds"], "start-timeout"
        deadline, cause = min((deadline, cause), (self.turn.deadline, "turn-timeout"))
        while b"\n" not in self.buffer and self.process.stdout in self.open():
            if not self.pump(deadline) and time.monotonic() >= deadline:
                if not self.stop(cause):
                    break
                deadline, cause = time.monotonic() + limits["grace_seconds"] + DRAIN_SECONDS, None
        self.spoke = True
        if self.buffer and self.process.stdout not in self.open() and not self.buffer.endswith(b"\n"):
            self.buffer += b"\n"
        first = self.buffer.find(b"\n")
        end = max(first, self.buffer.rfind(b"\n", 0, min(max_bytes, MAX_BATCH_BYTES))) + 1
        taken, self.buffer = self.buffer[:end], self.buffer[end:]
        skipped = []
        if first > MAX_LINE_BYTES:
            skipped, taken = [first], taken[first + 1:]
        return taken.decode(errors="replace"), skipped

    def open(self):
        return {key.fileobj for key in self.pipes.get_map().values()}

    def pump(self, deadline):
        """Moves what can be moved through the pipes. False when nothing could until the deadline."""
        ended = self.process.poll() is not None
        wait = DRAIN_SECONDS if ended else min(deadline - time.monotonic(), 0.5)
        ready = self.pipes.select(max(wait, 0))
        for key, _ in ready:
            if key.fileobj is self.process.stdin:
                self.write_prompt()
                continue
            chunk = os.read(key.fd, 65536)
            if not chunk:
                self.pipes.unregister(key.fileobj)
            elif key.fileobj is self.process.stderr:
                self.stderr = (self.stderr + chunk)[-STDERR_BYTES:]
            else:
                self.buffer += chunk
        if ended and not ready:
            # Something that codex left behind holds its output; it is no longer read.
            self.output_cut = self.process.stdout in self.open()
            for pipe in self.open():
                self.pipes.unregister(pipe)
        return bool(ready)

    def write_prompt(self):
        try:
            self.unwritten = self.unwritten[os.write(self.process.stdin.fileno(), self.unwritten):]
        except BrokenPipeError:
            self.unwritten = b""  # A codex that does not read its prompt says why on its own.
        if not self.unwritten:
            self.pipes.unregister(self.process.stdin)
            self.process.stdin.close()

    def wait(self):
        # The output is over, so codex has ended or is about to.
        while self.open() or self.process.poll() is None:
            self.pump(time.monotonic() + DRAIN_SECONDS)
            if time.monotonic() > self.turn.deadline:
                self.stop("turn-timeout")
        # Its group ends with it. Who was in there is not counted, so one stands for all of them.
        left_behind = 1 if self.kill_group() else 0
        code = self.process.returncode
        # The record `exit`.
        return record(
            status=Variant("code", code) if code >= 0 else Variant("signal", -code),
            stopped=self.stopped,
            stderr=self.stderr.decode(errors="replace"),
            left_behind=left_behind,
            output_cut=self.output_cut,
        )

    def stop(self, cause):
        """SIGINT, on which codex ends its tools, and SIGKILL after a while. False when it was stopped before."""
        if self.stopped is not None or self.process.poll() is not None:
            return False
        self.stopped = cause
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(self.turn.limits["grace_seconds"])
        except subprocess.TimeoutExpired:
            self.kill_group()
            self.process.wait()
        return True

    def kill_group(self):
        """False when nobody is left in the group."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
            return True
        except ProcessLookupError:
            return False


class Turn:
    """What one turn may do: the imports of the world `codex-provider`."""

    def __init__(self, config, workspace, request):
        self.config = config
        self.limits = {**LIMITS, **config["limits"]}
        self.workspace = workspace
        self.request = request
        self.deadline = time.monotonic() + self.limits["turn_seconds"]
        self.session = Session(workspace, request.session)
        self.handover = None
        self.children = {}
        self.numbers = itertools.count()
        self.opening = ""
        self.busy_until = None
        self.pause = 0.25

    def run(self, engine, component):
        """Yields the events, as the contract has them."""
        seconds = self.limits["busy_seconds"]
        try:
            if not self.session.lock(seconds):
                message = f"Another turn of this conversation has been running for more than {seconds} s: wait for it."
                yield failed("session-busy", message, retryable=True)
                return
            stored = self.session.load()
        except OSError as error:
            full = session_error(error).tag == "resources"
            kind = "resources" if full else "session-unreadable"
            yield failed(kind, f"The session cannot be used: {error}.", retryable=full)
            return
        try:
            self.handover = Handover(self.request, self.config["instructions"])
        except OSError as error:
            yield failed("invalid-request", f"The output schema could not be copied to a temporary file: {error}.")
            return
        self.stored = getattr(stored.entry, "thread-id", None)
        store, linker = Store(engine), Linker(engine)
        self.add_to(linker)
        instance = linker.instantiate(store, component)
        interface = instance.get_export_index(store, "plexum:provider/turns@0.1.0")

        def call(name, *args):
            function = instance.get_func(store, instance.get_export_index(store, name, interface))
            return function(store, *args)

        turn = call("[static]turn.start", self.request)
        if not isinstance(turn, ResourceAny):
            yield Variant("message-end", record(stop_reason="error", usage=None, thread_usage=None, failure=turn))
            return
        while batch := call("[method]turn.next", turn):
            yield from batch

    def add_to(self, linker):
        imports = {
            "codex": {"spawn": self.spawn, "back-off": self.back_off, "[method]child.lines": self.lines,
                      "[method]child.wait": self.wait, "[method]child.terminate": self.terminate},
            # This host keeps no codex between turns; the component then uses `codex`.
            "codex-server": {"open": lambda store, wanted: Variant("unavailable", NO_SERVER),
                             **{f"[method]turn.{name}": no_turn for name in ("prompt", "lines", "interrupt", "finish")}},
            # `load` cannot tell an error: this package takes anything for its option. It raises.
            "session": {"load": lambda store: self.session.load(), "save": self.save,
                        "set-aside": lambda store: or_error(self.session.set_aside)},
            "settings": {"get": lambda store: self.settings()},
            "log": {"write": log},
        }
        with linker.root() as root:
            for interface, functions in imports.items():
                with root.add_instance(f"plexum:codex/{interface}@0.1.0") as instance:
                    if interface == "codex":
                        instance.add_resource("child", ResourceType.host(CHILD), self.drop)
                    if interface == "codex-server":
                        instance.add_resource("turn", ResourceType.host(SERVER_TURN), no_turn)
                    for name, function in functions.items():
                        instance.add_func(name, function)

    def settings(self):
        args = self.config["model_args"]
        models = [record(**model, args=args.get(id, [] if id == "codex" else ["--model", id]))
                  for model in self.config["supported_models"] for id in [model["id"]]]
        same = ["extra_args", "sandbox", "transport", "prompt", "lost_session", "instructions", "changed_instructions"]
        return record(models=models, **{key: self.config[key] for key in same})

    def granted(self, args, prompt_on_stdin):
        """What codex is given when the component asks for `args`; nothing when that is not in the grant, which is as in
        host-shim/src/grant/argv.rs. The component is not trusted with it."""
        *before, separator, prompt = args if len(args) > 1 else ["", ""]
        if separator != "--" or (prompt == "-") != (prompt_on_stdin is not None):
            return None
        parts = []
        for part, words in reversed(REQUEST_WORDS.items()):
            if part in self.handover.parts and before[-2:] == words:
                del before[-2:]
                parts = [words[0], self.handover.argument(part), *parts]
        threads = [[]] + ([["resume", self.stored]] if self.stored and UUID.fullmatch(self.stored) else [])
        settings = self.settings()
        calls = (["exec", *thread, "--skip-git-repo-check", *SANDBOX_FLAGS[settings.sandbox], "--json",
                  *model.args, *getattr(settings, "extra-args")]
                 for thread in threads for model in settings.models)
        return [*before, *parts, separator, prompt] if before in calls else None

    def spawn(self, store, args, prompt_on_stdin):
        args = self.granted(args, prompt_on_stdin)
        if args is None:
            return record(reason="denied", message="the arguments of codex are not in the grant")
        if any("\0" in arg or len(arg.encode()) > MAX_ARGUMENT_BYTES for arg in args):
            message = f"an argument holds NUL or more than {MAX_ARGUMENT_BYTES} bytes, which no program can be given"
            return record(reason="denied", message=message)
        try:
            child = Child(self, args, prompt_on_stdin)
        except OSError as error:
            reason = {errno.ENOENT: "not-installed", errno.EACCES: "not-executable", errno.E2BIG: "too-long"}.get(error.errno, "failed")
            return record(reason=reason, message=f"codex could not be started: {error}")
        number = next(self.numbers)
        self.children[number] = child
        return ResourceHost.own(number, CHILD)

    def back_off(self, store):
        now = time.monotonic()
        self.busy_until = self.busy_until or now + self.limits["busy_seconds"]
        pause, self.pause = self.pause, self.pause * 2
        if now + pause > self.busy_until:
            return False
        time.sleep(pause)
        return True

    def child(self, store, handle):
        return self.children[handle.to_host(store).rep]

    def lines(self, store, handle, max_bytes, awaiting):
        text, skipped = self.child(store, handle).lines(max_bytes, awaiting)
        if len(self.opening) < 65536:
            self.opening += text
        return record(text=text, skipped=skipped)

    def wait(self, store, handle):
        return self.child(store, handle).wait()

    def terminate(self, store, handle):
        self.child(store, handle).stop("terminated")

    def drop(self, store, number):
        self.children.pop(number).stop("terminated")

    def save(self, store, entry):
        thread_id = getattr(entry, "thread-id")
        # What the component may have kept is what codex named when it opened a thread, before the model could speak.
        before, _, _ = self.opening.partition("turn.started")
        opening = next((line for line in before.split("\n") if "thread.started" in line), "")
        if not UUID.fullmatch(thread_id) or (thread_id != self.stored and thread_id not in opening):
            return Variant("denied", "codex did not name this thread, so it is not kept")
        if entry.instructions is not None and not DIGEST.fullmatch(entry.instructions):
            return Variant("denied", "only a plain word of at most 128 bytes can be kept as the digest of instructions")
        return or_error(lambda: self.session.save(entry))

    def close(self):
        for child in self.children.values():
            child.stop("terminated")
        if self.handover is not None:
            self.handover.close()


def no_turn(*_):
    raise RuntimeError("this host opens no turn of a codex that stays")


def or_error(work):
    """What `work` returns, or the error of the contract."""
    try:
        return work()
    except OSError as error:
        return session_error(error)


def session_error(error):
    """What went wrong with a session's files, as an error of the contract."""
    return Variant("resources" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "unreadable", str(error))


def log(store, level, message):
    """Below `warn` it may hold text of the conversation."""
    if level in ("warn", "error"):
        print(f"{level}: {message}", file=sys.stderr)


def failed(kind, message, retryable=False, stop_reason="error"):
    failure = record(kind=kind, message=message, retryable=retryable, retry_after_ms=None, detail=None)
    return Variant("message-end", record(stop_reason=stop_reason, usage=None, thread_usage=None, failure=failure))


def to_json(value, name=None):
    if isinstance(value, Record):
        fields = ((key, to_json(field, key)) for key, field in value.__dict__.items() if field is not None)
        return {snake_case(key): field for key, field in fields}
    if isinstance(value, list):
        return [to_json(element) for element in value]
    if name in ("kind", "status", "stop-reason", "outcome"):
        return snake_case(value)
    return value


def snake_case(name):
    return name.replace("-", "_")


def fields_of(event):
    """The members of an event besides its type."""
    if event.tag == "plan":
        return {"steps": to_json(event.payload)}
    if event.tag != "notice":
        return to_json(event.payload)
    # What the kind holds stands beside the message.
    kind, held = event.payload.kind.tag, event.payload.kind.payload
    name = {"unsupported": "part", "line-skipped": "bytes", "unknown-event": "event"}.get(kind)
    members = to_json(held) if isinstance(held, Record) else {name: held} if name else {}
    for enum in ("reason", "part"):
        if enum in members:
            members[enum] = snake_case(members[enum])
    return {"kind": snake_case(kind), **members, "message": event.payload.message}


def document(text):
    """What a tool was called with: JSON as it was written, on one line; what is not JSON is a string."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return json.dumps(text, ensure_ascii=False)
    return text.strip().replace("\n", " ").replace("\r", " ")


def line(event):
    """The event as `say --json` prints it."""
    fields = fields_of(event)
    tool_input = fields.pop("input", None)
    text = json.dumps({"type": snake_case(event.tag), **fields}, ensure_ascii=False, separators=(",", ":"))
    # The last field of a tool's start.
    return text if tool_input is None else f'{text[:-1]},"input":{document(tool_input)}}}'


def read_config(path):
    """A key that this host does not know is an error: it might have been a restriction."""
    config = {**DEFAULTS, **json.loads(Path(path).read_text())}
    models = [{"id": model} if isinstance(model, str) else model for model in config["supported_models"]]
    config["supported_models"] = [{**MODEL, **model} for model in models]
    unknown = [key for key in config if key not in DEFAULTS] + [key for key in config["limits"] if key not in LIMITS]
    unknown += [key for model in models for key in model if key not in MODEL]
    if unknown:
        raise ValueError(f"{path}: this host does not know {', '.join(unknown)}")
    if not os.path.isabs(config["binary"] or ""):
        raise ValueError(f"{path}: `binary` must be the absolute path of codex")
    return config


def read_schema(path):
    """The text of a file, which must be JSON."""
    text = Path(path).read_text(encoding="utf-8")
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the output schema {path} is not JSON: {error}") from error
    return text


def interrupt(number, frame):
    raise Stopped(number)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--component", required=True)
    parser.add_argument("--config", required=True)
    parser.add_argument("--workspace", default=".")
    parser.add_argument("--session")
    parser.add_argument("--instructions")
    parser.add_argument("--effort")
    parser.add_argument("--output-schema")
    parser.add_argument("prompt")
    options = parser.parse_args()
    engine = Engine()
    component = Component.from_file(engine, options.component)
    try:
        config = read_config(options.config)
        schema = None if options.output_schema is None else read_schema(options.output_schema)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    request = record(
        model=None, session=options.session, instructions=options.instructions,
        messages=[record(role="user", content=[options.prompt])],
        options=record(effort=options.effort, output_schema=schema),
    )
    turn = Turn(config, Path(options.workspace).resolve(), request)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    code = 1
    end = None
    try:
        for event in turn.run(engine, component):
            if event.tag == "message-end":
                end = event
                break
            print(line(event), flush=True)
        end = end or failed("internal", "The component ended the turn without saying how.")
    except Stopped as stopped:
        code = 128 + stopped.args[0]
        end = failed("killed", "The turn was stopped.", retryable=True, stop_reason="aborted")
    except Exception as error:
        # A trap, or a defect of this host.
        end = failed("internal", f"The turn broke off: {error}")
    turn.close()
    print(line(end))
    return 0 if getattr(end.payload, "stop-reason") == "end-turn" else code


if __name__ == "__main__":
    sys.exit(main())
