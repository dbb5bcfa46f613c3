"""An OpenAI-compatible server in a few lines, which can fail in the ways that real ones do."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWERS = {"sane": " Tokyo. It has many people.", "garbage": "!" * 16}


class Handler(BaseHTTPRequestHandler):
    """Answers /health, /v1/models and /v1/completions."""

    mode = "sane"

    def do_GET(self) -> None:
        """Say that all is well, whether it is or not."""
        self._send({"status": "ok", "data": [{"id": "toy-model"}], "build_info": "toy 1"})

    def do_POST(self) -> None:
        """Complete a prompt, or fail."""
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.mode == "die-on-first":
            sys.stderr.write("about to die\n")
            os.abort()
        if self.mode == "hang":
            time.sleep(600)
        key = os.environ.get("TOY_KEY")
        if key and self.headers.get("Authorization") != f"Bearer {key}":
            self._send({"error": "wrong key"}, 401)
            return
        self._send({"choices": [{"text": ANSWERS[self.mode]}]})

    def log_message(self, form: str, *args: object) -> None:
        """Log to standard error, as servers do."""
        sys.stderr.write(form % args + "\n")

    def _send(self, data: object, status: int = 200) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for flag in ("--host", "--port", "--mode", "--slots", "--model"):
        parser.add_argument(flag)
    args = parser.parse_args()
    sys.stderr.write("loading the toy\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("asked to end"))
    if args.mode == "die":
        sys.exit("RuntimeError: the toy is broken")
    if args.mode == "slow":
        time.sleep(600)
    Handler.mode = args.mode
    ThreadingHTTPServer((args.host, int(args.port)), Handler).serve_forever()
