"""The barest loop of the same arithmetic, and TRL's GKDTrainer. Nothing of core/ is imported here."""

from __future__ import annotations

import itertools
import tempfile
from typing import Any

import torch
import torch.nn.functional as F

from tests.benchmarks.peers.turns import BETAS, DTYPES, LEARNING_RATE, MANY, TEMPERATURE, Case, TurnCallback, Turns, contend


def barest(case: Case, turns: Turns) -> None:
    """A loop with nothing around it, over full logits."""
    teacher, student, dtype = case.teacher(), case.student(), DTYPES[case.dtype]
    optimiser = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, betas=BETAS, fused=True)
    batches = torch.from_numpy(case.blocks()).long().split(case.batch)
    turns.begin()
    for ids in itertools.cycle(batches):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            with torch.no_grad():
                v = teacher(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1).float()
            z = student(input_ids=ids, use_cache=False).logits[:, :-1].flatten(0, 1).float()
        loss = TEMPERATURE**2 * F.kl_div(F.log_softmax(z / TEMPERATURE, -1), F.log_softmax(v / TEMPERATURE, -1), reduction="batchmean",
                                         log_target=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if not turns.step_done():
            return


def gkd_trainer(case: Case, turns: Turns) -> None:
    """TRL's GKDTrainer on the text as it stands: lmbda 0 writes nothing of its own, beta 0 is the forward KL.

    It trains without recomputing activations, which is its default and slower.
    """
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl.experimental.gkd import GKDConfig, GKDTrainer

    turns.build()  # what was imported just now is no memory of training

    def collate(items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids = torch.tensor([item["input_ids"] for item in items])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}

    vocabulary = {"<pad>": 0, "<end>": 1}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, "<pad>")), pad_token="<pad>",
                                        eos_token="<end>")
    bf16 = DTYPES[case.dtype] == torch.bfloat16
    with tempfile.TemporaryDirectory() as folder:
        arguments = GKDConfig(
            output_dir=folder, max_steps=MANY, per_device_train_batch_size=case.batch, learning_rate=LEARNING_RATE, adam_beta2=BETAS[1],
            lr_scheduler_type="constant", optim="adamw_torch_fused", max_grad_norm=1.0, lmbda=0.0, beta=0.0, temperature=TEMPERATURE,
            bf16=bf16, gradient_checkpointing=False, use_cpu=True, save_strategy="no", eval_strategy="no", report_to="none",
            disable_tqdm=True, dataloader_pin_memory=False)
        trainer = GKDTrainer(case.student(), case.teacher(), arguments, data_collator=collate, processing_class=tokenizer,
                             train_dataset=Dataset.from_dict({"input_ids": case.blocks().tolist()}), callbacks=[TurnCallback(turns)])
        trainer.train()


CONTENDERS = {"barest loop": barest, "TRL GKDTrainer": gkd_trainer}

if __name__ == "__main__":
    contend(CONTENDERS)
