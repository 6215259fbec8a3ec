"""Small PDFs with and without text, made here so that their words are known."""

import io

from pypdf import PdfWriter
from pypdf.generic import ArrayObject, DecodedStreamObject, DictionaryObject, NameObject, TextStringObject


def pdf(*pages: str, password: str = "") -> bytes:
    """A PDF with a line of text on each page; an empty text leaves its page blank."""
    writer = PdfWriter()
    for text in pages:
        page = writer.add_blank_page(300, 300)
        if not text:
            continue
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        page[NameObject("/Resources")] = DictionaryObject(
            {NameObject("/Font"): DictionaryObject({NameObject("/F1"): writer._add_object(font)})}
        )
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password:
        writer.encrypt(password, algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def form(text: str, *fields: dict[str, str]) -> bytes:
    """A PDF whose page has `text`, and `fields` as dictionaries; a value that begins with / is a name."""
    writer = PdfWriter(io.BytesIO(pdf(text)))
    page = writer.pages[0]
    page[NameObject("/Annots")] = ArrayObject()
    for field in fields:
        entries = {"/Type": "/Annot", "/Subtype": "/Widget"} | field
        one = DictionaryObject(
            {
                NameObject(key): NameObject(value) if value.startswith("/") else TextStringObject(value)
                for key, value in entries.items()
            }
        )
        page["/Annots"].append(writer._add_object(one))
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()
