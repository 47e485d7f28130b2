"""Redshifts of other surveys, a tract's objects, and both matched: for releases without truth of their own."""

from dataclasses import asdict, replace

import dagster as dg
import duckdb
from pydantic import Field as Setting

from photoz_assets.environment import SettingError
from photoz_assets.ingest.matched_tract import TractMatch, match_by_upload, match_stored
from photoz_assets.ingest.redshift_files import RedshiftFiles, read_redshifts
from photoz_assets.ingest.tract import objects_tract_query
from photoz_assets.lake.freshness import listed_as
from photoz_assets.lake.provenance import Provenance, derived_provenance, run_versions
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import open_tables, read_source
from photoz_assets.lake.writing import write_rows
from photoz_assets.orchestration.assets.galaxies import numbers
from photoz_assets.orchestration.automation_policies import FOLLOW
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import TableResult, lake_table
from photoz_assets.orchestration.resources import ArchiveResource, ReleaseParam, SelectionResource
from photoz_assets.photoz.accounting import account
from photoz_assets.science.match_quality import bands_observed, patch_geometry
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.redshift_files import RedshiftColumns
from photoz_assets.survey.selection import Selection


class SpeczConfig(dg.Config):
    """What the files of redshifts do not say themselves."""

    columns: dict[str, str] = Setting(
        default={},
        description="The files' own names of columns, by what they hold: row_id, ra, dec, redshift, "
        "redshift_error, redshift_type, grade, survey, spectral_class; by default those of the Photo-z Server's "
        "catalogues",
    )
    redshift_type: str | None = Setting(
        default=None, description="s, g or p: of all redshifts, where the files have no such column"
    )
    grade: int | None = Setting(
        default=None, description="0 to 4: of all redshifts, where the files have no such column"
    )
    licence: str = Setting(default="", description="Who may have the redshifts; it goes wherever they go")
    citation: str = Setting(default="", description="What to cite for the redshifts")

    def named(self) -> RedshiftColumns:
        """Return the names of the columns.

        Raises
        ------
        SettingError
            A column is named that a file of redshifts does not have.
        """
        roles = asdict(RedshiftColumns())
        if unknown := sorted(set(self.columns) - set(roles)):
            raise SettingError(
                f"the configuration of specz names columns for {', '.join(unknown)}: they are {', '.join(roles)}"
            )
        return RedshiftColumns(**{**roles, **self.columns})


@lake_table(SPECZ, is_of=lambda release: release.spectroscopic is not None)
def specz(
    context: dg.AssetExecutionContext,
    config: SpeczConfig,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
) -> TableResult:
    """The redshifts of other surveys, out of the files at PHOTOZ_SPECZ: position, redshift, type, grade, survey.

    CSV, FITS, VOTable or Parquet, with the columns of the Photo-z Server's combined catalogues or others that the
    configuration names. Stars and QSOs are told apart. Rows that make no sense are refused and counted by reason;
    digest, licence and citation of each file stand in the provenance of all that is made of them.
    """
    files = RedshiftFiles(
        paths=archive.redshift_files(release),
        columns=config.named(),
        redshift_type=config.redshift_type,
        grade=config.grade,
        licence=config.licence,
        citation=config.citation,
    )
    found = read_redshifts(files, release)
    provenance = Provenance(
        table=SPECZ.table,
        code_version=SPECZ.code_version,
        run_id=context.run.run_id,
        redshift_files=found.files,
        **run_versions(),
    )
    verdict = account(found.came, found.rows.num_rows, found.refused)
    table = write_rows(lake.open(), SPECZ, [found.rows], provenance, [verdict])
    return TableResult(table, metadata={"files": [str(path) for path in files.paths]})


@lake_table(objects_spec, is_of=lambda release: release.spectroscopic is not None)
def objects(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
    selection: SelectionResource,
) -> TableResult:
    """The objects of one tract inside the magnitude cuts, without a join: what is given redshifts, or matched.

    Positions, dust, extendedness, fluxes of each kind with errors, and the flags that the release recommends.
    Published only if every blocking check holds.
    """
    tract, wanted, store = int(context.partition_key), selection.selection(), lake.open()
    ingest = archive.ingest(store, release, run_id=context.run.run_id, log=context.log.info)
    # Before the archive is asked: what changes there from now on may not be in the answer.
    listing = listed_as(store, tract)
    table = ingest.fetch_table(objects_tract_query(ingest.client, release, wanted, tract, listing=listing))
    rows = open_tables(duckdb.connect(), [table.path])
    verdicts = [bands_observed(rows, release.columns), patch_geometry(rows, release, tract)]
    return TableResult(table, verdicts=verdicts, metadata=numbers(table, release.skymap, tract))


@lake_table(
    matched_galaxies_spec,
    deps=["specz", "objects"],
    is_of=lambda release: release.spectroscopic is not None and not release.spectroscopic.by_upload,
    automation_condition=FOLLOW,
)
def galaxies_matched_here(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource
) -> TableResult:
    """The objects of one tract that have the redshift of another survey, with how they were matched.

    Each redshift goes to the nearest object within the radius; of an object's redshifts the best grade is taken,
    then the type, then the nearest. Magnitudes of each kind stand beside those without the Milky Way's dust.
    Published only if every blocking check holds.
    """
    tract, store = int(context.partition_key), lake.open()
    [objects_file, specz_file] = snapshot(store, [store.table("objects", tract), store.table(SPECZ.table)])
    source, redshifts = read_source(objects_file, objects_spec(release)), read_source(specz_file, SPECZ)
    match = TractMatch(release=release, tract=tract, selection=source.selection or Selection(), specz=specz_file)
    provenance = replace(
        derived_provenance(
            matched_galaxies_spec(release),
            run_id=context.run.run_id,
            source=source,
            tract=tract,
            inputs=[source, redshifts],
        ),
        listing=source.listing,
        matching=release.matching,
        redshift_files=redshifts.redshift_files,
    )
    table = match_stored(store, match, objects_file, provenance)
    return TableResult(table, metadata=numbers(table, release.skymap, tract))


@lake_table(
    matched_galaxies_spec,
    deps=["specz"],
    is_of=lambda release: release.spectroscopic is not None and release.spectroscopic.by_upload,
    automation_condition=FOLLOW,
)
def galaxies_matched_by_upload(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    archive: ArchiveResource,
    lake: LakeResource,
    selection: SelectionResource,
) -> TableResult:
    """The objects of one tract that have the redshift of another survey, with how they were matched.

    The tract's redshifts are sent to the archive, which answers with the objects near them. Each redshift goes to
    the nearest object within the radius; of an object's redshifts the best grade is taken, then the type, then the
    nearest. Magnitudes of each kind stand beside those without the Milky Way's dust. Published only if every
    blocking check holds.
    """
    tract, wanted, store = int(context.partition_key), selection.selection(), lake.open()
    [specz_file] = snapshot(store, [store.table(SPECZ.table)])
    redshifts = read_source(specz_file, SPECZ)
    ingest = archive.ingest(store, release, run_id=context.run.run_id, log=context.log.info)
    match = TractMatch(release=release, tract=tract, selection=wanted, specz=specz_file)
    table = match_by_upload(ingest, match, redshifts)
    return TableResult(table, metadata=numbers(table, release.skymap, tract))
