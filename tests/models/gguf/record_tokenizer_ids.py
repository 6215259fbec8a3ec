"""Record what llama.cpp makes of many strings, as the yardstick for the imported tokenizer.

Run once, outside the project's environment, because llama.cpp is no dependency of the project:

    python -m venv /tmp/v && /tmp/v/bin/pip install xllamacpp
    /tmp/v/bin/python tests/models/gguf/record_tokenizer_ids.py SmolLM2-135M-Instruct.Q4_1.gguf \
        tests/models/data/tokenizer_ids.json
"""

# ruff: noqa: E501, SIM905  (tables of odd strings read best as they are)
import hashlib
import itertools
import json
import random
import sys
import unicodedata
import urllib.request
from pathlib import Path
from typing import Any

WORDS = (
    "the quick brown fox it's WE'LL don't naïve café Straße Ångström coöperate 3.14159 2026-11-22 1,234,567.89 x86_64 "
    "https://example.org a@b.co #tag $5.00 50% C++ f(x) --flag snake_case camelCase SCREAMING_CASE état ½ ² ⅷ ①"
).split()
CODE = [
    "def fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
    "for i in range(10):\n\tprint(f'{i:>3}', end='')\n\n\n# done\n",
    '#include <stdio.h>\nint main(void) {\n    printf("%d\\n", 42);\n    return 0;\n}\n',
    'fn main() {\n    let v: Vec<u8> = vec![0xff; 16];\n    println!("{:?}", &v[..]);\n}\n',
    "const f = async (x) => { await g(x ?? 0); return `${x}`; };\n",
    "SELECT name, COUNT(*) FROM users WHERE age >= 18 GROUP BY name HAVING COUNT(*) > 1;",
    "<!DOCTYPE html>\n<div class=\"a b\" id='c'>&nbsp;<br/></div>\n",
    "body { margin: 0 auto; color: #ff00aa; }\n@media (max-width: 600px) { a:hover { top: 1px } }",
    'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("Hi", 1<<10)\n}\n',
    "#!/bin/sh\nset -eu\nfor f in *.txt; do wc -l \"$f\" | awk '{print $1}'; done\n",
    '{"a": [1, 2.5e-10, null, true], "b": {"c": "\\u00e9"}}',
    "main = mapM_ print . takeWhile (< 100) $ iterate (* 2) 1 -- haskell",
    "\\begin{equation} \\int_0^\\infty e^{-x^2} dx = \\frac{\\sqrt{\\pi}}{2} \\end{equation}",
    "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n```\n",
    "diff --git a/x b/x\n@@ -1,3 +1,4 @@\n-old\n+new\n context\n",
    "\tif (a&&b||!c) { d ^= ~e >>> 2; } // ???\r\n",
    "0x1F 0b1010 0o17 1_000_000 1e9 .5 5. 1..2 1...3",
]
LANGUAGES = [
    "今天天气很好，我们去公园散步吧。", "東京は日本の首都です。カタカナとひらがな。", "안녕하세요, 만나서 반갑습니다.",
    "مرحبا بالعالم، كيف حالك؟", "שָׁלוֹם עוֹלָם", "नमस्ते दुनिया, आप कैसे हैं?", "สวัสดีชาวโลก", "Привет, мир! Ёжик.",
    "Γειά σου Κόσμε ἀρχῇ", "வணக்கம் உலகம்", "გამარჯობა", "Բարեւ աշխարհ", "ሰላም ልዑል", "Xin chào thế giới",
    "Zażółć gęślą jaźń", "İstanbul ığdır", "ⴰⵣⵓⵍ", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟘𝟙𝟚 𝓼𝓬𝓻𝓲𝓹𝓽", "𠮷野家 𩸽", "١٢٣٤٥ ०१२३ ๑๒๓ 一二三 ⅣⅫ ㊿ ½¾",
]  # fmt: skip
EMOJI = [
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇫🇷🇩🇪", "❤️", "1️⃣", "🧑🏿‍🚀", "👨‍💻", "☺︎", "a😀b", " 😀 ", "😀😀😀",
]  # fmt: skip
MARKS = [
    "e\u0301", "n\u0303o", "a\u0300\u0301\u0302\u0303", "\u0301", " \u0301x", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘",
    "\u200b", "a\u200bb", "\u200d", "\ufeff", "\ufeffabc", "\u00ad", "\u2028", "\u2029", "\u0085", "\u202eabc\u202c",
    "\ufffd", "\ue000", "\U0010ffff", "\ufffe", "ﬁ ﬂ", "Ａ１", "ǅ ʰ ˈ", "_\u203f_", "\u0378",
]  # fmt: skip
SPACES = [
    " ", "  ", "   ", "    ", "     ", "        ", " " * 15, " " * 16, " " * 17, " " * 33, " " * 64, " " * 100,
    "\t", "\t\t", "\t\t\t\t", " \t ", "\n", "\n\n", "\n\n\n", "\n\n\n\n\n", "\r", "\r\n", "\r\n\r\n", " \n", "\n ", "  \n  ",
    "a b", "a  b", "a   b", " a", "  a", "a ", "a  ", "\na", "a\n", "a\n\nb", "a \n b", "\n  a\n    b\n", "a\tb", "a \tb",
    "\u00a0", "a\u00a0b", "\u3000", "a\u3000\u3000b", "\u2003x", "\u1680", "\u202f1", "\u205f", "x\u2009y", "\x0b", "\x0c", "\x1c",
    "1 2", "1  2", " 1", "  1", "1 ", " 12", "  12  ", "\n1", "\t1", "1\n", "a1", "a 1", "a1b2", "1a", "!1", " !", "  !", "! ",
]  # fmt: skip
URLS = [
    "https://user:pw@sub.example.co.uk:8443/a/b%20c/d.html?q=1&r=%F0%9F%98%80#frag-" + "x" * 120,
    "http://[2001:db8::1]:80/?" + "&".join(f"k{i}=v{i * 37}" for i in range(30)),
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
    "/usr/local/lib/python3.11/site-packages/mlx_lm/models/llama.py:123", "C:\\Users\\x\\AppData\\Roaming\\",
    "mailto:someone@example.com?subject=Hello%20World",
]  # fmt: skip
SPECIAL = [
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\nHi<|im_end|>\n", "a<|im_end|>b", " <|im_end|> ",
    "<|im_start|><|im_start|>", "<|im_", "|im_end|>", "<|IM_END|>", "<repo_name>x", "<file_sep>", "<jupyter_code>print(1)",
    "<empty_output>", "<|im_end|>\n<|im_start|>assistant\n", "1<|im_end|>2", "\n<|endoftext|>\n", "<gh_stars>12", "<<|im_end|>>",
]  # fmt: skip


def strings() -> list[str]:
    """Return the strings, the same ones each time."""
    chosen = random.Random(2026)
    found = [*WORDS, *CODE, *LANGUAGES, *EMOJI, *MARKS, *SPACES, *URLS, *SPECIAL]
    found += [chr(code) for code in range(1, 32)] + [
        "\x7f",
        "\x80",
        "\x9f",
        "a\x01b",
        "a\x04b \x13",
        "\x00",
        "a\x00b",
        "\x1b[31mred\x1b[0m",
    ]
    found += [
        f"{left}{right}" for left, right in itertools.product(["'s", "'S", "'re", "’s", "'", "''t"], ["", "x", " a"])
    ]
    found += [str(10**power + power) for power in range(0, 24, 2)]
    pieces = [*WORDS, *LANGUAGES, *EMOJI, *MARKS, *SPACES, *SPECIAL]
    found += ["".join(chosen.choices(pieces, k=chosen.randint(2, 12))) for _ in range(150)]
    for first, last, count in ((0x20, 0x3000, 150), (0x3000, 0x20000, 100), (0x20, 0x110000, 50)):
        codes = (chr(code) for code in range(first, last))
        letters = [letter for letter in codes if unicodedata.category(letter) not in ("Cn", "Cc", "Cs")]
        found += ["".join(chosen.choices(letters, k=chosen.randint(1, 24))) for _ in range(count)]
    return list(dict.fromkeys(found))


def post(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Ask llama.cpp's own server, which runs inside this process."""
    request = urllib.request.Request(address + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        result: dict[str, Any] = json.load(answer)
    return result


def record(gguf: Path, target: Path) -> None:
    """Write the ids and the text they decode to, beside what made them."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.warmup = str(gguf), 128, False
    settings.cpuparams.n_threads = 1
    server = xllamacpp.Server(settings)
    cases = []
    for text in strings():
        body = {"content": text, "add_special": False, "parse_special": True}
        ids = post(server.listening_address, "/tokenize", body)["tokens"]
        cases.append({"text": text, "ids": ids})
    head = {
        "tool": f"llama.cpp's /tokenize through xllamacpp {xllamacpp.__version__}",
        "options": {"add_special": False, "parse_special": True},
        "file": gguf.name,
        "sha256": hashlib.sha256(gguf.read_bytes()).hexdigest(),
    }
    lines = ",\n".join(json.dumps(case) for case in cases)
    target.write_text(json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n' + lines + "\n]}\n", encoding="ascii")


if __name__ == "__main__":
    record(Path(sys.argv[1]), Path(sys.argv[2]))
