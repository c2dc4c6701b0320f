"""[telemetry], and OpenTelemetry's own names in the environment where that says nothing."""

from urllib.parse import unquote, urlsplit

from ftgate.config.load import Reading, fields
from ftgate.config.settings import Settings, Telemetry
from ftgate.config.values import headers, unquoted, url

ENDPOINT, HEADERS, NAME = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_SERVICE_NAME"
DISABLED = "OTEL_SDK_DISABLED"
PATHS = ("/v1/traces", "/v1/metrics")


def telemetry(reading: Reading) -> Telemetry:
    """What is written, each fault noted; else what the environment says, where a fault is a warning and telemetry off:
    those names are for every program of a machine."""
    where = ("telemetry",)
    found = reading.section(where, Telemetry())
    if found.otlp_endpoint is not None and found.otlp_endpoint.endswith(PATHS):
        reading.at((*where, "otlp_endpoint"), " ends in a path that is appended anyway. Leave it off.")
    if not found.service_name:
        reading.at((*where, "service_name"), " is empty. Give it a name, or leave it out.")
    if found.headers and found.otlp_endpoint is None:
        place = (*where, "headers")
        reading.warn(place, f"{reading.label(place)} has no effect without otlp_endpoint.")
    if reading.raw.get("telemetry") or unquoted(reading.environ.get(DISABLED, "")).strip().lower() == "true":
        return found
    if not (endpoint := unquoted(reading.environ.get(ENDPOINT, ""))):
        return found
    notes = fields(Telemetry)
    name = ENDPOINT
    try:
        address = url(endpoint, notes["otlp_endpoint"][1])
        name = HEADERS
        sent = headers(_pairs(unquoted(reading.environ.get(HEADERS, ""))), notes["headers"][1])
    except ValueError as problem:
        reading.warn(where, f"{name}{problem} Telemetry stays off.")
        return found
    return Telemetry(address, sent, unquoted(reading.environ.get(NAME, "")) or found.service_name)


def goes(settings: Settings) -> str | None:
    """Where telemetry goes and who said so, for people; None where it is off."""
    if (place := collector(settings)) is None:
        return None
    by = "[telemetry]" if ("telemetry", "otlp_endpoint") in settings.lines else f"{ENDPOINT} in the environment"
    return f"spans and figures of calls go to {place}, by {by}"


def collector(settings: Settings) -> str | None:
    """The collector's address as it may be shown; None where telemetry is off. A path may be a secret."""
    if (endpoint := settings.telemetry.otlp_endpoint) is None:
        return None
    parts = urlsplit(endpoint)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _pairs(text: str) -> dict[str, str]:
    """name=value,name=value, with what a URL escapes. Raises ValueError."""
    found = {}
    for part in filter(None, map(str.strip, text.split(","))):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError(": one of them is not like name=value.")
        found[name.strip()] = unquote(value.strip())
    return found
