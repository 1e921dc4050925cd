"""Headers of answers that Django does not make: static files, live streams, and requests refused before Django."""

from wsgiref.headers import Headers

NOT_NEEDED = (
    *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi"),
    *("payment", "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking"),
)
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in NOT_NEEDED)
REFERRER_POLICY = "same-origin"
# An answer that is not a page must load nothing, even if a browser shows it as a page.
OF_FILES = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": PERMISSIONS_POLICY,
    "referrer-policy": REFERRER_POLICY,
    "x-content-type-options": "nosniff",
}
STRICT = [(name.encode(), value.encode()) for name, value in {**OF_FILES, "cache-control": "no-store"}.items()]


def of_static_file(headers: Headers, path: str, url: str) -> None:
    """Add the headers of a static file, which browsers and proxies may cache."""
    for name, value in OF_FILES.items():
        headers[name] = value
