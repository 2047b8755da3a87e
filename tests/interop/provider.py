"""A fake model provider, OpenAI-compatible as far as a gateway asks, so that an agent run really streams.

What the model answers is chosen by what the user wrote: SAY "some words" is answered with these words, COUNT n with the
words 1 to n, five a second.
"""

import contextlib
import http.server
import json
import re
import threading
import time

ORDER = re.compile(r'SAY "([^"]*)"|COUNT (\d+)')
COUNT_INTERVAL_S = 0.2


def counted(last):
    """The words that COUNT is answered with."""
    return "".join(f"{number} " for number in range(1, last + 1)).rstrip()


def _text(content):
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""


def _answer(request):
    """The pieces of the answer, and the time between them. Gateways add messages of their own: the last order counts."""
    for message in reversed(request.get("messages", [])):
        found = ORDER.findall(_text(message.get("content"))) if message.get("role") == "user" else None
        if found:
            words, last = found[-1]
            pieces = re.findall(r"\s*\S+", words or counted(int(last or 0)))
            return pieces, COUNT_INTERVAL_S if last else 0.02
    return ["Nothing was asked."], 0


class _Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        self._reply("application/json")
        self._write(json.dumps({"object": "list", "data": [{"id": "fake-1", "object": "model"}]}))

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        pieces, interval_s = _answer(request)
        with contextlib.suppress(ConnectionError):
            if request.get("stream"):
                self._stream(pieces, interval_s)
            else:
                self._reply("application/json")
                message = {"role": "assistant", "content": "".join(pieces)}
                self._write(self._completion({"message": message, "finish_reason": "stop"}))

    def _stream(self, pieces, interval_s):
        self._reply("text/event-stream")
        for piece in pieces:
            delta = {"role": "assistant", "content": piece}
            self._write(f"data: {self._completion({'delta': delta, 'finish_reason': None})}\n\n")
            time.sleep(interval_s)
        self._write(f"data: {self._completion({'delta': {}, 'finish_reason': 'stop'})}\n\ndata: [DONE]\n\n")

    def _reply(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()

    def _write(self, text):
        self.wfile.write(text.encode())

    @staticmethod
    def _completion(choice):
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        body = {"id": "fake", "object": "chat.completion", "created": 1, "model": "fake-1", "usage": usage}
        return json.dumps({**body, "choices": [{"index": 0, **choice}]})


@contextlib.contextmanager
def serve():
    """Runs the provider on a free loopback port, which it yields."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
