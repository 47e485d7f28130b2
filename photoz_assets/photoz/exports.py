"""Files for others: a sample in the form of a profile, read back before it is published.

HDF5 carries no time stamps: the same rows and the same provenance are the same bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import PROVENANCE_KEY, Provenance
from photoz_assets.lake.staging import atomic_folder
from photoz_assets.lake.writing import TableRefusedError
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.profiles import Profile
from photoz_assets.survey.checks import Check, Verdict

RIGHTS_FILE: Final = "RIGHTS.txt"

PROFILE_CLEAN: Final = Check(
    name="profile_clean",
    description="Each file, read back, holds the rows that were to be written, none lost and none changed, and "
    "nothing that its reader cannot take: a NaN, an infinity or a mark of another, an error that is not positive.",
    blocking=True,
    rows="files",
)


@dataclass(frozen=True, kw_only=True)
class Export:
    """One file's rows in the reader's columns.

    ``came`` is the number of galaxies of its splits, ``left_out`` that of those which the profile cannot say, by
    the first reason.
    """

    rows: pa.Table
    came: int
    left_out: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class WrittenProfile:
    """The published files of a profile: where they lie, how many rows they have, and what their check found."""

    folder: Path
    rows: int
    verdict: Verdict


def write_profile(
    lake: Lake, profile: Profile, sample: duckdb.DuckDBPyRelation, provenance: Provenance
) -> WrittenProfile:
    """Write the files of a profile into a lake; none of them, unless all hold what was to be written.

    They come into their place together, on the disk before, and each names the digest of the sample's rows. Beside
    them stands who may have them and what to cite, where the provenance says so of the release or of a file of
    redshifts.

    Parameters
    ----------
    lake, profile
        Where to, and in whose form.
    sample
        Rows of ``photoz_sample``.
    provenance
        Where they came from; the number of rows is each file's own.

    Raises
    ------
    TableRefusedError
        A file, read back, is not what was to be written; what was there stays.
    OSError
        The disk is full or fails.
    """
    digest = rows_digest(sample.to_arrow_table())
    wanted = {file: export_rows(sample, profile, splits) for file, splits in profile.files.items()}
    folder = lake.export(profile.name, RIGHTS_FILE).parent
    with atomic_folder(lake, folder) as written:
        for file, export in wanted.items():
            facts = _facts(profile, provenance.with_rows(export.rows.num_rows), digest)
            _write(written / file, profile, export.rows, facts)
        verdict = judge(profile, wanted, {file: _read(written / file, profile) for file in wanted})
        if not verdict.passed:
            raise TableRefusedError(f"the export {profile.name} is refused. {verdict.summary}", [verdict])
        if lines := rights_lines(provenance):
            (written / RIGHTS_FILE).write_text("".join(f"{line}\n" for line in lines))
    return WrittenProfile(
        folder=folder,
        rows=sum(each.rows.num_rows for each in wanted.values()),
        verdict=verdict,
    )


def rights_lines(provenance: Provenance) -> list[str]:
    """Return in lines who may have the rows and what to cite: of the release, and of each file of redshifts."""
    lines = [provenance.rights, f"Cite: {provenance.citation}"] if provenance.rights else []
    for file in provenance.redshift_files:
        if licence := file.get("licence"):
            lines.append(f"Redshifts of {file['name']}: {licence}")
        if citation := file.get("citation"):
            lines.append(f"Cite for {file['name']}: {citation}")
    return lines


def export_rows(sample: duckdb.DuckDBPyRelation, profile: Profile, splits: Sequence[str]) -> Export:
    """Return some splits of a sample in a profile's columns and marks, in the sample's order.

    Parameters
    ----------
    sample
        Rows of ``photoz_sample``.
    profile
        The reader's.
    splits
        One or more of ``SPLITS``.
    """
    named = ", ".join(f"'{split}'" for split in splits)
    places = " ".join(f"WHEN '{split}' THEN {place}" for place, split in enumerate(splits))
    rows = wanted = sample.filter(f"split IN ({named})")
    left_out = {}
    for reason, condition in profile.kept.items():
        [(left_out[reason],)] = rows.aggregate(f"count(*) FILTER (WHERE ({condition}) IS NOT TRUE)").fetchall()
        rows = rows.filter(condition)
    [(came,)] = wanted.aggregate("count(*)").fetchall()
    columns = ", ".join(f'{sql} AS "{name}"' for name, sql in profile.columns.items())
    ordered = rows.order(f"CASE split {places} END, draw, object_id")
    return Export(rows=ordered.project(columns).to_arrow_table(), came=came, left_out=left_out)


def judge(profile: Profile, wanted: Mapping[str, Export], read: Mapping[str, pa.Table]) -> Verdict:
    """Hold the files of a profile, as they were read back, against what was to be written."""
    found = [_judged(profile, file, wanted[file], read[file]) for file in profile.files]
    problems = [f"{each['file']}: {each['problem']}" for each in found if each["problem"]]
    kept = sum(each.rows.num_rows for each in wanted.values())
    left_out = sum(sum(each.left_out.values()) for each in wanted.values())
    return Verdict(
        check=PROFILE_CLEAN.name,
        passed=not problems,
        summary="; ".join(problems)
        or f"{kept:,} rows in {len(found)} files are as they were to be written; left out: {left_out:,}",
        numbers={"rows": kept, "left_out": left_out},
        rows=found,
    )


def _judged(profile: Profile, file: str, wanted: Export, read: pa.Table) -> dict[str, Any]:
    unclean = duckdb.connect().from_arrow(read).aggregate(f"count(*) FILTER (WHERE ({profile.clean}) IS NOT TRUE)")
    [(broken,)] = unclean.fetchall()
    lost = wanted.came - read.num_rows - sum(wanted.left_out.values())
    digest = rows_digest(read)
    problems = [
        f"{lost:,} rows are unaccounted for" if lost else "",
        f"{broken:,} rows hold what the reader cannot take" if broken else "",
        "other rows than were to be written" if digest != rows_digest(wanted.rows) else "",
    ]
    return {
        "file": file,
        "came": wanted.came,
        "rows": read.num_rows,
        **wanted.left_out,
        "digest": digest,
        "problem": ", ".join(filter(None, problems)),
    }


def _facts(profile: Profile, provenance: Provenance, digest: str) -> dict[str, str]:
    """Return what a file says of itself."""
    told = {"rights": provenance.rights, "citation": provenance.citation}
    return {
        PROVENANCE_KEY.decode(): provenance.to_json(),
        "photoz_assets.profile": profile.name,
        "photoz_assets.sample": digest,
        "photoz_assets.sampling": provenance.sampling.fingerprint if provenance.sampling else "",
        **{name: text for name, text in told.items() if text},
    }


def _write(path: Path, profile: Profile, rows: pa.Table, facts: Mapping[str, str]) -> None:
    """Write a file, whose name says the format, with what it says of itself."""
    if path.suffix == ".parquet":
        pq.write_table(rows.replace_schema_metadata(dict(facts)), path, compression="zstd")
        return
    import h5py  # noqa: PLC0415 - half a second, and only here

    with h5py.File(path, "w", track_order=True) as written:
        written.attrs.update(facts)
        place = written.create_group(profile.group, track_order=True) if profile.group else written
        for name in rows.column_names:
            place.create_dataset(name, data=rows.column(name).to_numpy(), track_times=False)


def _read(path: Path, profile: Profile) -> pa.Table:
    if path.suffix == ".parquet":
        return pq.ParquetFile(path).read().replace_schema_metadata(None)
    import h5py  # noqa: PLC0415 - half a second, and only here

    with h5py.File(path, "r", locking=False) as written:
        place: Any = written[profile.group] if profile.group else written
        return pa.table({name: pa.array(place[name][:]) for name in place})
