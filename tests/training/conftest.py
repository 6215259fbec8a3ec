"""A tiny random target with a real tokenizer and chat template: small enough for the whole recipe in seconds."""

import json
from dataclasses import replace
from pathlib import Path

import mlx.core as mx
import pytest
from mlx.utils import tree_flatten
from mlx_lm.models import llama
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from mlx_spec.models.folder import ModelFolder
from mlx_spec.training.answers.dialogue import Limits
from mlx_spec.training.answers.sampler import sample_corpus
from mlx_spec.training.answers.templates import chat_format
from mlx_spec.training.on_mlx.stepper import MlxStepper
from mlx_spec.training.recipe import DraftShape, Recipe
from mlx_spec.training.target import Target, load_target

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
CONFIG = {
    "model_type": "llama",
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "intermediate_size": 64,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "rms_norm_eps": 1e-5,
    "vocab_size": 259,
    "rope_theta": 10000.0,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def save_tokenizer(folder: Path) -> None:
    """A byte tokenizer with the three chat tokens: 259 ids."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: index for index, token in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": SPECIAL[1],
        "eos_token": SPECIAL[2],
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def fill(recipe: Recipe, target: Target, folder: Path) -> list[int]:
    """Sample a corpus; give the seeds that a stepper was made with."""
    seeds: list[int] = []

    def make(seed: int) -> MlxStepper:
        seeds.append(seed)
        return MlxStepper(target.model, recipe.rows, recipe.limits.total, seed)

    sample_corpus(recipe, chat_format(target.tokenizer), make, folder, recipe.answer_tokens, lambda _: None)
    return seeds


@pytest.fixture(scope="session")
def target_folder(tmp_path_factory: pytest.TempPathFactory) -> ModelFolder:
    """A random target that likes a few tokens much better than the others, so that there is something to learn."""
    folder = tmp_path_factory.mktemp("target")
    mx.random.seed(3)
    model = llama.Model(llama.ModelArgs.from_dict(CONFIG))
    weights = {name: value * (4.0 if "proj" in name else 1.0) for name, value in tree_flatten(model.parameters())}
    weights["model.embed_tokens.weight"] = mx.random.normal((259, 32)) * mx.random.uniform(0.1, 1.0, (259, 1))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, metadata={"format": "mlx"})
    (folder / "config.json").write_text(json.dumps(CONFIG))
    save_tokenizer(folder)
    return ModelFolder.at(folder)


RECIPE = replace(
    Recipe(),
    answer_tokens=1800,
    shard_tokens=300,
    rows=16,
    limits=Limits(question=8, answer=24, total=64),
    shape=DraftShape(hidden=32, inner=64, source_layers=(0,)),
    minutes=1.0,
    batch_tokens=512,
    held_out_tokens=200,
    watched_tokens=50,
    checks=4,
    matrix_rate=2e-2,
    other_rate=1e-2,
    layer_bits=8,
    embedding_bits=8,
)


@pytest.fixture(autouse=True)
def many_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny corpus has few questions: hold out one in four."""
    monkeypatch.setattr("mlx_spec.training.answers.corpus.HELD_OUT_OF", 4)


@pytest.fixture
def recipe() -> Recipe:
    """The recipe in miniature."""
    return RECIPE


@pytest.fixture(scope="session")
def target(target_folder: ModelFolder) -> Target:
    """The tiny target, loaded."""
    return load_target(target_folder)


@pytest.fixture(scope="session")
def sampled_folder(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of the tiny target; for reading only."""
    folder = tmp_path_factory.mktemp("sampled")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mlx_spec.training.answers.corpus.HELD_OUT_OF", 4)
        fill(RECIPE, target, folder)
    return folder
