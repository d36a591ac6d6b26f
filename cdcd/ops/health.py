"""The daemon's own port: /, /livez, /readyz, /metrics, /status.

`/` is a page for people, which shows what `/status` says. `/livez` answers 200 as long as the event
loop turns, whatever is away; a restart would not bring that back. `/readyz` answers 200 or 503 with
the reasons. `/status` is the whole board as JSON.

Where clients have to have certificates, those of /livez and /readyz need none, because Kubernetes'
probes have none; they get no reasons.
"""

import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files

from aiohttp import web

from cdcd.config.settings import HttpSettings
from cdcd.model.errors import ConfigurationError
from cdcd.ops.logs import get_logger
from cdcd.ops.status import Status
from cdcd.ops.tls import port_context

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = get_logger()

# What Prometheus' text format is served as.
_EXPOSITION = "text/plain; version=0.0.4"

_PAGE = files("cdcd.ops").joinpath("page.html").read_text("utf-8")


def _hashes(tag: str) -> str:
    """What the page's own scripts or styles are known by; a browser runs nothing else."""
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", _PAGE, re.DOTALL)
    digests = [hashlib.sha256(text.encode()).digest() for text in found]
    return " ".join(f"'sha256-{base64.b64encode(d).decode()}'" for d in digests)


_PAGE_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; connect-src 'self'; script-src {_hashes('script')};"
        f" style-src {_hashes('style')}; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


@asynccontextmanager
async def serve(
    settings: HttpSettings, snapshot: Callable[[], Status], exposition: Callable[[], bytes]
) -> AsyncIterator[str]:
    """Serve while the context is open; gives the base URL.

    Raises ConfigurationError when the port is taken, the address is not this machine's, or a
    certificate is wrong.
    """
    tls = port_context(settings.tls) if settings.tls.enabled else None
    app = _app(snapshot, exposition, closed=settings.tls.client_certificates)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
        try:
            await site.start()
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.host}:{settings.port}: {error.strerror}",
                "set http.port (--http-port); 0 takes a free one",
            ) from error
        port = runner.addresses[0][1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        url = f"{'https' if tls else 'http'}://{host}:{port}"
        log.info("listening", url=url, port=port)
        yield url
    finally:
        await runner.cleanup()


def _app(
    snapshot: Callable[[], Status], exposition: Callable[[], bytes], *, closed: bool
) -> web.Application:
    async def livez(_request: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def readyz(request: web.Request) -> web.Response:
        status = snapshot()
        body: dict[str, object] = {"ready": status.is_ready}
        if closed and not _has_certificate(request):
            return web.json_response(body, status=200 if status.is_ready else 503)
        body |= {
            "reasons": status.reasons,
            "stages": {s.stage: s.state.value for s in status.stages},
            "tables": {t.table: t.state.value for t in status.tables},
        }
        return web.json_response(body, status=200 if status.is_ready else 503)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=exposition(), headers={"Content-Type": _EXPOSITION})

    async def status(_request: web.Request) -> web.Response:
        return web.Response(
            text=json.dumps(snapshot().as_json()),
            content_type="application/json",
            headers={"Cache-Control": "no-store"},
        )

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text=_PAGE, content_type="text/html", headers=_PAGE_HEADERS)

    app = web.Application(middlewares=[_only_with_certificate] if closed else [])
    routes: dict[str, Handler] = {
        "/": page,
        "/livez": livez,
        "/readyz": readyz,
        "/metrics": metrics,
        "/status": status,
    }
    app.add_routes([web.get(path, handler) for path, handler in routes.items()])
    return app


@web.middleware
async def _only_with_certificate(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path not in {"/livez", "/readyz"} and not _has_certificate(request):
        raise web.HTTPForbidden(text="this needs a client certificate\n")
    return await handler(request)


def _has_certificate(request: web.Request) -> bool:
    """Whether the client has shown one; a wrong one has ended the handshake before."""
    return bool(request.get_extra_info("peercert"))
