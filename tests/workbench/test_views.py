from __future__ import annotations

from workbench import views


def test_plain_text_is_no_markup():
    assert views.plain("![seen](https://example.org/x.png) a_b *c* $x$ 3 blocks") == (
        r"\!\[seen\](https\://example.org/x.png) a\_b \*c\* \$x\$ 3 blocks")
    assert views.plain(r"\![seen](x)") == r"\\\!\[seen\](x)"


def test_a_message_keeps_its_markup_but_no_image():
    assert views.no_images("**No folder ![](https://example.org/x.png).**") == r"**No folder !\[](https://example.org/x.png).**"
