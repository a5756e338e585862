"""A local server with those answers of the Hugging Face hub that clients rely on."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40


class FakeHub:
    """Serves the files of data sets, ``{repository: {path: bytes}}``, under any revision.

    `corrupt` replaces what is sent of each file by other bytes of the same length, `refusal`
    answers every request for a file by an error code of the hub, and `large` says whether files
    lie in large file storage (whose tag is SHA-256) or in git (whose tag is git's SHA-1).
    """

    def __init__(self, files, *, corrupt=False, refusal=None, large=True):
        self.files = files
        self.requests = []
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer()

            def do_GET(self):
                self.answer()

            def answer(self):
                hub.requests.append((self.command, self.path))
                parts = unquote(urlsplit(self.path).path).split("/")
                if parts[1] == "api":
                    content = hub.files.get("/".join(parts[3:5]))
                    if content is None:
                        return self.send(404, {"X-Error-Code": "RepoNotFound"})
                    tree = [
                        {"type": "file", "path": path, "oid": "0" * 40, "size": len(data)}
                        for path, data in content.items()
                    ]
                    return self.send(200, {}, json.dumps(tree).encode())
                repository, path = "/".join(parts[2:4]), "/".join(parts[6:])
                if refusal:
                    return self.send(403, {"X-Error-Code": refusal})
                if repository not in hub.files:
                    return self.send(404, {"X-Error-Code": "RepoNotFound"})
                data = hub.files[repository].get(path)
                if data is None:
                    return self.send(404, {"X-Error-Code": "EntryNotFound"})
                tag = (
                    hashlib.sha256(data) if large else hashlib.sha1(b"blob %d\0" % len(data) + data)
                )
                headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag.hexdigest()}"'}
                return self.send(200, headers, bytes(len(data)) if corrupt else data)

            def send(self, status, headers, body=b""):
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                # Else threads of open connections would outlive the server.
                self.send_header("Connection", "close")
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
