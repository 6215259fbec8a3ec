"""RTF, HTML, e-mail and notebooks as their text, by what the file holds."""

import json
from pathlib import Path

import pytest

from prompt_files import read_document

RTF = rb"""{\rtf1\ansi\ansicpg1252\cocoartf2709
\cocoatextscaling0\cocoaplatform0{\fonttbl\f0\fswiss\fcharset0 Helvetica;\f1\fnil\fcharset0 AppleColorEmoji;}
{\colortbl;\red255\green255\blue255;}
{\*\expandedcolortbl;;}
\paperw11900\paperh16840\margl1440\margr1440\vieww11520\viewh8400\viewkind0

\f0\fs24 \cf0 Gr\'fc\'dfe aus K\'f6ln\
Second line, \b bold
\b0  and \uc0\u1055 \u1088 \u1080  
\f1 \uc0\u55357 \u56832
\f0 .\
}"""  # noqa: W291  TextEdit ends lines so
RUSSIAN_RTF = (
    rb"{\rtf1\ansi\ansicpg1251\deff0{\fonttbl{\f0\fnil\fcharset204 Arial;}}{\pict\wmetafile8 0100ffab}"
    rb"\f0 \'cf\'f0\'e8\'e2\'e5\'f2\par \trowd a\cell b\cell\row c\cell d\cell\row}"
)
PAGE = """<!DOCTYPE html>
<html><head><meta charset="windows-1251"><title>Заголовок</title><style>p { color: red }</style>
<script>if (a < b) { alert("no") }</script></head>
<body><h1>Небо &amp; море</h1><p>Почему небо <b>голубое</b>?<br>Потому<p>что.
<ul><li>раз<li>два<ul><li>три</ul></ul><ol><li><p>eins</p><li>zwei</ol>
<table><tr><th>a<th>b<tr><td>1<td>2</table><pre>x
  y</pre><img src=a.png alt="картина"></body></html>"""
PAGE_TEXT = """Заголовок

# Небо & море

Почему небо голубое?
Потому

что.

- раз
- два
  - три

1. eins
2. zwei

a | b
1 | 2

x
  y

[картина]"""
MAIL = b"""Received: from mail.example.org by mx.example.org; Sun, 29 Nov 2026 10:00:01 +0000\r
From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\r
To: a@example.org,\r
 b@example.org\r
Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r
Date: Sun, 29 Nov 2026 10:00:00 +0000\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=b\r
\r
--b\r
Content-Type: multipart/alternative; boundary=c\r
\r
--c\r
Content-Type: text/plain; charset=iso-8859-1\r
Content-Transfer-Encoding: quoted-printable\r
\r
Sch=F6ne Gr=FC=DFe\r
--c\r
Content-Type: text/html\r
\r
<p>not this one</p>\r
--c--\r
--b\r
Content-Type: application/pdf; name="a.pdf"\r
Content-Disposition: attachment; filename="a.pdf"\r
Content-Transfer-Encoding: base64\r
\r
AAAA\r
--b--\r
"""
MAIL_TEXT = """From: Jürgen <j@example.org>
To: a@example.org, b@example.org
Date: Sun, 29 Nov 2026 10:00:00 +0000
Subject: Grüße
Attached, not read: a.pdf

Schöne Grüße
"""
NOTEBOOK = {
    "cells": [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Title\n", "Words"]},
        {
            "cell_type": "code",
            "execution_count": 1,
            "metadata": {},
            "source": ["print(1)\n", "plot()"],
            "outputs": [
                {"output_type": "stream", "name": "stdout", "text": ["1\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo=" * 99, "text/plain": ["<Figure>"]}},
                {"output_type": "error", "ename": "E", "evalue": "no", "traceback": ["\x1b[0;31mE\x1b[0m: no"]},
            ],
        },
        {"cell_type": "code", "execution_count": None, "metadata": {}, "source": [], "outputs": []},
    ],
    "metadata": {"kernelspec": {"language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 5,
}
NOTEBOOK_TEXT = """# Title
Words

```python
print(1)
plot()
```

Output:
```
1
```

Output:
```
<Figure>
```

Output:
```
E: no
```
"""


def read(folder: Path, name: str, data: bytes) -> tuple[str, str]:
    path = folder / name
    path.write_bytes(data)
    document = read_document(path)
    return document.encoding, document.text


@pytest.mark.parametrize("name", ["letter.rtf", "letter"])
def test_rtf(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, name, RTF) == ("rtf", "Grüße aus Köln\nSecond line, bold and При 😀.\n")
    assert read(tmp_path, name, RUSSIAN_RTF) == ("rtf", "Привет\na|b\nc|d\n")


@pytest.mark.parametrize("encoding", ["cp1251", "utf-8", "utf-16", "utf-8-sig"])
def test_a_web_page_is_what_it_shows(tmp_path: Path, encoding: str) -> None:
    page = PAGE if encoding == "cp1251" else PAGE.replace("windows-1251", encoding)
    assert read(tmp_path, "page", page.encode(encoding)) == ("html", PAGE_TEXT)


def test_a_part_of_a_page_is_known_by_its_name(tmp_path: Path) -> None:
    assert read(tmp_path, "part.html", b"<p>one</p>\n<p>two</p>") == ("html", "one\n\ntwo")
    assert read(tmp_path, "part.txt", b"<p>one</p>\n<p>two</p>") == ("utf-8", "<p>one</p>\n<p>two</p>")


def test_a_page_with_crossed_and_unclosed_tags(tmp_path: Path) -> None:
    broken = b"<html><body></ul></pre></td><li>a<b><i>b</b>c</i><table><td>d<p>e <unknown>f</body>g &amp &nope; <"
    assert read(tmp_path, "a.html", broken) == ("html", "- abc\n\nd\n\ne f\ng & &nope; <")


def test_a_page_of_words_has_conditions_for_old_browsers(tmp_path: Path) -> None:
    page = (
        b"<!-- saved --><html><!--[if gte mso 9]><xml>x</xml><![endif]--><p><![if !supportLists]>1.<![endif]> one<![x"
    )
    assert read(tmp_path, "a", page) == ("html", "1. one")


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("a.html", "{% extends 'base' %}<p>{{ x }}</p>"),
        ("a.html", "<html><?php echo 1; ?></html>"),
        ("a.html", "<script>only()</script>"),
        ("a.md", "<html>\nis how a page begins."),
        ("a.svg", "<svg><text>a</text></svg>"),
        ("a.xml", "<?xml version='1.0'?>\n<a>b</a>"),
        ("a.json", '{"cells": [1, 2]}'),
        ("a.json", '{"nbformat": 4}'),
        ("a.ipynb", '{"cells": [{"cell_type": "mark'),
        ("a.ipynb", '{"cells": [{"cell_type": 3}], "nbformat": 4}'),
        ("note.txt", "From: me\nTo: you\nSubject: lunch\nDate: today\n\nAt twelve?"),
        ("0001.patch", "From 2e252c5 Mon Sep 17 00:00:00 2001\nFrom: a\nDate: b\nSubject: c\n\n---\n x | 1 +\n"),
        ("a.tex", "{\\rm words}"),
    ],
)
def test_source_and_notes_stay_as_they_are(tmp_path: Path, name: str, source: str) -> None:
    assert read(tmp_path, name, source.encode()) == ("utf-8", source)


def test_a_damaged_rtf_is_shown_as_it_is(tmp_path: Path) -> None:
    source = "{\\rtf1 \\u9999999999 ?}"
    assert read(tmp_path, "a.rtf", source.encode()) == ("utf-8", source)


@pytest.mark.parametrize("name", ["letter.eml", "letter"])
def test_an_email(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, name, MAIL) == ("eml", MAIL_TEXT)


def test_apples_mail_file_has_a_length_before_and_a_list_after(tmp_path: Path) -> None:
    data = f"{len(MAIL)}\n".encode() + MAIL + b'<?xml version="1.0"?><plist></plist>\n'
    assert read(tmp_path, "1.emlx", data) == ("eml", MAIL_TEXT)


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ("Content-Type: text/html; charset=utf-8", "<p>Grüße</p><script>no</script>".encode(), "Grüße"),
        ("Content-Type: text/plain; charset=unknown-8bit", "Schöne Grüße".encode("latin-1"), "Schöne Grüße"),
        ("Content-Type: text/plain; charset=us-ascii", "Schöne Grüße".encode(), "Schöne Grüße"),
        ("Content-Type: text/plain; charset=koi8-r", "привет".encode("koi8-r"), "привет"),
        ("Content-Type: multipart/mixed; boundary=never-closed", b"\n--never-closed\n\nwords", "words"),
    ],
)
def test_the_body_of_an_email(tmp_path: Path, headers: str, body: bytes, text: str) -> None:
    data = f"From: a@example.org\nSubject: s\nMIME-Version: 1.0\n{headers}\n\n".encode() + body
    assert read(tmp_path, "a", data) == ("eml", f"From: a@example.org\nSubject: s\n\n{text}\n")


def test_a_notebook_is_words_code_and_output(tmp_path: Path) -> None:
    assert read(tmp_path, "a.ipynb", json.dumps(NOTEBOOK).encode()) == ("ipynb", NOTEBOOK_TEXT)


def test_a_notebook_of_the_version_before(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": ["Title"]},
        {"cell_type": "code", "input": ["1 + 1"], "outputs": [{"output_type": "pyout", "text": ["2"]}]},
    ]
    book = {"metadata": {"name": ""}, "nbformat": 3, "nbformat_minor": 0, "worksheets": [{"cells": cells}]}
    text = "## Title\n\n```python\n1 + 1\n```\n\nOutput:\n```\n2\n```\n"
    assert read(tmp_path, "a.ipynb", json.dumps(book).encode()) == ("ipynb", text)
