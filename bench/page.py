"""The pages with the results of benchmarks."""

from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).parent.parent / "docs"
PAGE: Final = DOCS / "benchmarks.md"
SCALE: Final = DOCS / "scale.md"


def write_results(name: str, text: str, *, page: Path = PAGE) -> None:
    """Replace the results between the comments `name` and `end of name` of a page."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = page.read_text(encoding="utf-8").partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")
