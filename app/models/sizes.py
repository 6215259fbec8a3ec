"""Sizes, speeds and times of models as people read them. Powers of 1000, as the terminal has them."""


def format_bytes(count: float) -> str:
    """`812 B`, `14 kB`, `93.1 MB`, `4.62 GB`, `1.2 TB`."""
    size = float(count)
    for unit, digits in (("B", 0), ("kB", 0), ("MB", 1)):
        if size < 999.95:
            return f"{size:,.{digits}f} {unit}"
        size /= 1000
    return f"{size:,.2f} GB" if size < 999.95 else f"{size / 1000:,.1f} TB"


def format_duration(seconds: float) -> str:
    """`8 s`, `4 min`, `2 h 5 min`."""
    whole = max(1, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
