"""The redshifts of other surveys: what the user's files give, in one table."""

from collections.abc import Iterator
from typing import Final

import pyarrow as pa

from photoz_assets.survey.checks import Check, KeyRule, RowRule
from photoz_assets.survey.contracts.object_columns import DEC_DEG, RA_DEG, REDSHIFT
from photoz_assets.survey.redshift_files import GRADES, REDSHIFT_TYPES, SPECTRAL_CLASSES, STAR_GRADE
from photoz_assets.survey.table import Column, TableSpec, contract_check, not_empty_check

ACCOUNTED: Final = "accounted"

_TYPES: Final = ", ".join(f"{name} of {words}" for name, words in REDSHIFT_TYPES.items())
_GRADES: Final = ", ".join(f"{grade} {words}" for grade, words in GRADES.items())


def _file_column(
    name: str,
    kind: pa.DataType,
    description: str,
    *,
    unit: str | None = None,
    ucd: str,
    nullable: bool = True,
    inside: tuple[float, float] | None = None,
) -> Column:
    return Column(
        name=f"sz_{name}",
        type=kind,
        description=description,
        unit=unit,
        ucd=ucd,
        nullable=nullable,
        inside=inside,
    )


def _columns() -> Iterator[Column]:
    text, double = pa.string(), pa.float64()
    yield _file_column("id", text, "Name of the redshift, unique in the catalogue", ucd="meta.id", nullable=False)
    yield _file_column(
        "ra",
        double,
        "Right ascension that the redshift is of, ICRS",
        unit="deg",
        ucd="pos.eq.ra",
        nullable=False,
        inside=RA_DEG,
    )
    yield _file_column(
        "dec",
        double,
        "Declination that the redshift is of, ICRS",
        unit="deg",
        ucd="pos.eq.dec",
        nullable=False,
        inside=DEC_DEG,
    )
    yield _file_column("redshift", double, "Redshift", ucd="src.redshift", nullable=False, inside=REDSHIFT)
    yield _file_column("redshift_err", double, "Error of the redshift", ucd="stat.error;src.redshift")
    yield _file_column("type", text, f"What the redshift is of: {_TYPES}", ucd="meta.code.class", nullable=False)
    yield _file_column(
        "grade",
        pa.int32(),
        f"How likely it is right: {_GRADES}; {STAR_GRADE} for a star",
        ucd="meta.code.qual",
        nullable=False,
    )
    yield _file_column("survey", text, "Who measured it", ucd="meta.id.assoc", nullable=False)
    yield _file_column(
        "class",
        text,
        f"What the spectrum is of, where that is known: {', '.join(SPECTRAL_CLASSES)}",
        ucd="src.class",
    )


def _known_codes() -> RowRule:
    types = ", ".join(f"'{name}'" for name in REDSHIFT_TYPES)
    grades = ", ".join(str(grade) for grade in (*GRADES, STAR_GRADE))
    return RowRule(
        check="known_codes",
        condition=f"sz_type IN ({types}) AND sz_grade IN ({grades})",
        shown=("sz_id", "sz_type", "sz_grade"),
        limits={"types": tuple(REDSHIFT_TYPES), "grades": grades},
    )


_SPECZ_COLUMNS: Final = tuple(_columns())

SPECZ: Final = TableSpec(
    table="specz",
    columns=_SPECZ_COLUMNS,
    version=1,
    group="galaxies",
    kinds=frozenset({"parquet", "duckdb"}),
    checks=(
        contract_check(_SPECZ_COLUMNS, ("sz_id",)),
        Check(
            name="finite_values",
            description="Positions and redshifts are finite numbers.",
            blocking=True,
            rule=lambda _: RowRule(
                check="finite_values",
                condition="isfinite(sz_ra) AND isfinite(sz_dec) AND isfinite(sz_redshift)",
                shown=("sz_id", "sz_ra", "sz_dec", "sz_redshift"),
                limits={"finite": ("sz_ra", "sz_dec", "sz_redshift")},
            ),
        ),
        Check(
            name="known_codes",
            description="Every type and every grade is one that there is.",
            blocking=True,
            rule=lambda _: _known_codes(),
        ),
        Check(
            name="unique_redshifts",
            description="No name of a redshift is there twice.",
            blocking=True,
            rule=lambda _: KeyRule(check="unique_redshifts", columns=("sz_id",)),
        ),
        Check(
            name=ACCOUNTED,
            description="Every row of the files is kept, or refused for a reason that is counted.",
            blocking=True,
        ),
        not_empty_check("redshifts", blocking=True),
    ),
)
