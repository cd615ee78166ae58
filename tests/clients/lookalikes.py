"""Look-alikes of the providers' services: as much of each as its SDK asks for.

Each is a table of what it answers; those that stream hold the end of the stream back until the
client, which has heard its beginning, makes another call. A proxy that collects answers before
it passes them on would wait for ever.
"""

import dataclasses
import json
import threading

from servers import Service

WAIT_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Provider:
    """`routes` maps "METHOD path" to what is answered: JSON, or `Events`."""

    name: str
    host: str
    # The permission set that the test's policy uses, and what the client prints under it.
    use: str
    expect: tuple
    # The header that carries the credential, and what stands before it there.
    header: str
    prefix: str
    routes: dict

    def serve(self, certificates, secret):
        """The service, which wants the secret of every request."""
        heard = threading.Event()

        def answer(seen):
            if seen.header(self.header) != [self.prefix + secret]:
                return 401, [], b'{"error": "who are you?"}'
            route = self.routes.get(f"{seen.method} {seen.path.partition('?')[0]}")
            if isinstance(route, Events):
                return 200, [("Content-Type", "text/event-stream")], route.stream(heard)
            heard.set()
            status = 404 if route is None else 200
            return status, [("Content-Type", "application/json")], json.dumps(route).encode()

        return Service(certificates, answer)


@dataclasses.dataclass(frozen=True)
class Events:
    """Events of a stream (SSE): what is sent at once, and what waits for another call."""

    first: tuple
    rest: tuple

    def stream(self, heard):
        yield b"".join(self.first)
        if not heard.wait(WAIT_SECONDS):
            raise TimeoutError("the client did not hear the beginning of the stream before its end")
        yield b"".join(self.rest)


def event(data, name=None):
    """One event, as it goes over the wire."""
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode()


def openai_says(delta, reason=None):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "model-1",
                  "choices": [choice]})


def anthropic_says(kind, **more):
    return event({"type": kind, **more}, kind)


def anthropic_text(text):
    return anthropic_says("content_block_delta", index=0, delta={"type": "text_delta", "text": text})


SPOKEN = ("model: model-1", "said: Hello, agent", "denied: 403 POLICY_DENIED")

GITHUB = Provider(
    "github", "api.github.com", "github/read@1",
    ("login: octo-agent", "issue: 7 Broken window", "denied: 403 POLICY_DENIED"), "Authorization", "Bearer ", {
        "GET /user": {"login": "octo-agent", "id": 1},
        "GET /repos/octo/tower": {"id": 2, "name": "tower", "full_name": "octo/tower"},
        "GET /repos/octo/tower/issues": [{"id": 3, "number": 7, "title": "Broken window"}],
    })

OPENAI = Provider(
    "openai", "api.openai.com", "openai/inference@1", SPOKEN, "Authorization", "Bearer ", {
        "GET /v1/models": {"object": "list", "data": [
            {"id": "model-1", "object": "model", "created": 1, "owned_by": "tests"}]},
        "POST /v1/chat/completions": Events(
            (openai_says({"role": "assistant", "content": "Hello, "}),),
            (openai_says({"content": "agent"}), openai_says({}, "stop"), event("[DONE]"))),
    })

ANTHROPIC = Provider(
    "anthropic", "api.anthropic.com", "anthropic/inference@1", SPOKEN, "x-api-key", "", {
        "GET /v1/models": {"has_more": False, "first_id": "model-1", "last_id": "model-1", "data": [
            {"id": "model-1", "type": "model", "display_name": "Model", "created_at": "2025-01-01T00:00:00Z"}]},
        "POST /v1/messages": Events(
            (anthropic_says("message_start", message={
                "id": "msg_1", "type": "message", "role": "assistant", "model": "model-1", "content": [],
                "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}),
             anthropic_says("content_block_start", index=0, content_block={"type": "text", "text": ""}),
             anthropic_text("Hello, ")),
            (anthropic_text("agent"), anthropic_says("content_block_stop", index=0),
             anthropic_says("message_delta", delta={"stop_reason": "end_turn", "stop_sequence": None},
                            usage={"output_tokens": 2}),
             anthropic_says("message_stop"))),
    })

SLACK = Provider(
    "slack", "slack.com", "slack/read@1",
    ("user: agent", "channel: general", "denied: 403 POLICY_DENIED"), "Authorization", "Bearer ", {
        "POST /api/auth.test": {"ok": True, "user": "agent", "team": "tests"},
        "GET /api/conversations.list": {"ok": True, "channels": [{"id": "C1", "name": "general"}]},
        "POST /api/conversations.list": {"ok": True, "channels": [{"id": "C1", "name": "general"}]},
    })
