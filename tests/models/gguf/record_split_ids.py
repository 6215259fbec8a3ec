"""Record what llama.cpp makes of many strings under every name of a split that is known here.

The vocabulary is one of our own, trained on the strings with no split at all: it has tokens across every border, so
that each border shows in the ids. Run once, in two steps, because llama.cpp is no dependency of the project:

    python -m tests.models.gguf.record_split_ids write /tmp/splits
    python -m venv /tmp/v && /tmp/v/bin/pip install xllamacpp
    PYTHONPATH=. /tmp/v/bin/python -m tests.models.gguf.record_split_ids record /tmp/splits
"""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from tests.models.gguf.record_tokenizer_ids import CODE, LANGUAGES, MARKS, SPACES, WORDS, post, strings

DATA: Final = Path(__file__).parents[1] / "data"
VOCABULARY: Final = DATA / "split_vocabulary.json"
RECORD: Final = DATA / "split_ids.json"
SPACE: Final = "▁"
MERGING: Final = "gemma4"
SIZE: Final = 2400
# What tells one split from another: digits of several scripts, capitals, Han beside other letters, marks, breaks.
TELLING: Final = [
    "parseHTTPResponse2xx don't WON'T it'sFine I'LLgo camelCaseÉtat ÉTATmajor ǅungla ʼn",
    "1 12 123 1234 12345 123456 1234567 a1b22c333d4444 3.14159 -42 1e10 $100 100% №5 ½kg x²y³ m²³¹",
    "東京2026年11月29日 第3章 カタカナとABC漢字abc 中文English混排 한국어2개 ㄱㄴ 々〆〇",
    "१२३४५ ١٢٣٤٥٦ ๑๒๓๔ ⅣⅫⅷ ①②③④ ㊿ 𝟘𝟙𝟚𝟛 ２０２６",
    "a/b//c a-b--c a_b __init__ $x=+1; <=>^~|` ==!= ->=> #!/bin ...!?!? «so» „so“ ‘so’ ‹so› ¿qué? ¡no!",
    "foo(bar)[baz]{qux}.quux,corge:grault;garply'waldo\"fred @plugh #xyzzy &thud *star ~tilde ^hat %mod",
    "नमस्ते दुनिया हिन्दी क्षत्रिय বাংলা ভাষা தமிழ் ไทยภาษา שָׁלוֹם مُحَمَّد e\u0301te\u0301 a\u0308\u0301b",
    "x\n\ny\r\n\r\nz \n \n w\t\t\n\tv  \n  u   t    s\n\n\n   r \r q", "end of line   \n", "   \n\n   ",
    " \u3000 \u2028 \u2029 \u00a0x\u00851",
    "if (x&&!y||z) {\n\treturn x?.y ?? z;\n}\n\n\n// ok\n", "(1)Hello,(2)World.[3]A{4}B @Name #Tag .NET _private $HOME",
    "Ａｂｃ１２３ ｶﾀｶﾅ ﾊﾝｶｸ ﬁne oﬃce Ⓐⓑ 🅰️ ☂️x 😀word 😀1 👍🏽ok",
]  # fmt: skip


def texts() -> list[str]:
    """Return the strings, the same ones each time; the rarest scripts of the other record are left out."""
    chosen = random.Random(20)
    plain = [text for text in strings() if "\0" not in text and SPACE not in text][:-270]
    pieces = [*WORDS, *LANGUAGES, *MARKS, *SPACES, *(word for text in TELLING for word in text.split(" "))]
    mixed = ["".join(chosen.choices(pieces, k=chosen.randint(2, 6))) for _ in range(120)]
    return list(dict.fromkeys([*TELLING, *CODE, *plain, *mixed]))


def trained() -> dict[str, list[str]]:
    """Merges over everything, for tokens that write bytes as letters and for those that write spaces as `▁`."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, trainers
    from tokenizers.models import BPE

    from tests.models.gguf.tiny import byte_alphabet

    found = {}
    for name, alphabet in (("bytes", byte_alphabet()), ("spaces", [])):
        tokenizer = Tokenizer(BPE())
        if name == "bytes":
            tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        else:
            tokenizer.normalizer = normalizers.Replace(" ", SPACE)
            # llama.cpp looks for no token that has a line break among others.
            tokenizer.pre_tokenizer = pre_tokenizers.Split("\n", behavior="contiguous")
        trainer = trainers.BpeTrainer(
            vocab_size=SIZE, initial_alphabet=alphabet, limit_alphabet=400, max_token_length=12, show_progress=False
        )
        tokenizer.train_from_iterator(texts(), trainer)
        learned = json.loads(tokenizer.to_str())["model"]
        found[name] = [" ".join(merge) for merge in learned["merges"]]
        if name == "spaces":
            found["letters"] = [token for token in learned["vocab"] if len(token) == 1]
    return found


def split_gguf(name: str) -> Any:
    """A small model whose tokenizer has our vocabulary and the split `name`."""
    import numpy as np

    from tests.models.gguf.tiny import HIDDEN, SPECIALS, byte_alphabet, tiny_gguf

    vocabulary = json.loads(VOCABULARY.read_text(encoding="ascii"))
    merges = vocabulary["spaces" if name == MERGING else "bytes"]
    letters = [f"<0x{byte:02X}>" for byte in range(256)] if name == MERGING else byte_alphabet()
    bytes_end = len(SPECIALS) + 256
    tokens = [*SPECIALS, *letters, *(vocabulary["letters"] if name == MERGING else [])]
    tokens = list(dict.fromkeys([*tokens, *(merge.replace(" ", "") for merge in merges)]))
    file = tiny_gguf("F16")
    kinds = [3] * len(SPECIALS) + [1] * (len(tokens) - len(SPECIALS))
    if name == MERGING:
        kinds[len(SPECIALS) : bytes_end] = [6] * 256
        file.metadata["tokenizer.ggml.model"] = MERGING
        file.metadata["tokenizer.ggml.scores"] = [-1.0 * index for index in range(len(tokens))]
        file.metadata["tokenizer.ggml.unknown_token_id"] = 0
    file.metadata |= {
        "tokenizer.ggml.pre": name, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.token_type": kinds,
    }  # fmt: skip
    weight = np.zeros((len(tokens), HIDDEN), np.float32)
    file.tensors["token_embd.weight"] = (weight, "F16")
    return file


def write(folder: Path) -> None:
    """Write the vocabulary, and a model for each name."""
    from mlx_spec.models.gguf.splits import SPLITS

    folder.mkdir(parents=True, exist_ok=True)
    VOCABULARY.write_text(json.dumps(trained(), indent=0) + "\n", encoding="ascii")
    for name in (*SPLITS, MERGING):
        split_gguf(name).write(folder / f"{name}.gguf")


def ids_of(gguf: Path) -> None:
    """Print the ids of every string; in a process of its own, as a server is hard to stop."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path, settings.n_ctx, settings.warmup = str(gguf), 128, False
    settings.cpuparams.n_threads = 1
    server = xllamacpp.Server(settings)
    bodies = ({"content": text, "add_special": False, "parse_special": True} for text in texts())
    found = [post(server.listening_address, "/tokenize", body)["tokens"] for body in bodies]
    sys.stdout.write(f"IDS {json.dumps(found)}\n")
    sys.stdout.flush()


def record(folder: Path) -> None:
    """Write the ids of every name: for each string those that occur, and for each name which of them are its own."""
    import xllamacpp

    names = sorted(path.stem for path in folder.glob("*.gguf"))
    found = []
    for name in names:
        command = [sys.executable, "-m", "tests.models.gguf.record_split_ids", "ids", str(folder / f"{name}.gguf")]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found.append(json.loads(output.partition("IDS ")[2].partition("\n")[0]))
    cases = []
    for text, *each in zip(texts(), *found, strict=True):
        kinds = [list(ids) for ids in dict.fromkeys(map(tuple, each))]
        cases.append({"text": text, "ids": kinds, "which": [kinds.index(ids) for ids in each]})
    head = {"tool": f"llama.cpp's /tokenize through xllamacpp {xllamacpp.__version__}", "names": names}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    RECORD.write_text(json.dumps(head, indent=1)[:-2] + ',\n "cases": [\n' + lines + "\n]}\n", encoding="ascii")


if __name__ == "__main__":
    {"write": write, "record": record, "ids": ids_of}[sys.argv[1]](Path(sys.argv[2]))
