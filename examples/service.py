"""A small service that remembers: what it has answered survives its death.

It counts words that come over a local socket, one a connection. Each change is committed before it is answered, so a
client that has its answer can rely on it, whatever happens to the service afterwards.

    goldthread run -- python examples/service.py &
    python examples/service.py --say hello
"""

import argparse
import socket
import socketserver

import goldthread

options = argparse.ArgumentParser()
options.add_argument("--port", type=int, default=7077)
options.add_argument("--say", help="be a client: send this word, print how often it was seen; an empty one ends it")
asked = options.parse_args()


class Session(socketserver.StreamRequestHandler):
    """One client."""

    timeout = 5.0

    def handle(self):
        word = self.rfile.readline().decode("utf-8", "replace").strip()
        if not word:
            self.server.ended = True
            return
        state["counts"][word] = state["counts"].get(word, 0) + 1
        state["requests"] += 1
        life.commit(state, step=state["requests"])
        self.wfile.write(f"{state['counts'][word]}\n".encode())


class Service(socketserver.TCPServer):
    allow_reuse_address = True
    timeout = 1.0
    ended = False


if asked.say is not None:
    with socket.create_connection(("127.0.0.1", asked.port)) as server:
        server.sendall(f"{asked.say}\n".encode())
        print(server.recv(99).decode().strip())
    raise SystemExit

with goldthread.join("service") as life, Service(("127.0.0.1", asked.port), Session) as service:
    state = life.restore({"requests": 0, "counts": {}})
    print(f"life {life.epoch} listens on port {service.server_address[1]}, {state['requests']} requests", flush=True)
    while not service.ended:
        service.handle_request()  # returns after a second without a client
        life.beat()
