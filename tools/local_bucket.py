"""A stand-in for Google Cloud Storage on this machine: TensorFlow's own gs:// without a network.

    python -m tools.local_bucket perceptual train ... --model_dir=gs://bucket/run
    python -m tools.local_bucket bash          # a shell, for several commands

Runs a command that finds a bucket at gs://bucket, with what lies in --folder, a folder of this
machine, which is kept. TensorFlow sends its requests to www.googleapis.com through the proxy that
the environment names; this is the proxy, and answers them itself: the requests of the JSON API that
TensorFlow's gcs_file_system.cc makes, on objects as a bucket has them: none is ever seen
half-written, and there are no folders and no renames. Nothing else can be reached through it.
"""

import argparse
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse

BUCKET = "bucket"
_HOSTS = ("www.googleapis.com", "storage.googleapis.com")


class Objects:
  """The objects of the bucket: each a file of a folder, whose name is that of the object, quoted.

  Attributes:
    refuses: called with the method and the name of the object, or None, of each request; where it
      returns true, the answer is that permission is missing. For tests.
  """

  def __init__(self, folder):
    self._folder = pathlib.Path(folder)
    self._folder.mkdir(parents=True, exist_ok=True)
    self._lock = threading.Lock()
    self.refuses = lambda method, name: False

  def _path(self, name):
    return self._folder / urllib.parse.quote(name, safe="")

  def names(self):
    """Returns the names of the objects, sorted."""
    return sorted(urllib.parse.unquote(name) for name in os.listdir(self._folder)
                  if not name.startswith(".writing"))

  def get(self, name, first=0, count=-1):
    """Returns so many bytes of an object from one on, all by default; None where there is none."""
    try:
      with self._path(name).open("rb") as file:
        file.seek(first)
        return file.read(count)
    except FileNotFoundError:
      return None

  def put(self, name, content):
    """Puts an object in its place, whole."""
    with self._lock:
      writing = self._folder / ".writing"
      writing.write_bytes(content)
      writing.replace(self._path(name))

  def remove(self, name):
    """Removes an object."""
    self._path(name).unlink()

  def about(self, name):
    """Returns what the JSON API says of an object, None where there is none."""
    try:
      status = self._path(name).stat()
    except FileNotFoundError:
      return None
    changed = datetime.datetime.fromtimestamp(status.st_mtime, datetime.UTC)
    return {"name": name, "size": str(status.st_size), "generation": str(status.st_mtime_ns),
            "updated": f"{changed:%Y-%m-%dT%H:%M:%S.%fZ}"}

  def listing(self, prefix, delimiter):
    """Returns a list of objects as the JSON API does: those of a folder, where `/` delimits."""
    items, prefixes = [], set()
    for name in self.names():
      if not name.startswith(prefix):
        continue
      first, found, _ = name[len(prefix):].partition(delimiter) if delimiter else (name, "", "")
      if found:
        prefixes.add(prefix + first + delimiter)
      else:
        items.append({"name": name})
    answer = {"items": items, "prefixes": sorted(prefixes)}
    return {key: value for key, value in answer.items() if value}


class _Handler(http.server.BaseHTTPRequestHandler):
  """Answers a proxy's CONNECT, and then, over TLS, requests as the host that was asked for."""

  protocol_version = "HTTP/1.1"

  def log_message(self, *_):
    pass

  def do_CONNECT(self):
    self._host = self.path.partition(":")[0]
    if self._host not in _HOSTS:
      self._answer(403)
      return
    self.send_response(200)
    self.end_headers()
    self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
    self.rfile = self.connection.makefile("rb", -1)
    self.wfile = self.connection.makefile("wb", 0)
    self.close_connection = False

  def do_GET(self):
    bucket, name, query = self._asked()
    objects = self.server.objects
    if bucket != BUCKET:
      self._answer(404)
    elif objects.refuses("GET", name):
      self._answer(403)
    elif self._host == "storage.googleapis.com":
      self._content(name)
    elif name is not None:
      self._json(objects.about(name))
    elif self.path.partition("?")[0].endswith("/o"):
      self._json(objects.listing(query.get("prefix", ""), query.get("delimiter")))
    else:
      self._json({"name": bucket, "location": "US"})

  def do_POST(self):
    bucket, name, query = self._asked()
    content = self._body()
    name = query.get("name", name)
    if bucket != BUCKET:
      self._answer(404)
    elif self.server.objects.refuses("POST", name):
      self._answer(403)
    elif query.get("uploadType") == "resumable":
      self._answer(200, Location=f"https://{_HOSTS[0]}{self.path.replace('resumable', 'session')}")
    elif "/rewriteTo/" in self.path:
      self._rewrite(name)
    else:
      self._put(name, content)

  def do_PUT(self):
    _, _, query = self._asked()
    self._put(query["name"], self._body())

  def do_DELETE(self):
    bucket, name, _ = self._asked()
    if bucket != BUCKET or self.server.objects.about(name) is None:
      self._answer(404)
    elif self.server.objects.refuses("DELETE", name):
      self._answer(403)
    else:
      self.server.objects.remove(name)
      self._answer(204)

  def _asked(self):
    """Returns the bucket and the object of the request, None where it names none, and its query."""
    url = urllib.parse.urlsplit(self.path)
    parts = url.path.strip("/").split("/")
    if self._host == "storage.googleapis.com":  # /BUCKET/OBJECT
      bucket, name = parts[0], parts[1]
    else:  # /storage/v1/b/BUCKET/o/OBJECT, or with /upload before
      place = parts.index("b")
      bucket, name = parts[place + 1], parts[place + 3] if len(parts) > place + 3 else None
    return (bucket, name and urllib.parse.unquote(name),
            dict(urllib.parse.parse_qsl(url.query)))

  def _put(self, name, content):
    self.server.objects.put(name, content)
    self._json(self.server.objects.about(name))

  def _rewrite(self, name):
    content = self.server.objects.get(name)
    if content is None:
      self._answer(404)
      return
    target = urllib.parse.unquote(self.path.partition("/rewriteTo/")[2].split("/")[3])
    self.server.objects.put(target, content)
    self._json({"done": True})

  def _content(self, name):
    first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
    first = int(first)
    content = self.server.objects.get(name, first, int(last) + 1 - first if last else -1)
    if content is None:
      self._answer(404)
    else:
      self._answer(206 if content or not first else 416, content)

  def _body(self):
    if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
      return self._read(int(self.headers.get("Content-Length") or 0))
    chunks = []
    while size := int(self.rfile.readline() or self._gone(), 16):
      chunks.append(self._read(size))
      self.rfile.readline()
    self.rfile.readline()
    return b"".join(chunks)

  def _read(self, size):
    content = self.rfile.read(size)
    return content if len(content) == size else self._gone()

  def _gone(self):
    raise ConnectionError("the client ended in the middle of a request")

  def _json(self, answer):
    if answer is None:
      self._answer(404)
    else:
      self._answer(200, json.dumps(answer).encode())

  def _answer(self, status, content=b"", **headers):
    self.send_response(status)
    for name, value in headers.items():
      self.send_header(name, value)
    self.send_header("Content-Length", str(len(content)))
    self.end_headers()
    self.wfile.write(content)


class _Server(http.server.ThreadingHTTPServer):
  """Serves each client in a thread; one that is killed says nothing."""

  daemon_threads = True

  def handle_error(self, request, client_address):
    if not isinstance(sys.exc_info()[1], (ConnectionError, ssl.SSLError)):
      super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(folder):
  """Serves a bucket while the block runs.

  Args:
    folder: where its objects lie.

  Yields:
    (objects, environment): the `Objects`, and the variables by which TensorFlow finds the bucket.
  """
  with tempfile.TemporaryDirectory() as certificates:
    certificate = pathlib.Path(certificates, "certificate.pem")
    certificate.write_bytes(_certificate())
    server = _Server(("127.0.0.1", 0), _Handler)
    server.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.tls.load_cert_chain(certificate)
    server.objects = Objects(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
      yield server.objects, {
          "https_proxy": f"http://127.0.0.1:{server.server_port}",
          "no_proxy": "127.0.0.1,localhost",  # workers of one run, which gRPC joins
          "CURL_CA_BUNDLE": str(certificate),
          "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
          "GCS_RETRY_CONFIG_MAX_RETRIES": "1"}
    finally:
      server.shutdown()
      thread.join()
      server.server_close()


def _certificate():
  """Returns a key and a certificate of it for the hosts, signed by itself, as PEM."""
  from cryptography import x509
  from cryptography.hazmat.primitives import hashes, serialization
  from cryptography.hazmat.primitives.asymmetric import ec

  key = ec.generate_private_key(ec.SECP256R1())
  name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tools/local_bucket.py")])
  now = datetime.datetime.now(datetime.UTC)
  certificate = (
      x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
      .serial_number(x509.random_serial_number())
      .not_valid_before(now - datetime.timedelta(days=1))
      .not_valid_after(now + datetime.timedelta(days=7))
      .add_extension(x509.SubjectAlternativeName([*map(x509.DNSName, _HOSTS)]), False)
      .sign(key, hashes.SHA256()))
  pem = serialization.Encoding.PEM
  return key.private_bytes(pem, serialization.PrivateFormat.PKCS8,
                           serialization.NoEncryption()) + certificate.public_bytes(pem)


def main():
  """Runs a command beside a bucket; returns its exit status."""
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--folder", default="local_bucket", help="where the objects lie; by default "
                      "the folder local_bucket in the working directory")
  parser.add_argument("command", nargs=argparse.REMAINDER, help="the command, with its arguments")
  given = parser.parse_args()
  if given.command[:1] == ["--"]:
    del given.command[0]
  if os.path.exists(given.folder) and not os.path.isdir(given.folder):
    parser.error(f"--folder={given.folder} is a file.")
  if not given.command or shutil.which(given.command[0]) is None:
    parser.error(f"{given.command[0]} is no command." if given.command else
                 "give the command to run, such as bash.")
  with serving(given.folder) as (_, environment):
    return subprocess.run(given.command, env={**os.environ, **environment}).returncode


if __name__ == "__main__":
  sys.exit(main())
