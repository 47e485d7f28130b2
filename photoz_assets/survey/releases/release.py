"""What a release is: one frozen object with all that differs between the releases of the archive.

What is the same for all of them, the assets, the queries' form, the checks, takes a release and asks it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.field import Field
from photoz_assets.survey.galaxy_columns import GalaxyColumns, Photometry
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.object_ids import ObjectIds
from photoz_assets.survey.selection import Condition, Selection
from photoz_assets.survey.skymap import RingsSkyMap, SkyBox

CMODEL: Final = Photometry(kind="cModel", flag_name="cModel_flag")
# Gaussian apertures of 1 arcsec on images that are brought to one seeing: for colours.
GAAP: Final = Photometry(kind="gaap1p0", flag_name="gaapFlux_flag")

# Where archives list their images (ObsCore 1.1).
OBSCORE: Final = "ivoa.ObsCore"

# Of the truth table's ``truth_type``.
GALAXY_TRUTH_TYPE: Final = 1


@dataclass(frozen=True, kw_only=True)
class ObjectTable:
    """A release's table of objects, as far as releases differ in it.

    Attributes
    ----------
    real
        The type of its fluxes and of what else is measured; positions are doubles everywhere.
    primary
        The flag of the objects that count once, without its alias; None where the table holds no others.
    photometry
        The kind of flux that galaxies are selected and judged by.
    other_photometry
        Kinds of flux that are stored beside it, where redshifts are matched here.
    flags
        Of each band, the flags that the release recommends to look at, their band left out.
    countable
        Whether the archive can be asked to count the objects of each patch; else its list of patches has to do.
    ebv
        The column of the reddening E(B-V) in mag, without its alias; None where the table has none.
    """

    real: pa.DataType
    primary: str | None
    photometry: Photometry = CMODEL
    other_photometry: tuple[Photometry, ...] = ()
    flags: tuple[str, ...] = ()
    ebv: str | None = None
    countable: bool = True

    @property
    def kinds(self) -> tuple[Photometry, ...]:
        """Every kind of flux, that which counts first."""
        return self.photometry, *self.other_photometry


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Redshifts by truth: a simulation's own galaxies, which the pipelines matched with the objects.

    ``matches`` and ``truths`` are the archive's tables of both. The columns are those of Data Preview 0.2.
    """

    matches: str = "MatchesTruth"
    truths: str = "TruthSummary"

    @property
    def tables(self) -> Mapping[str, str]:
        """The tables by the aliases that queries give them."""
        return {"mt": self.matches, "ts": self.truths}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What of them is a galaxy."""
        return (Condition("ts.truth_type", f"= {GALAXY_TRUTH_TYPE}"),)

    def columns(self, photometry: Photometry) -> GalaxyColumns:
        """Return the roles of the columns of the galaxies that are matched so."""
        return GalaxyColumns(
            keys=("mt_match_objectId", "mt_id_truth_type"),
            source_key="mt_id_truth_type",
            redshift="ts_redshift",
            redshift_words="true redshift",
            reference_words="true",
            position=("obj_coord_ra", "obj_coord_dec"),
            reference_position=("ts_ra", "ts_dec"),
            photometry=photometry,
            patch="obj_patch",
            extendedness="obj_refExtendedness",
            true_fluxes={band: f"ts_flux_{band}" for band in BANDS},
            true_magnitudes={"r": "ts_mag_r"},
        )


@dataclass(frozen=True, kw_only=True)
class Spectroscopic:
    """Redshifts of other surveys (asset ``specz``), matched here with the objects by their positions.

    Not all of them are of spectra, as each one's type tells.

    Attributes
    ----------
    matching
        How they are matched unless told otherwise.
    by_upload
        Whether a tract's redshifts are sent to the archive, which answers with the objects that are near; for a
        release too large to hold. Else they are matched with the stored ``objects``.
    """

    matching: Matching = field(default_factory=Matching)
    by_upload: bool = False

    @property
    def tables(self) -> Mapping[str, str]:
        """The archive has no table of them."""
        return {}

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Nor can it be asked for what of them is a galaxy."""
        return ()

    def columns(self, photometry: Photometry) -> GalaxyColumns:
        """Return the roles of the columns of the galaxies that are matched so."""
        return GalaxyColumns(
            keys=("obj_objectId", "sz_id"),
            source_key="sz_id",
            redshift="sz_redshift",
            redshift_words="reference redshift",
            reference_words="reference",
            position=("obj_coord_ra", "obj_coord_dec"),
            reference_position=("sz_ra", "sz_dec"),
            photometry=photometry,
            patch="obj_patch",
            extendedness="obj_refExtendedness",
            true_fluxes={},
            true_magnitudes={},
            match_distance="sz_distance_arcsec",
            survey="sz_survey",
        )


@dataclass(frozen=True, kw_only=True)
class ButlerNames:
    """What a release is called in a Butler repository.

    ``objects`` and ``matches`` are dataset types, a table a tract each; ``matches`` is empty where there are none.
    ``tract_tables`` is the pattern of the names of such dataset types; ``coadds`` has an image a patch and band.
    """

    collections: tuple[str, ...]
    skymap: str
    objects: str
    matches: str = ""
    tract_tables: str = "*_tract"
    coadds: str = "deep_coadd"


@dataclass(frozen=True, kw_only=True, eq=False)
class Release:
    """A release of the archive's data. Each is one object: two of them are never equal.

    Attributes
    ----------
    name
        As ``PHOTOZ_RELEASE`` has it.
    title
        What descriptions call the release.
    label
        What figures and pages call its data.
    schema
        The schema of its tables at the archive.
    skymap, tracts
        The skymap, and those of its tracts that hold objects, ascending.
    window
        The piece of the sky that maps of the whole release show.
    fields
        Named cones; the first is that of the demo.
    objects, redshifts
        What its objects are like, and where their redshifts come from.
    galaxies
        What of them is asked for, in words.
    butler
        Its names in a Butler repository.
    object_ids
        How its object ids are put together; None where nothing is known of that.
    extinction
        A_b / E(B-V) of each band, in mag a mag; empty where its magnitudes are not to be dereddened.
    digits
        The significant digits that its columns of single precision come with over TAP, whatever the format; None
        for all of them.
    coadd_product
        What ObsCore calls its coadds, in ``dataproduct_subtype``.
    rights, citation
        Who may have its rows, and what to cite for them. They are for observed and simulated rows of the release
        itself, not for those that the embedded archive makes up.
    density
        The share of the real source density that the embedded archive has unless told otherwise.
    bare_keys
        Whether its assets have no prefix; so has one release alone, since others have tracts of the same number.
    """

    name: str
    title: str
    label: str
    schema: str
    skymap: RingsSkyMap
    tracts: tuple[int, ...]
    window: SkyBox
    fields: Mapping[str, Field]
    objects: ObjectTable
    redshifts: Truth | Spectroscopic
    galaxies: str
    butler: ButlerNames
    rights: str
    citation: str
    density: float
    object_ids: ObjectIds | None = None
    extinction: Mapping[str, float] = field(default_factory=dict)
    digits: int | None = 6
    bare_keys: bool = False
    coadd_product: str = "lsst.deep_coadd"
    columns: GalaxyColumns = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", self.redshifts.columns(self.objects.photometry))

    @property
    def tables(self) -> Mapping[str, str]:
        """The archive's tables that galaxies are made of, by the aliases that queries give them.

        A stored column's name starts with the alias.
        """
        names = {**self.redshifts.tables, "obj": "Object"}
        return MappingProxyType({alias: f"{self.schema}.{name}" for alias, name in names.items()})

    @property
    def spectroscopic(self) -> Spectroscopic | None:
        """Where its redshifts come from, if from other surveys; None for a release with its own truth."""
        return self.redshifts if isinstance(self.redshifts, Spectroscopic) else None

    @property
    def matching(self) -> Matching | None:
        """How its redshifts are matched with its objects; None for a release with its own truth."""
        return self.spectroscopic.matching if self.spectroscopic else None

    def measured_by(self, kind: str) -> "Release":
        """Return the release with another kind of flux as that which counts.

        Raises
        ------
        ValueError
            It has no such kind; the message lists those that it has.
        """
        kinds = {photometry.kind: photometry for photometry in self.objects.kinds}
        if kind not in kinds:
            raise ValueError(f"{self.title} has {', '.join(kinds)}")
        photometry = kinds.pop(kind)
        return replace(
            self, objects=replace(self.objects, photometry=photometry, other_photometry=tuple(kinds.values()))
        )

    @property
    def coadd_patches(self) -> str:
        """The archive's table of the patches that coadds were made of."""
        return f"{self.schema}.CoaddPatches"

    @property
    def image_collection(self) -> str:
        """What ObsCore calls the release, in ``obs_collection``."""
        return f"LSST.{self.name.upper()}"

    @property
    def sample(self) -> tuple[Condition, ...]:
        """The conditions on galaxies besides the magnitudes."""
        primary = (Condition(f"obj.{self.objects.primary}", "= 1", is_flag=True),) if self.objects.primary else ()
        return (*self.redshifts.conditions, *primary, Condition("obj.refExtendedness", "IS NOT NULL"))

    def text_of(self, selection: Selection) -> str:
        """Return a selection of its galaxies in words for people."""
        return selection.text(self.galaxies, self.objects.photometry)

    @property
    def field(self) -> Field:
        """The cone of the demo."""
        return next(iter(self.fields.values()))
