"""All cases, of every file."""

from tests.contract import (
    cases_batches,
    cases_collections,
    cases_deletes,
    cases_images,
    cases_plain,
)

CASES = (
    *cases_plain.CASES,
    *cases_batches.CASES,
    *cases_deletes.CASES,
    *cases_collections.CASES,
    *cases_images.CASES,
)
