"""A server on 127.0.0.1 that answers as those of published files do, and as badly as they can."""

import http.server
import re
import threading

import pytest


class FileServer:
  """Serves files over HTTP on 127.0.0.1, with ranges.

  Attributes:
    address: `http://127.0.0.1:<port>`.
    files: path of the address -> its bytes.
    ranges: path -> the `Range` header of each request for it, in order; None where there was none.
    cuts: how many bytes of each next answer are sent before the connection is closed; once it is
      empty, answers are whole.
    takes_ranges: whether the header `Range` is obeyed.
    says_lengths: whether answers tell how long they are.
  """

  def __init__(self):
    self.files, self.ranges, self.cuts = {}, {}, []
    self.takes_ranges = self.says_lengths = True
    self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
    self.address = f"http://127.0.0.1:{self._server.server_port}"
    self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
    self._thread.start()

  def close(self):
    self._server.shutdown()
    self._thread.join()
    self._server.server_close()

  def _handler(server):
    class Handler(http.server.BaseHTTPRequestHandler):

      def do_GET(self):
        path, asked = self.path.lstrip("/"), self.headers["Range"]
        server.ranges.setdefault(path, []).append(asked)
        content = server.files.get(path)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.takes_ranges else 0
        if content is None:
          self.send_error(404)
        elif start >= len(content):
          self.send_error(416)
        else:
          self._send(content, start)

      def _send(self, content, start):
        self.send_response(206 if start else 200)
        if start:
          self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if server.says_lengths:
          self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        cut = server.cuts.pop(0) if server.cuts else len(content)
        self.wfile.write(content[start:start + cut])

      def log_message(self, *_):
        pass

    return Handler


@pytest.fixture
def server(monkeypatch):
  for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
    monkeypatch.delenv(variable, raising=False)
  server = FileServer()
  yield server
  server.close()
