"""The architectures that predict masked tokens."""

from __future__ import annotations

from typing import Any

from core.models.architecture_spec import ArchitectureSpec, Variant

_TASK_HEADS = ("classifier", "qa_outputs")
_WIDTH = "Widths are described in models that predict the next token alone."
_BERT_DROPOUT = ("hidden_dropout_prob", "attention_probs_dropout_prob")
_BERT_MLP = ("intermediate.dense", "output.dense")


def _bert_like(model_type: str, family: str, head: str, base: str | None = None, **differences: Any) -> ArchitectureSpec:
    """Describe post-norm blocks with learned positions, as in BERT (1810.04805)."""
    base = base or model_type
    embeddings = f"{base}.embeddings"
    return ArchitectureSpec(model_type, family, **{
        "base": base, "blocks": f"{base}.encoder.layer", "embeddings": f"{embeddings}.word_embeddings",
        "positions": f"{embeddings}.position_embeddings", "token_types": f"{embeddings}.token_type_embeddings", "final_norm": None,
        "projections": ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense", *_BERT_MLP),
        "tied_by_default": True, "head": head, "norms_subtract_mean": True, "objective": "masked", "activation_factor": 0.9,
        "dropout_keys": _BERT_DROPOUT, "buffer_pattern": r"\.(position|token_type)_ids$", "width_refusal": _WIDTH, **differences})


def _roberta_like(model_type: str, family: str, base: str = "roberta", **differences: Any) -> ArchitectureSpec:
    """Describe a BERT whose positions start after the padding token's id (1907.11692)."""
    return _bert_like(model_type, family, head="lm_head.decoder", base=base, **{
        "head_transform": "lm_head", "non_base_modules": ("lm_head", *_TASK_HEADS), "unused_pattern": rf"^{base}\.pooler\.",
        "aliases": {"lm_head.bias": "lm_head.decoder.bias"}, "padding_offsets_positions": True, **differences})


def _deberta(model_type: str, family: str, attention: tuple[str, ...], **differences: Any) -> ArchitectureSpec:
    """Describe disentangled attention (2006.03654): relative positions that all blocks share, seldom absolute ones.

    Some have a convolution over the embeddings that the first block's output is added to, in the encoder and not in the block.
    Two heads exist: BERT's, which Transformers calls legacy, and the one that these models were trained with, which multiplies by
    the token embedding's matrix.
    """
    trained_head = {"head": "lm_predictions.lm_head", "head_transform": "lm_predictions",
                    "head_input": "lm_predictions.lm_head.LayerNorm", "head_advice": "", "aliases": {},
                    "non_base_modules": ("lm_predictions", "mask_predictions", "cls", "pooler", *_TASK_HEADS),
                    "unused_pattern": r"^mask_predictions\.|^cls\."}
    return _bert_like(
        model_type, family, head="cls.predictions.decoder", head_transform="cls.predictions", base="deberta",
        head_advice='The head that a DeBERTa was trained with is read where its config.json says "legacy": false.',
        projections=(*attention, "attention.output.dense", *_BERT_MLP), aliases={"cls.predictions.bias": "cls.predictions.decoder.bias"},
        non_base_modules=("cls", "lm_predictions", "mask_predictions", "pooler", *_TASK_HEADS),
        unused_pattern=r"^mask_predictions\.|^lm_predictions\.", blocks_return_tuples=True,
        variants=(Variant(lambda config: config.get("legacy") is False, trained_head),
                  Variant(lambda config: (config.get("conv_kernel_size") or 0) > 0, {"first_block_differs": True})), **differences)


ENCODERS = (
    _bert_like("bert", "BERT", head="cls.predictions.decoder", head_transform="cls.predictions", non_base_modules=("cls", *_TASK_HEADS),
               unused_pattern=r"^bert\.pooler\.|^cls\.seq_relationship\.",
               aliases={"cls.predictions.bias": "cls.predictions.decoder.bias"}),
    _roberta_like("roberta", "RoBERTa"),
    _roberta_like("xlm-roberta", "XLM-RoBERTa"),
    _roberta_like("camembert", "CamemBERT"),
    _roberta_like("mpnet", "MPNet", base="mpnet", token_types=None, blocks_return_tuples=True, attention_factor=1.0, projections=(
        "attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o", *_BERT_MLP)),
    _bert_like("electra", "ELECTRA", head="generator_lm_head", head_transform="generator_predictions",
               non_base_modules=("generator_predictions", *_TASK_HEADS), unused_pattern=r"^discriminator_predictions\."),
    _deberta("deberta", "DeBERTa", ("attention.self.in_proj", "attention.self.pos_proj", "attention.self.pos_q_proj"),
             activation_factor=1.35, attention_factor=5.6),
    _deberta("deberta-v2", "DeBERTa v2, v3", (
        "attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj", "attention.self.pos_key_proj",
        "attention.self.pos_query_proj"), activation_factor=1.05, attention_factor=1.5),
    ArchitectureSpec(
        "distilbert", "DistilBERT", base="distilbert", blocks="distilbert.transformer.layer",
        embeddings="distilbert.embeddings.word_embeddings", positions="distilbert.embeddings.position_embeddings", final_norm=None,
        head="vocab_projector", head_transform="vocab_transform", tied_by_default=True,
        projections=("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"),
        depth_key="n_layers", width_key="dim", heads_key="n_heads", intermediate_size_key="hidden_dim",
        norms_subtract_mean=True, objective="masked", dropout_keys=("dropout", "attention_dropout"), activation_factor=0.9,
        buffer_pattern=r"\.position_ids$", non_base_modules=("vocab_transform", "vocab_layer_norm", "pre_classifier", *_TASK_HEADS),
        width_refusal=_WIDTH),
    ArchitectureSpec(
        "modernbert", "ModernBERT", base="model", blocks="model.layers", embeddings="model.embeddings.tok_embeddings", positions=None,
        final_norm="model.final_norm", head="decoder", head_transform="head", tied_by_default=True,
        projections=("attn.Wqkv", "attn.Wo", "mlp.Wi", "mlp.Wo"), per_block_keys=("layer_types",), norms_subtract_mean=True,
        objective="masked", activation_factor=1.4, non_base_modules=("head", *_TASK_HEADS),
        dropout_keys=("attention_dropout", "mlp_dropout", "embedding_dropout"), first_block_differs=True, width_refusal=_WIDTH),
    ArchitectureSpec(
        "eurobert", "EuroBERT", base="model", blocks="model.layers", embeddings="model.embed_tokens", positions=None,
        final_norm="model.norm", objective="masked", key_value_heads_key="num_key_value_heads", head_size_key="head_dim",
        projections=("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
                     "mlp.down_proj"),
        non_base_modules=("dense", *_TASK_HEADS), answers_questions=False, width_refusal=_WIDTH),
)
