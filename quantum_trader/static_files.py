"""Static files, served without Django's middleware."""

from typing import Any

from asgiref.sync import sync_to_async
from servestatic.asgi import FileServerASGI
from servestatic.middleware import ServeStaticMiddleware


class StaticFiles:
    """Serves the files that ServeStatic's settings name, and passes all other requests to the application."""

    def __init__(self, application: Any) -> None:
        self._application = application
        # The middleware reads Django's settings, which ServeStatic's own ASGI application does not.
        self._files = ServeStaticMiddleware(application)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        file = None
        if scope["type"] == "http" and scope["path"].startswith(self._files.static_prefix):
            if self._files.autorefresh:
                file = await sync_to_async(self._files.find_file, thread_sensitive=False)(scope["path"])
            else:
                file = self._files.files.get(scope["path"])
        await (FileServerASGI(file) if file else self._application)(scope, receive, send)
