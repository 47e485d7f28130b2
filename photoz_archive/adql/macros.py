"""The formulas behind ADQL's and scisql's functions, as DuckDB macros.

Angles are degrees, fluxes nJy, magnitudes AB. Each macro yields NULL where an argument is NULL or outside the
function's domain, where DuckDB's own function would stop the query.
"""

from typing import Final

MACROS: Final = (
    """
    CREATE MACRO adql_haversine(lon1, lat1, lon2, lat2) AS
        pow(sin(radians(lat2 - lat1) / 2), 2)
        + cos(radians(lat1)) * cos(radians(lat2)) * pow(sin(radians(lon2 - lon1) / 2), 2)
    """,
    # Vincenty's form is accurate at every distance, antipodes included.
    """
    CREATE MACRO adql_separation(lon1, lat1, lon2, lat2) AS
        degrees(atan2(
            sqrt(
                pow(cos(radians(lat2)) * sin(radians(lon2 - lon1)), 2)
                + pow(
                    cos(radians(lat1)) * sin(radians(lat2))
                    - sin(radians(lat1)) * cos(radians(lat2)) * cos(radians(lon2 - lon1)),
                    2
                )
            ),
            sin(radians(lat1)) * sin(radians(lat2))
            + cos(radians(lat1)) * cos(radians(lat2)) * cos(radians(lon2 - lon1))
        ))
    """,
    # The band of latitudes lets DuckDB skip row groups; its slack only costs speed.
    """
    CREATE MACRO adql_in_circle(lon, lat, centre_lon, centre_lat, radius) AS
        lat >= centre_lat - radius - 1e-9
        AND lat <= centre_lat + radius + 1e-9
        AND adql_haversine(lon, lat, centre_lon, centre_lat) <= pow(sin(radians(least(radius, 180)) / 2), 2)
    """,
    "CREATE MACRO adql_longitude(lon) AS lon - 360 * floor(lon / 360)",
    """
    CREATE MACRO adql_in_box(lon, lat, lon_min, lat_min, lon_max, lat_max) AS
        lat >= lat_min AND lat <= lat_max
        AND CASE
            WHEN lon_max - lon_min >= 360 THEN TRUE
            WHEN adql_longitude(lon_min) <= adql_longitude(lon_max)
                THEN adql_longitude(lon) >= adql_longitude(lon_min)
                    AND adql_longitude(lon) <= adql_longitude(lon_max)
            ELSE adql_longitude(lon) >= adql_longitude(lon_min)
                OR adql_longitude(lon) <= adql_longitude(lon_max)
        END
    """,
    # Of a region as text, 'POLYGON ICRS ra dec ra dec ...', convex: on which side of each edge's great circle a
    # point is. What a lambda takes is worked out once, what a macro takes as often as it is named.
    """
    CREATE MACRO adql_unit_vector(lon, lat) AS
        [
            cos(radians(lat)) * cos(radians(lon)), cos(radians(lat)) * sin(radians(lon)), sin(radians(lat))
        ]::DOUBLE[3]
    """,
    """
    CREATE MACRO adql_corners(region) AS
        list_transform(
            [TRY_CAST(string_split(region, ' ')[3:] AS DOUBLE[])],
            lambda angles: list_transform(
                range(1, len(angles), 2), lambda i: adql_unit_vector(angles[i], angles[i + 1])
            )
        )[1]
    """,
    """
    CREATE MACRO adql_sides(lon, lat, region) AS
        list_transform(
            [adql_corners(region)],
            lambda corners: list_transform(
                range(1, len(corners) + 1),
                lambda i: array_dot_product(
                    array_cross_product(corners[i], corners[i % len(corners) + 1]), adql_unit_vector(lon, lat)
                )
            )
        )[1]
    """,
    """
    CREATE MACRO adql_in_region(lon, lat, region) AS
        list_transform(
            [adql_sides(lon, lat, region)], lambda sides: list_min(sides) >= 0 OR list_max(sides) <= 0
        )[1]
    """,
    # 31.4 is the AB zero point for nJy, as in scisql's photometry.
    "CREATE MACRO adql_ab_mag(flux) AS CASE WHEN flux > 0 AND NOT isnan(flux) THEN 31.4 - 2.5 * log10(flux) END",
    """
    CREATE MACRO adql_ab_mag_sigma(flux, sigma) AS
        CASE WHEN flux > 0 AND NOT isnan(flux) THEN 2.5 / ln(10.0) * sigma / flux END
    """,
    "CREATE MACRO adql_flux(mag) AS pow(10.0, (31.4 - mag) / 2.5)",
    "CREATE MACRO adql_flux_sigma(mag, sigma) AS pow(10.0, (31.4 - mag) / 2.5) * sigma * ln(10.0) / 2.5",
    "CREATE MACRO adql_ln(x) AS CASE WHEN x > 0 THEN ln(x) END",
    "CREATE MACRO adql_log10(x) AS CASE WHEN x > 0 THEN log10(x) END",
    "CREATE MACRO adql_sqrt(x) AS CASE WHEN x >= 0 THEN sqrt(x) END",
    "CREATE MACRO adql_acos(x) AS CASE WHEN x BETWEEN -1 AND 1 THEN acos(x) END",
    "CREATE MACRO adql_asin(x) AS CASE WHEN x BETWEEN -1 AND 1 THEN asin(x) END",
    "CREATE MACRO adql_cot(x) AS CASE WHEN sin(x) <> 0 THEN cos(x) / sin(x) END",
    "CREATE MACRO adql_truncate(x, digits) AS trunc(x * pow(10.0, digits)) / pow(10.0, digits)",
)
