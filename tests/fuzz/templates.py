"""Chat templates: those of well-known models, changed, and hostile ones; with conversations of every shape."""

from __future__ import annotations

import copy
import random
from functools import cache
from typing import Any

from core.config import DataSpec
from core.data.chat_template import find_turns
from core.data.conversation import encode, encode_answer, fit_prompt
from core.data.prepare import document
from core.data.tokenisation import tokenise
from core.errors import DataError
from tests.core.tokenizer_kinds import KINDS, TEMPLATES, VARIANTS, tokenizer_of

LLAMA3 = ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
          "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content ="
          " bos_token + content %}"
          "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{"
          " '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
MISTRAL = ("{%- if messages[0]['role'] == 'system' %}{%- set system_message = messages[0]['content'] %}{%- set loop_messages ="
           " messages[1:] %}"
           "{%- else %}{%- set loop_messages = messages %}{%- endif %}{{- bos_token }}{%- for message in loop_messages %}"
           "{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{- raise_exception('Roles must alternate') }}{%- endif %}"
           "{%- if message['role'] == 'user' %}{%- if loop.last and system_message is defined %}"
           "{{- '[INST] ' + system_message + '\n\n' + message['content'] + '[/INST]' }}{%- else %}"
           "{{- '[INST] ' + message['content'] + '[/INST]' }}{%- endif %}{%- else %}{{- ' ' + message['content'] + eos_token }}{%- endif %}"
           "{%- endfor %}")
PHI3 = ("{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}")
GEMMA = ("{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
         "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles')"
         " }}{% endif %}"
         "{{ '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + message['content'] | trim + "
         "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}")
DEEPSEEK = ("{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '<|User|>' + m['content'] }}{% elif m['role']"
            " == 'assistant' %}"
            "{% set c = m['content'] %}{% if '</think>' in c %}{% set c = c.split('</think>')[-1] %}{% endif %}"
            "{{ '<|Assistant|>' + c + eos_token }}{% else %}{{ m['content'] }}{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|Assistant|><think>\n' }}{% endif %}")
VICUNA = ("{% for m in messages %}{% if m['role'] == 'user' %}{{ 'USER: ' + m['content'] + ' ' }}{% elif m['role'] == 'assistant' %}"
          "{{ 'ASSISTANT: ' + m['content'] + eos_token }}{% else %}{{ m['content'] + '\n\n' }}{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
COMMAND = ("{{ bos_token }}{% for m in messages %}{{ '<|START_OF_TURN_TOKEN|>' + {'user': '<|USER_TOKEN|>', 'system': '<|SYSTEM_TOKEN|>', "
           "'assistant': '<|CHATBOT_TOKEN|>'}[m['role']] + m['content'].strip() + '<|END_OF_TURN_TOKEN|>' }}{% endfor %}"
           "{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}")
DATED = "{{ strftime_now('%d %B %Y') }}\n" + PHI3
LAST_ONLY = "{% for m in messages[-2:] %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
REORDERED = "{% for m in messages | reverse %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
DOUBLED = "{% for m in messages %}{{ m['content'] + '|' + m['content'] + '\n' }}{% endfor %}"
ESCAPED = "{% for m in messages %}{{ m['content'] | tojson }}{{ '\n' }}{% endfor %}"
COUNTED = "{% for m in messages %}{{ m['content'] | length }}: {{ m['content'] }}{{ '\n' }}{% endfor %}"
SOUND = [*filter(None, TEMPLATES.values()), LLAMA3, MISTRAL, PHI3, GEMMA, DEEPSEEK, VICUNA, COMMAND]
ODD = [DATED, LAST_ONLY, REORDERED, DOUBLED, ESCAPED, COUNTED, "", " ", "{{ messages }}", "{{ messages | tojson }}", "{{ messages[0] }}",
       "{% for m in messages %}{{ m.content | upper }}{% endfor %}", "{% for m in messages %}{{ m.content[:3] }}{% endfor %}",
       "{% for m in messages %}{{ m.content | replace(' ', '') }}{% endfor %}", "{{ messages | map(attribute='content') | join }}",
       "{% for m in messages %}{{ m.content.split() | join(' ') }}{% endfor %}",
       "{% for m in messages %}{% generation %}{% endgeneration %}{% endfor %}",
       "{% generation %}{% generation %}{{ messages[0].content }}{% endgeneration %}{% endgeneration %}", "{% generation %}x",
       "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}"]
HOSTILE = [
    "{% for a in range(10**10) %}x{% endfor %}", "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ '%999999999d' % 1 }}", "{{ 'x' * 10**9 }}", "{{ [0] * 10**9 }}", "{{ 10 ** 10 ** 10 }}", "{{ 'a' | center(10**9) }}",
    "{% set x = namespace(v='xx') %}{% for i in range(60) %}{% set x.v = x.v + x.v %}{% endfor %}{{ x.v }}",
    "{{ messages.append(messages) }}{{ messages }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}", "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__.os.system('id') }}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% extends 'x' %}",
    "{{ lipsum(n=10**6) }}", "{{ dict(a=1) | pprint }}", "{{ range(10**8) | list | length }}", "{{ ('a' * 10**5) | wordwrap(1) }}",
    "{{ ('a ' * 10**6).replace('a', 'b' * 1000) }}", "{{ ('a' * 10**6) | urlize }}", "{{ '{:>999999999}'.format(1) }}",
    "{{ ('((' * 10**5) | indent }}",
    "{{ raise_exception('x' * 10**7) }}", "{{ raise_exception(messages) }}", "{{ strftime_now('%Y' * 10**6) }}", "{{ tojson }}",
    "{% break %}",
    "{% for a in [1] %}{% break %}{% endfor %}" * 2000, "{{ 1 }}" * 40_000, "{{ " + "-" * 5000 + "1 }}", "{% if 1 %}" * 3000,
    "{{ x" + ".x" * 5000 + " }}",
    "{{ '\\ud800' }}", "\ud800", "{{ '\\0' }}", "{{ messages[0].content.encode }}", "{{ (messages[0].content * 10**5) | sort | join }}",
    "{% set n = namespace(i=0) %}{% for m in messages %}{% set n.i = n.i + m.content | length %}{{ n.i / 0 }}{% endfor %}",
    "{{ 1 | round(-10**9) }}",
    "{{ ('a' * 10**5) | tojson | tojson | tojson | tojson }}", "{{ [[]] | sum(start=[]) }}", "{{ 2 ** 100000 }}",
    "{{ ('9' * 5000) | int }}",
    "{{ [1, 2] | random }}", "{{ messages | groupby('nothing') }}", "{% call f() %}{% endcall %}", "{% filter upper %}{% endfilter %}",
    "{# " * 10_000]
CONTENTS = ("It is good.", "", " ", "\n", "  is it? ", "naïve café 模型 😀", "<|im_end|>", "</s>", "<think>\n7\n</think>\n\nis", "</think>",
       "[INST] a [/INST]",
            "{{ 1 }}", "{% raw %}", "user", "assistant: it\nUser: is", "Q1000zx0x", "\ud800", "\0", "e\u0301 ﬁ", "x" * 3000,
            "<|assistant|>\n", "\r\n", "\u2028",
            "<start_of_turn>model\n", "<|eot_id|><|start_header_id|>", "\t")


def conversation(draw: random.Random) -> list[dict[str, str]]:
    """Return messages in an order that may be wrong, with contents that look like a template's own text."""
    roles = [role for number in range(draw.randint(1, 6)) for role in (("user", "assistant")[number % 2],)]
    if draw.random() < 0.3:
        roles = [draw.choice(("user", "assistant")) for _ in roles]
    if draw.random() < 0.3:
        roles = ["system", *roles]
    return [{"role": role, "content": draw.choice(CONTENTS)} for role in roles]


def template(draw: random.Random) -> str | dict[str, str] | None:
    """Return a template: sound, odd or hostile, one in five of them changed."""
    kind = draw.random()
    chosen = draw.choice(SOUND if kind < 0.4 else ODD if kind < 0.6 else HOSTILE)
    for _ in range(draw.choice((0, 0, 0, 0, 1, 2))):
        place = draw.randint(0, len(chosen))
        put = draw.choice(("{{", "}}", "{%", "%}", "'", " | trim", "-", "\n", "\\", "~", "[0]", ".x", "(", ")", "not ", "{% generation %}"))
        chosen = chosen[:place] + put + chosen[place + draw.randint(0, 2):]
    return chosen if draw.random() < 0.95 else draw.choice(({"default": chosen, "tool_use": "x"}, {"other": chosen}, {}))


@cache
def _tokenizer(kind: str, variant: int) -> Any:
    return copy.deepcopy(tokenizer_of(kind, variant))


def answer(seed: int) -> str:
    """Render a conversation as training, a chat and a comparison render it. Raises StillhouseError; asserts that only answers count."""
    draw = random.Random(seed)
    tokenizer = _tokenizer(draw.choice(list(KINDS)), draw.choice(VARIANTS))
    tokenizer.chat_template = template(draw)
    messages = conversation(draw)
    said, errors = [], []
    for read in (lambda: encode(tokenizer, messages), lambda: encode_answer(tokenizer, messages[:1], "It is."),
                 lambda: fit_prompt(tokenizer, messages, 4000, 8).left_out, lambda: _trained(messages, tokenizer)):
        try:
            said.append(read())
        except DataError as error:
            str(error).encode()
            errors.append(error)
            if "template takes" in error.given:  # the others take as long
                break
    if not said:
        raise errors[0]
    return f"{len(said)} answers, {len(errors)} refusals"


def _trained(messages: list[dict[str, str]], tokenizer: Any) -> int:
    """Return how many tokens count, which stand in what find_turns says that the assistant writes."""
    spec = DataSpec(source="x.jsonl", prompt_weight=0.0)
    made = document({"messages": messages}, tokenizer, spec, "causal")
    text, turns = find_turns(messages, tokenizer)
    assert made.text == text
    assert made.weight == 0.0 and all(0 <= span.start <= span.end <= len(text) for span in made.spans)
    said = [message["content"].strip() for message in messages if message["role"] == "assistant"]
    if "generation %}" not in str(tokenizer.chat_template):
        for turn in turns or ():
            core = text[turn.content:turn.content_end].strip()
            assert not core or any(core in each or each in core for each in said), (core, said)
    (ids, weights), = tokenise([made], tokenizer)
    assert ids.tolist() == tokenizer(text, add_special_tokens=False).input_ids
    return int((weights > 0).sum())
