"""Upload of a market file by admins: streamed into their folder, checked, and stored under a safe name."""

from io import BufferedWriter
from pathlib import Path
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler, StopFutureHandlers
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import urlencode
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from dashboard.access import VIEW, Page
from quantum_trader.text import parse_whole_number
from rl_training import market_uploads
from rl_training.market_uploads import NameTakenError, UploadError

UPLOAD = "rl_training.add_policystore"
# The size of a form besides its file: field names and boundaries.
FORM_BYTES = 65_536


class UploadForm(forms.Form):
    """A file, and whether it is stored even if it cannot be used without settings."""

    file = forms.FileField(help_text="CSV, text, Parquet or Feather; text may be compressed.")
    keep = forms.BooleanField(required=False, label="store it even if it cannot be used without settings")


class StoredUpload(UploadedFile):  # type: ignore[type-arg]
    """An uploaded file that is already in the folder of market files, under the hidden name `path`."""

    def __init__(self, path: Path, name: str, size: int) -> None:
        super().__init__(file=None, name=name, size=size)
        self.path = path


class MarketUploadHandler(FileUploadHandler):
    """Writes a file, as it arrives, under a hidden name. `problem` says why the file was not written."""

    chunk_size = 2**20

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(request)
        self.problem = ""
        self.path: Path | None = None
        self._file: BufferedWriter | None = None
        self._size = 0

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self._attempt(self._open)
        raise StopFutureHandlers

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        self._size += len(raw_data)
        if self._size > settings.MARKET_UPLOAD_MB * 2**20:
            self._refuse(f"The file is larger than {settings.MARKET_UPLOAD_MB} MB.")
        self._attempt(lambda: self._file.write(raw_data) if self._file else None)

    def file_complete(self, file_size: int) -> StoredUpload | None:
        self._attempt(self._close)
        if self.problem or self.path is None:
            return None
        return StoredUpload(self.path, str(self.file_name), file_size)

    def upload_interrupted(self) -> None:
        self._refuse("The upload was interrupted.")

    def _open(self) -> None:
        self.path = market_uploads.new_upload()
        self._file = self.path.open("xb")

    def _close(self) -> None:
        if self._file:
            self._file.close()
        self._file = None

    def _attempt(self, write: Any) -> None:
        try:
            write()
        except OSError as error:
            self._refuse(f"The file cannot be written: {error.strerror}.")

    def _refuse(self, problem: str) -> None:
        self.problem = self.problem or problem
        file, self._file = self._file, None
        try:
            if file:
                file.close()
        except OSError:
            # The last bytes cannot be written either.
            pass
        if self.path:
            self.path.unlink(missing_ok=True)


@method_decorator(csrf_exempt, name="dispatch")
class UploadPage(Page):
    """Stores a market file. Asks before it replaces a file.

    The token against request forgery is checked after the upload handler is set, because the check reads the form.
    """

    permission_required = (*VIEW, UPLOAD)
    template_name = "dashboard/market/upload.html"

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        length = parse_whole_number(str(request.META.get("CONTENT_LENGTH") or "0"))
        if length is None or length > settings.MARKET_UPLOAD_MB * 2**20 + FORM_BYTES:
            return self.show(f"The file is larger than {settings.MARKET_UPLOAD_MB} MB.", status=413)
        handler = MarketUploadHandler(request)
        request.upload_handlers = [handler]
        try:
            response: HttpResponse = csrf_protect(lambda checked: self.receive(checked, handler))(request)
        except BaseException:
            handler.upload_interrupted()
            raise
        if response.status_code == 403 and handler.path:
            handler.path.unlink(missing_ok=True)
        return response

    def receive(self, request: HttpRequest, handler: MarketUploadHandler) -> HttpResponse:
        if "upload" in request.POST:
            return self.finish(request)
        form = UploadForm(request.POST, request.FILES)
        if handler.problem:
            return self.show(handler.problem, status=413 if "larger" in handler.problem else 507)
        if not form.is_valid():
            if handler.path:
                handler.path.unlink(missing_ok=True)
            return self.show("", form=form)
        upload: StoredUpload = form.cleaned_data["file"]
        try:
            name = market_uploads.safe_name(str(upload.name))
            problem = market_uploads.check(upload.path, name)
            if problem and not form.cleaned_data["keep"]:
                raise UploadError(problem)
            return self.keep(upload.path, name, replace=False)
        except UploadError as error:
            upload.path.unlink(missing_ok=True)
            return self.show(f"Nothing was stored: {error}")

    def finish(self, request: HttpRequest) -> HttpResponse:
        """Replace the file as the user has confirmed, or forget the upload."""
        try:
            upload, name = market_uploads.find_upload(request.POST["upload"])
            if "replace" not in request.POST:
                upload.unlink(missing_ok=True)
                messages.info(request, "Nothing was replaced.")
                return HttpResponseRedirect(reverse("dashboard:market"))
            return self.keep(upload, name, replace=True)
        except UploadError as error:
            return self.show(f"Nothing was stored: {error}")

    def keep(self, upload: Path, name: str, *, replace: bool) -> HttpResponse:
        try:
            market_uploads.store(upload, name, replace=replace)
        except NameTakenError:
            return self.show("", question=name, upload=market_uploads.wait_for_answer(upload, name).name)
        messages.success(self.request, f"{name} is stored.")
        return HttpResponseRedirect(f"{reverse('dashboard:market')}?{urlencode({'path': name})}")

    def show(self, problem: str, *, status: int = 200, **context: Any) -> HttpResponse:
        context = {"form": UploadForm(), "problem": problem} | context
        return self.render_to_response(self.get_context_data(**context), status=status)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(**{"form": UploadForm()} | kwargs)
