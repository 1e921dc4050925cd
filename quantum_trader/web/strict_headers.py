"""Headers of answers that Django does not make: static files, live streams, and refusals before Django is asked."""

from wsgiref.headers import Headers

NOT_NEEDED = (
    *("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "magnetometer", "microphone", "midi"),
    *("payment", "publickey-credentials-get", "screen-wake-lock", "usb", "xr-spatial-tracking"),
)
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in NOT_NEEDED)
REFERRER_POLICY = "same-origin"
# What is not a page loads nothing, should a browser show it as one.
OF_FILES = {
    "content-security-policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "permissions-policy": PERMISSIONS_POLICY,
    "referrer-policy": REFERRER_POLICY,
    "x-content-type-options": "nosniff",
}
STRICT = [(name.encode(), value.encode()) for name, value in {**OF_FILES, "cache-control": "no-store"}.items()]


def of_static_file(headers: Headers, path: str, url: str) -> None:
    """Add the headers of a static file, which may be stored."""
    for name, value in OF_FILES.items():
        headers[name] = value
