"""nginx in five manners: plain, over TLS, slow to answer, capped for each connection, soon busy."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import trustme
from attrs import frozen

__all__ = ["MANNERS", "Site", "nginx_serving"]

_MODULES = Path("/usr/lib/nginx/modules")

#: What tells the manners apart, inside `server`. With lua, else with echo, a request waits.
_WAIT = {
    "lua": "access_by_lua_block {{ ngx.sleep({seconds}) }}",
    "echo": "echo_sleep {seconds}; echo_exec @files;",
}
MANNERS = ("plain", "tls", "slow", "capped", "busy")


@frozen
class Site:
    """One manner of one mirror.

    Attributes:
        url: Where it is served.
        log: Lines of `<seconds> <status>`, for the busy manner.
        authority: The certificate that vouches for the site, as a PEM file; None without TLS.
    """

    url: str
    log: Path
    authority: Path | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        """What a process must have in its environment in order to trust the site."""
        return {} if self.authority is None else {"SSL_CERT_FILE": str(self.authority)}


def _waiting(seconds: float) -> str:
    """A location that lets each request wait."""
    kind = "lua" if (_MODULES / "ngx_http_lua_module.so").exists() else "echo"
    wait = _WAIT[kind].format(seconds=seconds)
    return f"location / {{ {wait} }} location @files {{ }}"


def _server(manner: str, port: int, root: Path, folder: Path) -> str:
    body = {
        "plain": "",
        "tls": (
            f"ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;"
            "ssl_protocols TLSv1.3; ssl_session_tickets on;"
            "ssl_session_cache shared:tls:1m; ssl_session_timeout 10m;"
        ),
        "slow": _waiting(0.04),
        "capped": "limit_rate 4m;",
        "busy": (
            "limit_conn busy 24; limit_conn_status 503; error_page 503 @busy;"
            "location @busy { add_header Retry-After 1 always; return 503; }"
            f"access_log {folder}/busy.log moments;" + _waiting(0.02)
        ),
    }[manner]
    listen = f"127.0.0.1:{port}{' ssl' if manner == 'tls' else ''}"
    return f"server {{ server_name {manner}; listen {listen}; root {root}; {body} }}\n"


def _certify(folder: Path) -> Path:
    """Write a certificate with its key for nginx; return the one of the authority behind it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "server.pem"))
    path = folder / "authority.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


def _site(manner: str, port: int, folder: Path, authority: Path) -> Site:
    log = folder / "busy.log"
    if manner == "tls":
        return Site(f"https://127.0.0.1:{port}", log, authority)
    return Site(f"http://127.0.0.1:{port}", log)


def _config(servers: str, folder: Path) -> str:
    names = ("ndk_http_module", "ngx_http_lua_module", "ngx_http_echo_module")
    present = [_MODULES / f"{name}.so" for name in names if (_MODULES / f"{name}.so").exists()]
    loads = "".join(f"load_module {path};\n" for path in present)
    return f"""{loads}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  access_log off;
  log_format moments '$msec $status';
  sendfile on;
  tcp_nopush on;
  keepalive_requests 10000000;
  types {{}} default_type application/zip;
  limit_conn_zone $server_name zone=busy:1m;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
{servers}}}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def nginx_serving(root: Path, folder: Path) -> Iterator[dict[str, Site]]:
    """Serve a mirror in every manner; yield the sites by manner.

    Raises:
        FileNotFoundError: nginx is not installed.
    """
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if nginx is None:
        raise FileNotFoundError("nginx is not installed: make system-packages")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # the worker is another user
    ports = {manner: _free_port() for manner in MANNERS}
    authority = _certify(folder)
    servers = "".join(_server(manner, port, root, folder) for manner, port in ports.items())
    config = folder / "nginx.conf"
    config.write_text(_config(servers, folder))
    process = subprocess.Popen([nginx, "-c", str(config), "-g", "daemon off;"])
    try:
        for port in ports.values():
            _wait_for(port)
        yield {manner: _site(manner, port, folder, authority) for manner, port in ports.items()}
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    for _ in range(250):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nginx does not listen on port {port}")
