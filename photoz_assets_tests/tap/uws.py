"""UWS and VOSI documents as services send them, written by hand."""


def job_document(
    phase: str,
    *,
    error: str | None = None,
    error_type: str = "fatal",
    result: str | None = "results/result",
    rows: int | None = None,
    progress: tuple[int, int] | None = None,
    maxrec: int | None = None,
    prefix: str = "uws:",
) -> bytes:
    """Write a job as Rubin's archive does; without a prefix as GAVO DaCHS does."""
    p, xmlns = prefix, "xmlns:uws" if prefix else "xmlns"
    results = f'<{p}result id="result" xlink:href="{result}"/>' if result and phase == "COMPLETED" else ""
    if rows is not None:
        results += f'<{p}result id="rowcount" xlink:href="final:{rows}"/>'
    info = (
        f"<{p}jobInfo><itemsProcessed>{progress[0]}</itemsProcessed><totalItems>{progress[1]}</totalItems></{p}jobInfo>"
        if progress
        else ""
    )
    summary = (
        f'<{p}errorSummary type="{error_type}" hasDetail="true"><{p}message>{error}</{p}message></{p}errorSummary>'
        if error is not None
        else ""
    )
    parameters = f'<{p}parameter id="MAXREC">{maxrec}</{p}parameter>' if maxrec is not None else ""
    return (
        f'<?xml version="1.0"?><{p}job {xmlns}="http://www.ivoa.net/xml/UWS/v1.0" version="1.1" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<{p}jobId>abc</{p}jobId><{p}ownerId xsi:nil="true"/><{p}phase>{phase}</{p}phase>'
        f'<{p}quote xsi:nil="true"/><{p}creationTime>2026-11-03T10:00:00+02:00</{p}creationTime>'
        f"<{p}executionDuration>43200</{p}executionDuration><{p}parameters>{parameters}</{p}parameters>"
        f"<{p}results>{results}</{p}results>{summary}{info}</{p}job>"
    ).encode()


def capabilities(
    *, functions: tuple[str, ...] = (), formats: tuple[str, ...] = ("application/x-votable+xml",), limits: str = ""
) -> bytes:
    """Write the capabilities of a TAP service."""
    features = "".join(f"<feature><form>{form}</form></feature>" for form in functions)
    outputs = "".join(f"<outputFormat><mime>{mime}</mime></outputFormat>" for mime in formats)
    return (
        '<?xml version="1.0"?><vosi:capabilities xmlns:vosi="http://www.ivoa.net/xml/VOSICapabilities/v1.0" '
        'xmlns:tr="http://www.ivoa.net/xml/TAPRegExt/v1.0" xmlns:vs="http://www.ivoa.net/xml/VODataService/v1.1" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        '<capability standardID="ivo://ivoa.net/std/TAP" xsi:type="tr:TableAccess">'
        '<interface xsi:type="vs:ParamHTTP" role="std"><accessURL use="base">http://archive.example/tap</accessURL>'
        '</interface><language><name>ADQL</name><version ivo-id="ivo://ivoa.net/std/ADQL#v2.0">2.0</version>'
        f'<languageFeatures type="ivo://ivoa.net/std/TAPRegExt#features-udf">{features}</languageFeatures></language>'
        f"{outputs}{limits}</capability></vosi:capabilities>"
    ).encode()


RUBIN_LIMITS = (
    '<outputLimit><default unit="byte">3221225472</default><hard unit="byte">3221225472</hard></outputLimit>'
)
PLAIN_LIMITS = '<outputLimit><default unit="row">2000</default><hard unit="row">16000000</hard></outputLimit>'
