"""A web server that does not know of PORT: it listens on 3000, and its image says so (EXPOSE 3000)."""

import signal
import sys

from flask import Flask, jsonify

app = Flask(__name__)


@app.get("/")
def hello():
    return "Hello from Flask on port 3000.\n"


@app.get("/health")
def health():
    return jsonify(status="ok")


def end(signum, frame):
    print("SIGTERM: goodbye", flush=True)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end)
    print("listening on port 3000", flush=True)
    app.run(host="0.0.0.0", port=3000)
