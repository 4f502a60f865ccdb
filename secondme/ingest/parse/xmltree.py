"""XML of containers, parsed without network, external entities or entity expansion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondme.ingest import reasons

if TYPE_CHECKING:
    from lxml.etree import _Element


def parse_xml(data: bytes) -> _Element:
    """The root element. Raises ParseFailed if the XML is not well-formed or nested too deep."""
    from lxml import etree  # 20 ms to import

    # Without `huge_tree` libxml2 keeps its own bounds on depth, names and attribute entities.
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise reasons.failed(reasons.DAMAGED) from None
