"""The static upstream for machines without nginx: one fixed answer for every POST, on an epoll loop of its own without
any framework.

python fixed.py PORT        (GET anything: how many POSTs it has answered)
"""

import select
import socket
import sys
from contextlib import suppress

from scripts.benchmark import wire


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def serve(port: int) -> None:
    """Until it is killed."""
    fixed, posts = _answer(wire.plain_answer()), 0
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    epoll = select.epoll()
    epoll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    waiting: dict[int, bytes] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                with suppress(BlockingIOError):
                    while True:
                        accepted, _ = listener.accept()
                        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        connections[accepted.fileno()] = accepted
                        epoll.register(accepted, select.EPOLLIN)
                continue
            try:
                data = connections[fd].recv(65536)
                if not data:
                    raise ConnectionResetError
                data = waiting.pop(fd, b"") + data
                while data and (size := request_size(data)) is not None:
                    post = data.startswith(b"POST")
                    posts += post
                    connections[fd].sendall(fixed if post else _answer(b"%d" % posts))
                    data = data[size:]
                if data:
                    waiting[fd] = data
            except (OSError, ValueError):
                waiting.pop(fd, None)
                connections.pop(fd).close()


def request_size(data: bytes) -> int | None:
    """The length of the request at the front of `data`; None while it is not whole."""
    if not data.startswith((b"POST", b"GET ")):
        raise ValueError("no request")
    if data.startswith(b"GET "):
        end = data.find(b"\r\n\r\n")
        return end + 4 if end >= 0 else None
    return wire.answer_size(data)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve(int(sys.argv[1]))
