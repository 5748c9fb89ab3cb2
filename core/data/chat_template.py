"""How messages become the text that a model reads: by its own chat template, or plainly when it has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.errors import DataError

Message = dict[str, str]

# For base models such as GPT-2. A turn ends with a newline, so that generation can stop there.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)


def render(messages: Sequence[Message], tokenizer: Any, *, add_generation_prompt: bool = False) -> str:
    """Return the text of a conversation, special tokens included: tokenise it with ``add_special_tokens=False``.

    Raises:
        DataError: the model's template refuses the conversation, as some refuse system messages.
    """
    from jinja2 import TemplateError

    template = None if tokenizer.chat_template else PLAIN_TEMPLATE
    try:
        return tokenizer.apply_chat_template(list(messages), chat_template=template, tokenize=False,
                                             add_generation_prompt=add_generation_prompt)
    except TemplateError as error:
        roles = ", ".join(message["role"] for message in messages)
        raise DataError(f"The model's chat template refuses a conversation of {roles}: {error}.",
                        "Most templates expect user and assistant in turns.",
                        "Leave out system messages, or choose another model.") from error
