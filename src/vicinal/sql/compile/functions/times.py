"""The functions of dates and times."""

from vicinal.sql.compile import builders, modules
from vicinal.sql.compile.functions.function import Function

FUNCTIONS = (
    *(
        Function(
            f"DateTime::Get{name}",
            "(Date | Datetime | Timestamp) -> number",
            f"The {about}.",
            f'DateTime::Get{name}(Datetime("2024-02-29T12:30:05Z"))',
            answer,
            modules.part(f"DateTime::Get{name}", field),
        )
        for name, about, field, answer in (
            ("Year", "year", "year", "2024"),
            ("Month", "month", "month", "2"),
            ("DayOfMonth", "day of the month", "day", "29"),
            ("DayOfYear", "day of the year", "doy", "60"),
            ("DayOfWeek", "day of the week, 1 on Monday", "isodow", "4"),
            ("Hour", "hour", "hour", "12"),
            ("Minute", "minute", "minute", "30"),
            ("Second", "second", "second", "5"),
        )
    ),
    Function(
        "DateTime::ToSeconds",
        "(Date | Datetime | Timestamp) -> Uint32",
        "Seconds since 1970.",
        'DateTime::ToSeconds(Date("1970-01-02"))',
        "86400",
        modules.part("DateTime::ToSeconds", "epoch"),
    ),
    Function(
        "DateTime::FromSeconds",
        "(whole number) -> Timestamp",
        "The moment so many seconds after 1970.",
        "DateTime::FromSeconds(86400)",
        "1970-01-02T00:00:00.000000Z",
        modules.moment("Timestamp", "make_timestamp({0} * 1000000)"),
    ),
    Function(
        "Date", "(literal) -> Date", "A day: YYYY-MM-DD.", 'Date("2024-02-29")', "2024-02-29", builders.time("Date")
    ),
    Function(
        "Datetime",
        "(literal) -> Datetime",
        "A second: YYYY-MM-DDThh:mm:ssZ.",
        'Datetime("2024-02-29T12:30:00Z")',
        "2024-02-29T12:30:00Z",
        builders.time("Datetime"),
    ),
    Function(
        "Timestamp",
        "(literal) -> Timestamp",
        "A microsecond: YYYY-MM-DDThh:mm:ss.ffffffZ.",
        'Timestamp("2024-02-29T12:30:00.5Z")',
        "2024-02-29T12:30:00.500000Z",
        builders.time("Timestamp"),
    ),
)
