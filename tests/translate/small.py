"""Translation models made on the spot, with random weights: they prove that a path works and say nothing of quality."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEXT = [
    "Take one tablet twice a day with water.", "Rest in a quiet room and drink water.", "See a doctor today if it gets worse.",
    "하루 두 번 한 알을 물과 함께 드세요.", "조용한 방에서 쉬고 물을 드세요.", "심해지면 오늘 진료를 받으세요.",
]  # fmt: skip
_SHAPE: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 128,
}  # fmt: skip


def marian(folder: Path, source: str = "en", target: str = "ko") -> Path:
    """A Marian model of one direction."""
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    pieces = _sentencepiece(folder)
    vocabulary = {piece: place for place, piece in enumerate([*dict.fromkeys(["</s>", "<unk>", *pieces]), "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    spm = str(folder / "source.spm")
    tokenizer = MarianTokenizer(
        source_spm=spm, target_spm=spm, vocab=str(folder / "vocab.json"), source_lang=source, target_lang=target
    )
    torch.manual_seed(0)
    size = len(vocabulary)
    config = MarianConfig(
        vocab_size=size, pad_token_id=size - 1, decoder_start_token_id=size - 1, eos_token_id=0, forced_eos_token_id=0,
        **_SHAPE,
    )  # fmt: skip
    return _saved(folder, MarianMTModel(config), tokenizer)


def m2m(folder: Path) -> Path:
    """An M2M-100 model with the languages of the real one."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    pieces = _sentencepiece(folder)
    vocabulary = {piece: place for place, piece in enumerate(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *pieces]))}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "source.spm"))
    torch.manual_seed(0)
    config = M2M100Config(vocab_size=len(vocabulary) + len(tokenizer.lang_code_to_token) + 8, **_SHAPE)
    return _saved(folder, M2M100ForConditionalGeneration(config), tokenizer)


def nllb(folder: Path) -> Path:
    """An NLLB model: M2M-100's network with NLLB's language tokens."""
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    characters = sorted(set("".join(TEXT)) | {"▁"})
    vocabulary = {piece: place for place, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *characters])}
    tokenizer = NllbTokenizer(vocab=vocabulary, merges=[])
    torch.manual_seed(0)
    config = M2M100Config(vocab_size=len(tokenizer), **_SHAPE)
    return _saved(folder, M2M100ForConditionalGeneration(config), tokenizer)


def madlad(folder: Path) -> Path:
    """A T5 model whose vocabulary has MADLAD's direction tokens."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration, T5Tokenizer

    characters = sorted(set("".join(TEXT)) | {"▁"})
    rows = [(piece, 0.0) for piece in ("<pad>", "</s>", "<unk>", "<2ko>", "<2en>")]
    rows += [(character, -2.0) for character in characters]
    tokenizer = T5Tokenizer(vocab=rows, extra_ids=0)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<2ko>", "<2en>"]})
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    return _saved(folder, T5ForConditionalGeneration(config), tokenizer)


def _sentencepiece(folder: Path) -> list[str]:
    """A vocabulary of letters learnt from a few sentences; its pieces."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 4), model_prefix=str(folder / "source"), vocab_size=120, model_type="char",
        hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    (folder / "source.model").rename(folder / "source.spm")
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    return [processor.id_to_piece(place) for place in range(processor.get_piece_size())]


def _saved(folder: Path, model: Any, tokenizer: Any) -> Path:
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
